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
