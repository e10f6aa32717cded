#include "jail.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
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

/** Descriptor on which the daemon's lock of its ingest directory comes: it ends with the last process that has it. */
constexpr int kLockFd = 3;
/** And the one on which a user namespace comes. */
constexpr int kUsersFd = 4;

constexpr int kNiceness = 10;

constexpr uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

void Must(bool good, const std::string& what) {
  if (!good) DieOfErrno(what);
}

void Limit(__rlimit_resource resource, rlim_t value) {
  const struct rlimit limit = {value, value};
  Must(::setrlimit(resource, &limit) == 0, "setrlimit");
}

/** A mount of the directory that is nowhere yet. */
UniqueFd CopyOf(const std::string& path) {
  UniqueFd copy(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  Must(copy.valid(), "open_tree " + path);
  return copy;
}

void SetAttributes(const UniqueFd& mount, uint64_t bits, const std::string& path) {
  struct mount_attr attributes = {};
  attributes.attr_set = bits;
  Must(::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0, "flags of " + path);
}

UniqueFd ReadOnlyCopy(const std::string& path) {
  UniqueFd copy = CopyOf(path);
  SetAttributes(copy, kHarmless | MOUNT_ATTR_RDONLY, path);
  return copy;
}

/** Not every file system can, nor every kernel. */
void MapOwners(const UniqueFd& mount, const UserNamespace& users, const std::string& path) {
  struct mount_attr ids = {};
  ids.attr_set = MOUNT_ATTR_IDMAP;
  ids.userns_fd = static_cast<uint64_t>(users.fd.get());
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &ids, sizeof ids) == 0) return;
  Die(ExitCode::kUnmapped, "map the owners of " + path + ": " + ::strerrordesc_np(errno));
}

}  // namespace

UserNamespace BindToParent(uint32_t root_id) {
  Must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "die with the parent");
  const unsigned last = root_id == 0 ? kLockFd : kUsersFd;
  Must(::close_range(last + 1, ~0U, 0) == 0, "close_range");
  ::umask(0);
  // Pods come first: without others on the processors this costs a pull nothing. Whoever has less already keeps it, and
  // who may not (a filter of a container) unpacks all the same.
  if (::getpriority(PRIO_PROCESS, 0) < kNiceness) (void)::setpriority(PRIO_PROCESS, 0, kNiceness);
  Limit(RLIMIT_CORE, 0);
#ifndef A3S_SANITIZE
  Limit(RLIMIT_AS, rlim_t{1} << 30);
  Limit(RLIMIT_CPU, 1800);
#endif
  return {UniqueFd(root_id == 0 ? -1 : kUsersFd), root_id};
}

std::vector<UniqueFd> EnterJail(const std::string& directory, const std::vector<std::string>& seen,
                                const UserNamespace& users) {
  Must(::unshare(CLONE_NEWNS) == 0, "unshare");
  Must(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "rslave /");
  std::vector<UniqueFd> copies;
  for (const std::string& path : seen) copies.push_back(ReadOnlyCopy(path));
  const UniqueFd tree = CopyOf(directory);
  SetAttributes(tree, kHarmless, directory);
  if (users.fd.valid()) MapOwners(tree, users, directory);
  Must(::move_mount(tree.get(), "", AT_FDCWD, directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0,
       "move_mount " + directory);
  Must(::chdir(directory.c_str()) == 0, "chdir " + directory);
  // The old root is stacked on the new one, then let go.
  Must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Must(::umount2(".", MNT_DETACH) == 0, "unmount the old root");
  Must(::chdir("/") == 0, "chdir /");
  return copies;
}

void EnterUserNamespace(UserNamespace users) {
  if (!users.fd.valid()) return;
  const pid_t parent = ::getppid();
  if (::setns(users.fd.get(), CLONE_NEWUSER) != 0) {
    Die(ExitCode::kUnmapped, std::string("enter the user namespace: ") + ::strerrordesc_np(errno));
  }
  // Until now it is a user that the namespace doesn't know.
  Must(::setgroups(0, nullptr) == 0 && ::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0, "become its root");
  // A change of users takes the signal away.
  Must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "die with the parent");
  if (::getppid() != parent) ::_exit(static_cast<int>(ExitCode::kJail));
}

}  // namespace a3s
