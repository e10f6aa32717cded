#include "mount_target.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

namespace a3s {

Outcome<UniqueFd> OpenMountTarget(const std::string& path) {
  UniqueFd target(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!target.valid()) return Failed("open", path);
  struct stat info;
  if (::fstat(target.get(), &info) != 0) return Failed("fstat", path);
  if (S_ISLNK(info.st_mode)) return FailedWith(ELOOP, "mount", path);
  return target;
}

namespace {

/** The file system itself is not asked, which may never answer. */
Outcome<bool> IsDirectory(int fd, const std::string& path) {
  struct statx info;
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &info) != 0) return Failed("statx", path);
  return S_ISDIR(info.stx_mode);
}

Failure AttachAt(int tree, Outcome<UniqueFd> place, const std::string& target) {
  if (const SystemError* error = place.error()) return *error;
  Outcome<bool> from_directory = IsDirectory(tree, target);
  Outcome<bool> to_directory = IsDirectory(place.value().get(), target);
  if (const SystemError* error = from_directory.error()) return *error;
  if (const SystemError* error = to_directory.error()) return *error;
  if (from_directory.value() != to_directory.value()) return FailedWith(ENOTDIR, "move_mount", target);
  if (::move_mount(tree, "", place.value().get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Failed("move_mount", target);
  }
  return std::nullopt;
}

}  // namespace

Failure Attach(int tree, const std::string& target) { return AttachAt(tree, OpenMountTarget(target), target); }

Failure AttachAmong(const std::optional<NamedProcess>& process, int tree, const std::string& target) {
  if (!process) return Attach(tree, target);
  return AmongMountsOf(process, [&] { return AttachAt(tree, OpenWithoutLinks(target), target); });
}

std::string FdPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

unsigned long MountOptionBits(const MountFlags& flags) {
  unsigned long bits = 0;
  if (flags.readonly) bits |= MS_RDONLY;
  if (flags.nosuid) bits |= MS_NOSUID;
  if (flags.nodev) bits |= MS_NODEV;
  return bits;
}

uint64_t MountAttributeBits(const MountFlags& flags) {
  uint64_t bits = 0;
  if (flags.readonly) bits |= MOUNT_ATTR_RDONLY;
  if (flags.nosuid) bits |= MOUNT_ATTR_NOSUID;
  if (flags.nodev) bits |= MOUNT_ATTR_NODEV;
  return bits;
}

}  // namespace a3s
