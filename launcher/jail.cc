#include "jail.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "../addon/unique_fd.h"
#include "failure.h"

namespace a3s {

namespace {

/** The tmpfs is made over this directory of the host, which every system has; only in our own mount namespace. */
constexpr char kPlace[] = "/tmp";

constexpr char kStage[] = "jail";

void Must(bool good, const std::string& what) {
  if (!good) DieOfErrno(ExitCode::kJail, kStage, what);
}

UniqueFd OpenSource(const View& view) {
  const bool directory = view.kind == View::Kind::kDirectory;
  UniqueFd source(::open(view.source.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0)));
  if (source.valid()) return source;
  const ExitCode code = view.kind == View::Kind::kDevice ? ExitCode::kDevice : ExitCode::kJail;
  DieOfErrno(code, kStage, "open " + view.source);
}

/** As it is named in the new root, which is the current directory. */
std::string Inside(const std::string& path) {
  if (path.size() < 2 || path[0] != '/') Die(ExitCode::kJail, kStage, "no place inside: " + path);
  return path.substr(1);
}

void MakeParents(const std::string& path) {
  for (size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
    const std::string directory = path.substr(0, end);
    Must(::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST, "mkdir " + directory);
  }
}

void MakeTarget(const View& view, const std::string& path) {
  MakeParents(path);
  if (view.kind == View::Kind::kDirectory) {
    Must(::mkdir(path.c_str(), 0755) == 0, "mkdir " + path);
    return;
  }
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  Must(file.valid(), "make " + path);
}

/** Into the current directory, the new root. */
void Bind(const View& view, const UniqueFd& opened) {
  const std::string path = Inside(view.target);
  MakeTarget(view, path);
  const std::string source = "/proc/self/fd/" + std::to_string(opened.get());
  Must(::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind " + path);
  struct mount_attr attributes = {};
  attributes.attr_set = view.attributes;
  Must(::mount_setattr(AT_FDCWD, path.c_str(), 0, &attributes, sizeof attributes) == 0, "flags of " + path);
  Must(::mount(nullptr, path.c_str(), nullptr, MS_SLAVE, nullptr) == 0, "slave " + path);
}

/** The descriptor is closed then: who takes the process over has no other way to the mount than the jail's. */
void Attach(const Tree& tree) {
  const UniqueFd opened(tree.fd);
  const std::string path = Inside(tree.target);
  MakeParents(path);
  Must(::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST || errno == EROFS, "mkdir " + path);
  struct mount_attr attributes = {};
  attributes.attr_set = tree.attributes;
  Must(::mount_setattr(opened.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0, "flags of " + path);
  Must(::move_mount(opened.get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0, "attach " + path);
}

void Link(const std::string& path, const std::string& text) {
  const std::string inside = Inside(path);
  MakeParents(inside);
  Must(::symlink(text.c_str(), inside.c_str()) == 0, "link " + path);
}

/** For a moment, while it is made; a name that no view has. */
constexpr char kWholeProc[] = ".proc";

/**
 * Mounted by itself, so that `..` leads into the jail's root: a way from a descriptor's directory to the rest of proc
 * is a way to what the whole host's kernel is set by (sysctl), whoever's root one is in.
 */
void ShowOwnDescriptors() {
  const std::string place = "proc/self/fd";
  MakeParents(place);
  Must(::mkdir(place.c_str(), 0555) == 0, "mkdir " + place);
  Must(::mkdir(kWholeProc, 0700) == 0, "mkdir for proc");
  constexpr unsigned long kHarmless = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  Must(::mount("proc", kWholeProc, "proc", kHarmless, nullptr) == 0, "mount proc");
  const std::string own = std::string(kWholeProc) + "/self/fd";
  Must(::mount(own.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind " + place);
  Must(::umount2(kWholeProc, UMOUNT_NOFOLLOW) == 0, "unmount proc");
  Must(::rmdir(kWholeProc) == 0, "rmdir for proc");
}

void MakeFile(const std::string& path, const std::string& text) {
  const std::string inside = Inside(path);
  MakeParents(inside);
  const UniqueFd file(::open(inside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  Must(file.valid(), "make " + path);
  Must(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write " + path);
}

/** The old root is stacked on the new one, then let go. */
void PivotHere() {
  Must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Must(::umount2(".", MNT_DETACH) == 0, "unmount the old root");
  Must(::chdir("/") == 0, "chdir /");
}

}  // namespace

std::vector<Tree> ShareTrees(int share, int base) {
  constexpr uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  const std::string top = kJailShare;
  return {{share, top, kHarmless | MOUNT_ATTR_NOEXEC}, {base, top + "/base", kHarmless}};
}

void EnterJail(const JailPlan& plan) {
  Must(::unshare(CLONE_NEWNS | (plan.no_network ? CLONE_NEWNET : 0)) == 0, "unshare");
  Must(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "rslave /");
  // After the unshare: a descriptor names a mount of the namespace it was opened in, and only ours can be bound.
  std::vector<UniqueFd> sources;
  for (const View& view : plan.views) sources.push_back(OpenSource(view));
  Must(::mount("jail", kPlace, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") == 0, "mount tmpfs");
  Must(::chdir(kPlace) == 0, "chdir");
  for (size_t i = 0; i < plan.views.size(); i++) Bind(plan.views[i], sources[i]);
  for (const Tree& tree : plan.trees) Attach(tree);
  for (const auto& [path, text] : plan.links) Link(path, text);
  for (const auto& [path, text] : plan.files) MakeFile(path, text);
  if (plan.own_descriptors) ShowOwnDescriptors();
  PivotHere();
  Must(
      ::mount(nullptr, "/", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
      "make / read-only");
}

}  // namespace a3s
