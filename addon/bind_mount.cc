#include "bind_mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "arguments.h"
#include "id_namespace.h"
#include "mount_namespace.h"
#include "mount_target.h"
#include "pool_work.h"

namespace a3s {

namespace {

/** What a bind mount can have beside its flags. */
struct Shown {
  /** Owners are shown as that namespace has them. */
  std::optional<IdMap> ids;
  /** What is mounted below the source, and unmounted, comes to the copy too. */
  bool follows = false;
  /** Whose mounts it becomes one of; none: ours. */
  std::optional<NamedProcess> among;
};

/** Where what is mounted below has no mapped owners, it is shown as nobody's. */
Failure ShowOwners(int tree, const IdMap& ids, const std::string& source, unsigned recurse) {
  Outcome<UniqueFd> names = OpenIdNamespace(ids);
  if (const SystemError* error = names.error()) return *error;
  Failure failure = MapIds(tree, names.value().get(), recurse, source);
  if (!failure || recurse == 0) return failure;
  // EPERM: one of them shows other owners already.
  if (failure->number != EINVAL && failure->number != EPERM) return failure;
  return MapIds(tree, names.value().get(), 0, source);
}

Failure Propagate(int tree, const std::string& source, unsigned recurse, uint64_t propagation) {
  struct mount_attr attributes = {};
  attributes.propagation = propagation;
  if (::mount_setattr(tree, "", AT_EMPTY_PATH | recurse, &attributes, sizeof attributes) != 0) {
    return Failed("mount_setattr", source);
  }
  return std::nullopt;
}

/**
 * open_tree(2), mount_setattr(2): a copy that is mounted nowhere, with its flags. The source is followed, so that
 * `/proc/self/fd/N` of an opened file can be one.
 */
Outcome<UniqueFd> Copy(const std::string& source, bool recursive, const MountFlags& flags, const Shown& shown) {
  const unsigned recurse = recursive ? AT_RECURSIVE : 0U;
  UniqueFd tree(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recurse));
  if (!tree.valid()) return Failed("open_tree", source);
  struct mount_attr attributes = {};
  attributes.attr_set = MountAttributeBits(flags);
  if (attributes.attr_set != 0 && ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return Failed("mount_setattr", source);
  }
  if (shown.ids) {
    if (Failure failure = ShowOwners(tree.get(), *shown.ids, source, recurse)) return *failure;
  }
  // Out of the source's peer group, else a lazy unmount of the copy would unmount the source's own submounts.
  if (Failure failure = Propagate(tree.get(), source, recurse, shown.follows ? MS_SLAVE : MS_PRIVATE)) {
    return *failure;
  }
  return tree;
}

/**
 * The copy gets its flags before anyone can see it, and what fails half way leaves nothing mounted. Here it is in a
 * peer group of its own, so that its unmount takes along what has been propagated from it; elsewhere nobody has it but
 * who is there.
 */
Failure Bind(const std::string& source, const std::string& target, bool recursive, const MountFlags& flags,
             const Shown& shown) {
  Outcome<UniqueFd> tree = Copy(source, recursive, flags, shown);
  if (const SystemError* error = tree.error()) return *error;
  if (!shown.among) {
    const unsigned recurse = recursive ? AT_RECURSIVE : 0U;
    if (Failure failure = Propagate(tree.value().get(), source, recurse, MS_SHARED)) return failure;
  }
  return AttachAmong(shown.among, tree.value().get(), target);
}

bool Read(const Napi::Value& value, Shown& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "ids", out.ids) && ReadMember(object, "follows", out.follows) &&
         ReadOptional(object.Get("among"), out.among);
}

/** What a tmpfs can have beside its size. */
struct TmpfsMore {
  /** Files and directories, its own among them; absent: the kernel's choice. */
  std::optional<uint32_t> max_inodes;
  /** User and group of its top. */
  uint32_t owner = 0;
  bool noexec = false;
  /** Links in it lead nowhere. */
  bool nosymfollow = false;
};

bool Read(const Napi::Value& value, TmpfsMore& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadOptional(object.Get("maxInodes"), out.max_inodes) && ReadMember(object, "owner", out.owner) &&
         ReadMember(object, "noexec", out.noexec) && ReadMember(object, "nosymfollow", out.nosymfollow) &&
         out.max_inodes != 0U;
}

Failure Tmpfs(const std::string& target, uint64_t size_bytes, uint32_t mode, const TmpfsMore& more) {
  Outcome<UniqueFd> place = OpenMountTarget(target);
  if (const SystemError* error = place.error()) return *error;
  char octal[16];
  std::snprintf(octal, sizeof octal, "%o", mode);
  const std::string owner = std::to_string(more.owner);
  std::string options = "size=" + std::to_string(size_bytes) + ",mode=" + octal + ",uid=" + owner + ",gid=" + owner;
  if (more.max_inodes) options += ",nr_inodes=" + std::to_string(*more.max_inodes);
  unsigned long flags = MS_NOSUID | MS_NODEV;
  if (more.noexec) flags |= MS_NOEXEC;
  if (more.nosymfollow) flags |= MS_NOSYMFOLLOW;
  if (::mount("tmpfs", FdPath(place.value().get()).c_str(), "tmpfs", flags, options.c_str()) != 0) {
    return Failed("mount", target);
  }
  return std::nullopt;
}

}  // namespace

Napi::Value BindMount(const Napi::CallbackInfo& info) {
  std::string source;
  std::string target;
  bool recursive = false;
  MountFlags flags;
  Shown shown;
  if (!ReadArguments(info, source, target, recursive, flags)) return info.Env().Undefined();
  if (!info[4].IsUndefined() && !Read(info[4], shown)) return RefuseArgument(info, 4);
  return StartOnPool(info.Env(), [=] { return Bind(source, target, recursive, flags, shown); });
}

Napi::Value CopyMount(const Napi::CallbackInfo& info) {
  std::string source;
  bool recursive = false;
  MountFlags flags;
  Shown shown;
  if (!ReadArguments(info, source, recursive, flags, shown)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return Copy(source, recursive, flags, shown); },
      [](Napi::Env env, UniqueFd& tree) -> Napi::Value { return Napi::Number::New(env, tree.Release()); });
}

Napi::Value MountTmpfs(const Napi::CallbackInfo& info) {
  std::string target;
  uint64_t size_bytes = 0;
  uint32_t mode = 0;
  TmpfsMore more;
  if (!ReadArguments(info, target, size_bytes, mode)) return info.Env().Undefined();
  if (!info[3].IsUndefined() && !Read(info[3], more)) return RefuseArgument(info, 3);
  return StartOnPool(info.Env(), [=] { return Tmpfs(target, size_bytes, mode, more); });
}

}  // namespace a3s
