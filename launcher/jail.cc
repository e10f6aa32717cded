#include "jail.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../addon/unique_fd.h"
#include "failure.h"

namespace a3s {

namespace {

/** The tmpfs is made over this folder of the host, which every system has; only in our own mount namespace. */
constexpr char kPlace[] = "/tmp";

constexpr char kStage[] = "jail";

void Must(bool good, const std::string& what) {
  if (!good) DieOfErrno(ExitCode::kJail, kStage, what);
}

/** Something of the host that appears in the jail. */
struct Binding {
  std::string target;
  UniqueFd source;
  bool folder;
  bool recursive;
  /** MOUNT_ATTR_* to add; what the source has besides (read-only) stays. */
  uint64_t attributes;
};

UniqueFd OpenSource(const std::string& path, bool folder, ExitCode code) {
  UniqueFd source(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | (folder ? O_DIRECTORY : 0)));
  if (!source.valid()) DieOfErrno(code, kStage, "open " + path);
  return source;
}

std::vector<Binding> OpenSources(const JailPlan& plan) {
  std::vector<Binding> bindings;
  const auto folder = [&](const char* target, const std::string& path, bool recursive) {
    bindings.push_back({target + 1, OpenSource(path, true, ExitCode::kJail), true, recursive,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
  };
  const auto device = [&](const char* name) {
    const std::string path = std::string("/dev/") + name;
    bindings.push_back({path.substr(1), OpenSource(path, false, ExitCode::kDevice), false, false,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC});
  };
  folder(kJailShare, plan.share, true);
  folder(kJailSockets, plan.socket_folder, false);
  device("kvm");
  device("null");
  device("urandom");
  if (plan.needs_tun) device("net/tun");
  return bindings;
}

void MakeTarget(const Binding& binding) {
  if (binding.folder) {
    Must(::mkdir(binding.target.c_str(), 0755) == 0, "mkdir " + binding.target);
    return;
  }
  const UniqueFd file(::open(binding.target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  Must(file.valid(), "make " + binding.target);
}

/** Into the current folder, the new root. */
void Bind(const Binding& binding) {
  MakeTarget(binding);
  const std::string source = "/proc/self/fd/" + std::to_string(binding.source.get());
  const char* target = binding.target.c_str();
  unsigned long recurse = 0;
  if (binding.recursive) recurse = MS_REC;
  Must(::mount(source.c_str(), target, nullptr, MS_BIND | recurse, nullptr) == 0, "bind " + binding.target);
  struct mount_attr attributes = {};
  attributes.attr_set = binding.attributes;
  Must(::mount_setattr(AT_FDCWD, target, 0, &attributes, sizeof attributes) == 0, "flags of " + binding.target);
  Must(::mount(nullptr, target, nullptr, recurse | MS_SLAVE, nullptr) == 0, "rslave " + binding.target);
}

/** The old root is stacked on the new one, then let go. */
void PivotHere() {
  Must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Must(::umount2(".", MNT_DETACH) == 0, "unmount the old root");
  Must(::chdir("/") == 0, "chdir /");
}

}  // namespace

void EnterJail(const JailPlan& plan) {
  Must(::unshare(CLONE_NEWNS) == 0, "unshare");
  Must(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "rslave /");
  // After the unshare: a descriptor names a mount of the namespace it was opened in, and only ours can be bound.
  const std::vector<Binding> bindings = OpenSources(plan);
  Must(::mount("jail", kPlace, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") == 0, "mount tmpfs");
  Must(::chdir(kPlace) == 0, "chdir");
  Must(::mkdir("dev", 0755) == 0, "mkdir dev");
  if (plan.needs_tun) Must(::mkdir("dev/net", 0755) == 0, "mkdir dev/net");
  for (const Binding& binding : bindings) Bind(binding);
  Must(::mkdir("proc", 0555) == 0, "mkdir proc");
  // libkrun's file server opens files again through /proc/self/fd.
  Must(::mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0, "mount proc");
  PivotHere();
  Must(
      ::mount(nullptr, "/", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
      "make / read-only");
}

}  // namespace a3s
