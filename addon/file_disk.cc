#include "file_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "arguments.h"
#include "mount_target.h"
#include "pool_work.h"

namespace a3s {

namespace {

constexpr const char* kControl = "/dev/loop-control";
/** Block devices of loop (admin-guide/devices.txt). */
constexpr unsigned kLoopMajor = 7;
/** Another process may take the number that was free: as often as there may be others at it. */
constexpr int kAttempts = 64;

/**
 * No file system of these is ever mounted a second time, so nothing has to be on the host's disk in any order: no
 * barriers. Tables of inodes that were never written are holes of the file, which read as zeros: nobody needs to write
 * them. What is deleted is given back at once.
 */
constexpr const char* kOptions = "discard,nobarrier,noinit_itable,errors=continue";

struct LoopDevice {
  UniqueFd fd;
  std::string path;
};

/** In a container /dev is its own, and has the nodes that were there when it began. */
Outcome<UniqueFd> OpenNode(const std::string& path, unsigned number) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.valid()) return fd;
  if (errno != ENOENT) return Failed("open", path);
  if (::mknod(path.c_str(), S_IFBLK | 0600, ::makedev(kLoopMajor, number)) != 0 && errno != EEXIST) {
    return Failed("mknod", path);
  }
  fd = UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return Failed("open", path);
  return fd;
}

/** It is free again when the last one who has it open or mounted lets go of it, whoever that is. */
Outcome<LoopDevice> Attach(const std::string& file, int control) {
  UniqueFd backing(::open(file.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!backing.valid()) return Failed("open", file);
  struct loop_config config = {};
  config.fd = static_cast<uint32_t>(backing.get());
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  const size_t shown = sizeof config.info.lo_file_name - 1;
  const std::string name = file.size() > shown ? file.substr(file.size() - shown) : file;
  std::memcpy(config.info.lo_file_name, name.data(), name.size());
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) return Failed("LOOP_CTL_GET_FREE", kControl);
    const std::string path = "/dev/loop" + std::to_string(number);
    Outcome<UniqueFd> device = OpenNode(path, static_cast<unsigned>(number));
    if (const SystemError* error = device.error()) return *error;
    if (::ioctl(device.value().get(), LOOP_CONFIGURE, &config) == 0) {
      return LoopDevice{std::move(device.value()), path};
    }
    if (errno != EBUSY) return Failed("LOOP_CONFIGURE", path);
  }
  return FailedWith(EBUSY, "LOOP_CONFIGURE", kControl);
}

Failure Mount(const std::string& file, const std::string& target) {
  Outcome<UniqueFd> place = OpenMountTarget(target);
  if (const SystemError* error = place.error()) return *error;
  UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control.valid()) return Failed("open", kControl);
  Outcome<LoopDevice> device = Attach(file, control.get());
  if (const SystemError* error = device.error()) return *error;
  const char* source = device.value().path.c_str();
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOATIME;
  if (::mount(source, FdPath(place.value().get()).c_str(), "ext4", flags, kOptions) != 0) {
    return Failed("mount", target);
  }
  return std::nullopt;
}

/** EXT4_IOC_SHUTDOWN of linux/ext4.h, which not every libc-dev has. */
constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kWithoutLog = 2;

/** As the kernel writes device numbers into loop_info64 (new_encode_dev). */
uint64_t EncodedDevice(dev_t device) {
  const uint64_t low = minor(device);
  return (low & 0xff) | static_cast<uint64_t>(major(device)) << 8 | (low & ~0xffULL) << 12;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/** Open, so that nobody else can get it meanwhile; none where no device has the file. */
LoopDevice DeviceOf(const struct stat& file) {
  const std::unique_ptr<DIR, CloseDirectory> blocks(::opendir("/sys/block"));
  if (blocks == nullptr) return {};
  while (const struct dirent* entry = ::readdir(blocks.get())) {
    if (std::strncmp(entry->d_name, "loop", 4) != 0) continue;
    const std::string path = std::string("/dev/") + entry->d_name;
    UniqueFd device(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct loop_info64 info = {};
    if (!device.valid() || ::ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) continue;
    if (info.lo_inode == file.st_ino && info.lo_device == EncodedDevice(file.st_dev)) {
      return LoopDevice{std::move(device), path};
    }
  }
  return {};
}

/** Mounted once more, nowhere: it is one file system however often it is. */
Failure Abandon(const std::string& file) {
  struct stat info;
  if (::lstat(file.c_str(), &info) != 0) {
    return errno == ENOENT ? Failure() : Failure(Failed("lstat", file));
  }
  const LoopDevice device = DeviceOf(info);
  if (!device.fd.valid()) return std::nullopt;
  UniqueFd context(::fsopen("ext4", FSOPEN_CLOEXEC));
  if (!context.valid()) return Failed("fsopen", "ext4");
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", device.path.c_str(), 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Failed("fsconfig", device.path);
  }
  UniqueFd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted.valid()) return Failed("fsmount", device.path);
  UniqueFd top(::openat(mounted.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid()) return Failed("openat", device.path);
  const uint32_t how = kWithoutLog;
  if (::ioctl(top.get(), kShutdown, &how) != 0) return Failed("EXT4_IOC_SHUTDOWN", device.path);
  return std::nullopt;
}

}  // namespace

Napi::Value AbandonFileDisk(const Napi::CallbackInfo& info) {
  std::string file;
  if (!ReadArguments(info, file)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Abandon(file); });
}

Napi::Value MountFileDisk(const Napi::CallbackInfo& info) {
  std::string file;
  std::string target;
  if (!ReadArguments(info, file, target)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Mount(file, target); });
}

}  // namespace a3s
