#include "jail.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "failure.h"

namespace a3s {

namespace {

/** Descriptor on which the daemon's lock of its ingest folder comes: it ends with the last process that has it. */
constexpr unsigned kLockFd = 3;

constexpr int kNiceness = 10;

constexpr uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

void Must(bool good, const std::string& what) {
  if (!good) DieOfErrno(what);
}

void Limit(__rlimit_resource resource, rlim_t value) {
  const struct rlimit limit = {value, value};
  Must(::setrlimit(resource, &limit) == 0, "setrlimit");
}

UniqueFd ReadOnlyCopy(const std::string& path) {
  UniqueFd copy(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  Must(copy.valid(), "open_tree " + path);
  struct mount_attr attributes = {};
  attributes.attr_set = kHarmless | MOUNT_ATTR_RDONLY;
  Must(::mount_setattr(copy.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0, "flags of " + path);
  return copy;
}

}  // namespace

void BindToParent() {
  Must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "die with the parent");
  Must(::close_range(kLockFd + 1, ~0U, 0) == 0, "close_range");
  ::umask(0);
  // Pods come first: without others on the processors this costs a pull nothing.
  Must(::setpriority(PRIO_PROCESS, 0, kNiceness) == 0, "setpriority");
  Limit(RLIMIT_CORE, 0);
#ifndef A3S_SANITIZE
  Limit(RLIMIT_AS, rlim_t{1} << 30);
  Limit(RLIMIT_CPU, 1800);
#endif
}

std::vector<UniqueFd> EnterJail(const std::string& folder, const std::vector<std::string>& seen) {
  Must(::unshare(CLONE_NEWNS) == 0, "unshare");
  Must(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "rslave /");
  std::vector<UniqueFd> copies;
  for (const std::string& path : seen) copies.push_back(ReadOnlyCopy(path));
  Must(::mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind " + folder);
  struct mount_attr attributes = {};
  attributes.attr_set = kHarmless;
  Must(::mount_setattr(AT_FDCWD, folder.c_str(), 0, &attributes, sizeof attributes) == 0, "flags of " + folder);
  Must(::chdir(folder.c_str()) == 0, "chdir " + folder);
  // The old root is stacked on the new one, then let go.
  Must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Must(::umount2(".", MNT_DETACH) == 0, "unmount the old root");
  Must(::chdir("/") == 0, "chdir /");
  return copies;
}

}  // namespace a3s
