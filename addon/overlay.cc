#include "overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <deque>
#include <thread>

#include "arguments.h"
#include "id_namespace.h"
#include "mount_namespace.h"
#include "mount_target.h"
#include "mounter.h"
#include "pool_work.h"

namespace a3s {

namespace {

struct OverlayMount {
  std::vector<std::string> lowers;
  std::optional<std::string> upper;
  std::optional<std::string> work;
  std::string target;
  MountFlags flags;
  bool index = false;
  /** Owners in the lowers are shown as that namespace has them, */
  std::optional<IdMap> ids;
  /** and those in the upper: what lies on the disk has the owners that it has without a namespace. */
  bool maps_upper = false;
  /** The upper is on another file system than the lowers. */
  bool apart = false;
  /** Mounted by who has no right to exceed quotas. */
  bool obeys_quotas = false;
  /** Whose mounts it becomes one of; none: ours. */
  std::optional<NamedProcess> among;
};

/** mount(2) hands one page of options to the kernel, its last byte a NUL. */
constexpr size_t kMaxOptionsBytes = 4095;

std::string Options(const OverlayMount& mount) {
  std::string text = "lowerdir=";
  for (size_t i = 0; i < mount.lowers.size(); i++) text += (i == 0 ? "" : ":") + mount.lowers[i];
  if (mount.upper) text += ",upperdir=" + *mount.upper + ",workdir=" + *mount.work + (mount.index ? ",index=on" : "");
  if (mount.apart) text += ",xino=on";
  return text;
}

/** True when the kernel's option parser takes the text for what it says, without escapes. */
bool IsPlain(const OverlayMount& mount) {
  const auto plain = [](const std::string& path) { return path.find_first_of(":,\\\"") == std::string::npos; };
  for (const std::string& lower : mount.lowers) {
    if (!plain(lower)) return false;
  }
  return !mount.upper || (plain(*mount.upper) && plain(*mount.work));
}

Failure OpenLayer(std::string& path, std::deque<UniqueFd>& open) {
  UniqueFd layer(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!layer.valid()) return Failed("open", path);
  path = FdPath(layer.get());
  open.push_back(std::move(layer));
  return std::nullopt;
}

/** Replaces every path by one through a descriptor: short, and free of characters that options give a meaning. */
Failure NameByDescriptor(OverlayMount& mount, std::deque<UniqueFd>& open) {
  for (std::string& lower : mount.lowers) {
    if (Failure failure = OpenLayer(lower, open)) return failure;
  }
  if (!mount.upper) return std::nullopt;
  if (Failure failure = OpenLayer(*mount.upper, open)) return failure;
  return OpenLayer(*mount.work, open);
}

bool SetString(int context, const char* key, const std::string& value) {
  return ::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
}

/** Any number of lowers, one option each: `lowerdir+` of Linux 6.5 and newer; EINVAL on older ones. */
Failure MountByContext(const OverlayMount& mount, int place) {
  UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) return Failed("fsopen", "overlay");
  for (const std::string& lower : mount.lowers) {
    if (!SetString(context.get(), "lowerdir+", lower)) return Failed("fsconfig lowerdir+", mount.target);
  }
  if (mount.upper) {
    if (!SetString(context.get(), "upperdir", *mount.upper)) return Failed("fsconfig upperdir", mount.target);
    if (!SetString(context.get(), "workdir", *mount.work)) return Failed("fsconfig workdir", mount.target);
    if (mount.index && !SetString(context.get(), "index", "on")) return Failed("fsconfig index", mount.target);
  }
  if (mount.apart && !SetString(context.get(), "xino", "on")) return Failed("fsconfig xino", mount.target);
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Failed("fsconfig create", mount.target);
  }
  UniqueFd made(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(MountAttributeBits(mount.flags))));
  if (!made.valid()) return Failed("fsmount", mount.target);
  if (::move_mount(made.get(), "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Failed("move_mount", mount.target);
  }
  return std::nullopt;
}

Failure CheckParts(const OverlayMount& mount) {
  if (mount.lowers.empty() || mount.upper.has_value() != mount.work.has_value() || (mount.index && !mount.upper)) {
    return FailedWith(EINVAL, "mount", mount.target);
  }
  return std::nullopt;
}

Failure Mount(OverlayMount mount) {
  if (Failure failure = CheckParts(mount)) return failure;
  Outcome<UniqueFd> place = OpenMountTarget(mount.target);
  if (const SystemError* error = place.error()) return *error;
  std::deque<UniqueFd> open;
  if (!IsPlain(mount) || Options(mount).size() > kMaxOptionsBytes) {
    if (Failure failure = NameByDescriptor(mount, open)) return failure;
  }
  const std::string options = Options(mount);
  if (options.size() > kMaxOptionsBytes) return MountByContext(mount, place.value().get());
  const std::string target = FdPath(place.value().get());
  if (::mount("overlay", target.c_str(), "overlay", MountOptionBits(mount.flags), options.c_str()) != 0) {
    return Failed("mount", mount.target);
  }
  return std::nullopt;
}

