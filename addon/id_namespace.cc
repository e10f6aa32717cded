#include "id_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "pool_work.h"

namespace a3s {

namespace {

/**
 * Shares the memory of its parent, which runs on: it only makes calls that set no errno. Every signal that can be
 * blocked is; it dies with the thread that has made it.
 */
int WaitForTheEnd(void* parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != *static_cast<const pid_t*>(parent)) ::_exit(0);
  for (;;) ::pause();
}

/**
 * What of a process without CAP_SYS_PTRACE is below /proc is only its own while it may be dumped, and that is over as
 * soon as one of its threads has come to more capabilities than it had (commit_creds() in the kernel): where the
 * process has not all of them, as in a container, that is whenever a thread or a child with the same memory enters a
 * user namespace.
 */
void BeReadable() { ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }

/** Another thread may enter a namespace between the two calls. */
UniqueFd OpenReadable(const std::string& path, int flags) {
  for (int tries_left = 5;; tries_left--) {
    BeReadable();
    UniqueFd opened(::open(path.c_str(), flags));
    if (opened.valid() || errno != EACCES || tries_left == 0) return opened;
  }
}

/** The kernel takes a map in one write, and only once. */
Failure WriteMap(pid_t pid, const char* file, const std::vector<IdExtent>& extents) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  std::string text;
  for (const IdExtent& extent : extents) {
    text += std::to_string(extent.inside) + " " + std::to_string(extent.outside) + " " + std::to_string(extent.count) +
            "\n";
  }
  UniqueFd map = OpenReadable(path, O_WRONLY | O_CLOEXEC);
  if (!map.valid()) return Failed("open", path);
  if (::write(map.get(), text.data(), text.size()) < 0) return Failed("write", path);
  return std::nullopt;
}

}  // namespace

IdNamespace::~IdNamespace() {
  if (!pidfd_.valid()) return;
  ::kill(pid_, SIGKILL);
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | __WALL) != 0 && errno == EINTR) continue;
}

Failure IdNamespace::Make(const IdMap& ids, int owned) {
  if (!stack_.valid()) return FailedWith(ENOMEM, "mmap", "user namespace");
  static const pid_t self = ::getpid();
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const int flags = CLONE_VM | CLONE_PIDFD | CLONE_NEWUSER | owned;
  pid_ = ::clone(WaitForTheEnd, stack_.top(), flags, const_cast<pid_t*>(&self), &pidfd);
  const int number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid_ < 0) return FailedWith(number, "clone", "user namespace");
  pidfd_ = UniqueFd(pidfd);
  if (Failure failure = WriteMap(pid_, "uid_map", ids.uids)) return failure;
  return WriteMap(pid_, "gid_map", ids.gids);
}

std::string IdNamespace::PathOf(const char* kind) const { return "/proc/" + std::to_string(pid_) + "/ns/" + kind; }

Outcome<UniqueFd> OpenIdNamespace(const IdMap& ids) {
  IdNamespace made;
  if (Failure failure = made.Make(ids, 0)) return *failure;
  const std::string path = made.PathOf("user");
  UniqueFd opened = OpenReadable(path, O_RDONLY | O_CLOEXEC);
  if (!opened.valid()) return Failed("open", path);
  return opened;
}

Napi::Value OpenUserNamespace(const Napi::CallbackInfo& info) {
  IdMap ids;
  if (!ReadArguments(info, ids)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return OpenIdNamespace(ids); },
      [](Napi::Env env, UniqueFd& opened) -> Napi::Value { return Napi::Number::New(env, opened.Release()); });
}

Failure MapIds(int tree, int user_namespace, unsigned recurse, const std::string& source) {
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  if (::mount_setattr(tree, "", AT_EMPTY_PATH | recurse, &attributes, sizeof attributes) != 0) {
    return Failed("mount_setattr idmap", source);
  }
  return std::nullopt;
}

}  // namespace a3s