/** Over the directory itself: in a mount namespace that nobody else has. */
Failure CoverByMapped(const std::string& directory, int user_namespace) {
  UniqueFd tree(::open_tree(AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return Failed("open_tree", directory);
  if (Failure failure = MapIds(tree.get(), user_namespace, 0, directory)) return failure;
  if (::move_mount(tree.get(), "", AT_FDCWD, directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return Failed("move_mount", directory);
  }
  return std::nullopt;
}

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

/** Upper and work have to be on one mount: the directory that holds both is covered. */
Failure CoverUpper(const OverlayMount& mount, int user_namespace) {
  const std::string parent = ParentOf(*mount.upper);
  if (parent.empty() || ParentOf(*mount.work) != parent) return FailedWith(EINVAL, "mount", *mount.work);
  return CoverByMapped(parent, user_namespace);
}

/** The host's id of the namespace's root. */
std::optional<uid_t> RootOf(const IdMap& ids) {
  for (const IdExtent& extent : ids.uids) {
    if (extent.inside == 0) return extent.outside;
  }
  return std::nullopt;
}

/** Where overlayfs can't make its own directory in `work` it mounts all the same, and nobody can write. */
Failure CheckWritable(const OverlayMount& mount) {
  struct statvfs info;
  if (::statvfs(mount.target.c_str(), &info) != 0) return Failed("statvfs", mount.target);
  if ((info.f_flag & ST_RDONLY) != 0 && !mount.flags.readonly) return FailedWith(EROFS, "mount", mount.target);
  return std::nullopt;
}

/**
 * By a mounter who is known to a mapped upper, as the host's root is not (EOVERFLOW): whose files are the namespace's
 * root's there, and the host's root's on the disk. Without a map it is the host's root, with the same few rights: what
 * overlayfs writes it writes with those of its mounter, and CAP_SYS_RESOURCE exceeds the quotas of ext4.
 */
Failure MountWithUpper(const OverlayMount& mount) {
  const std::optional<uid_t> root = mount.ids && mount.maps_upper ? RootOf(*mount.ids) : std::optional<uid_t>(0);
  if (!root) return FailedWith(EINVAL, "mount", mount.target);
  Mounter mounter;
  if (Failure failure = mounter.Become(*root)) return failure;
  if (Failure failure = Mount(mount)) return failure;
  return CheckWritable(mount);
}

Failure CoverLayers(const OverlayMount& mount) {
  Outcome<UniqueFd> names = OpenIdNamespace(*mount.ids);
  if (const SystemError* error = names.error()) return *error;
  for (const std::string& lower : mount.lowers) {
    if (Failure failure = CoverByMapped(lower, names.value().get())) return failure;
  }
  if (!mount.maps_upper || !mount.upper) return std::nullopt;
  return CoverUpper(mount, names.value().get());
}

/**
 * Changes the mount namespace of the thread it runs on. It is mounted on the uppermost layer for a moment, which is a
 * directory for certain.
 */
Outcome<UniqueFd> MakeDetached(OverlayMount mount) {
  if (::unshare(CLONE_NEWNS) != 0) return Failed("unshare", mount.target);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Failed("mount", "/");
  if (mount.ids) {
    if (Failure failure = CoverLayers(mount)) return *failure;
  }
  mount.target = mount.lowers.front();
  const bool few_rights = mount.upper && ((mount.ids && mount.maps_upper) || mount.obeys_quotas);
  if (Failure failure = few_rights ? MountWithUpper(mount) : Mount(mount)) return *failure;
  UniqueFd made(::open_tree(AT_FDCWD, mount.target.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!made.valid()) return Failed("open_tree", mount.target);
  return made;
}

/**
 * An overlay maps no owners, its layers can (since Linux 5.19): without the upper, what it copies up belongs to the
 * mapped owner. It takes layers that are attached somewhere. That is a mount namespace which ends with its thread:
 * nothing of it can stay. So it is too for one that is to be among other mounts, where there are no layers.
 */
Failure MountDetached(const OverlayMount& mount) {
  if (Failure failure = CheckParts(mount)) return failure;
  Outcome<UniqueFd> made = FailedWith(EIO, "mount", mount.target);
  std::thread([&] { made = MakeDetached(mount); }).join();
  if (const SystemError* error = made.error()) return *error;
  return AttachAmong(mount.among, made.value().get(), mount.target);
}

/** One that may be left out is false then. */
bool ReadFlag(const Napi::Object& object, const char* name, bool& out) {
  return object.Get(name).IsUndefined() || ReadMember(object, name, out);
}

bool ReadOverlay(const Napi::Value& value, OverlayMount& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "lowers", out.lowers) && ReadMember(object, "upper", out.upper) &&
         ReadMember(object, "work", out.work) && ReadMember(object, "target", out.target) &&
         ReadMember(object, "flags", out.flags) && ReadMember(object, "index", out.index) &&
         ReadOptional(object.Get("ids"), out.ids) && ReadOptional(object.Get("among"), out.among) &&
         ReadFlag(object, "mapsUpper", out.maps_upper) && ReadFlag(object, "apart", out.apart) &&
         ReadFlag(object, "obeysQuotas", out.obeys_quotas);
}

}  // namespace

Napi::Value MountOverlay(const Napi::CallbackInfo& info) {
  OverlayMount mount;
  if (!ReadOverlay(info[0], mount)) return RefuseArgument(info, 0);
  return StartOnPool(info.Env(), [mount] {
    return mount.ids || mount.among || mount.obeys_quotas ? MountDetached(mount) : Mount(mount);
  });
}

}  // namespace a3s
