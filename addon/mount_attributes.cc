#include "mount_attributes.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>

#include "arguments.h"
#include "mount_namespace.h"
#include "pool_work.h"

namespace a3s {

namespace {

Failure SetAttributes(const std::string& target, const struct mount_attr& attributes, bool recursive) {
  struct mount_attr copy = attributes;
  const unsigned flags = AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0U);
  if (::mount_setattr(AT_FDCWD, target.c_str(), flags, &copy, sizeof copy) != 0) {
    return Failed("mount_setattr", target);
  }
  return std::nullopt;
}

Failure Detach(const std::string& target, bool lazy) {
  if (::umount2(target.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return std::nullopt;
  if (errno == EINVAL || errno == ENOENT) return std::nullopt;  // nothing is mounted there
  return Failed("umount2", target);
}

/** MS_* of a propagation's name; 0 for none of ours. */
uint64_t PropagationBits(const std::string& name) {
  if (name == "private") return MS_PRIVATE;
  if (name == "shared") return MS_SHARED;
  if (name == "slave") return MS_SLAVE;
  return 0;
}

}  // namespace

Napi::Value SetPropagation(const Napi::CallbackInfo& info) {
  std::string target;
  std::string propagation;
  bool recursive = false;
  if (!ReadArguments(info, target, propagation, recursive)) return info.Env().Undefined();
  struct mount_attr attributes = {};
  attributes.propagation = PropagationBits(propagation);
  return StartOnPool(info.Env(), [=]() -> Failure {
    if (attributes.propagation == 0) return FailedWith(EINVAL, "mount_setattr", target);
    return SetAttributes(target, attributes, recursive);
  });
}

Napi::Value SetReadonly(const Napi::CallbackInfo& info) {
  std::string target;
  bool readonly = false;
  if (!ReadArguments(info, target, readonly)) return info.Env().Undefined();
  struct mount_attr attributes = {};
  (readonly ? attributes.attr_set : attributes.attr_clr) = MOUNT_ATTR_RDONLY;
  return StartOnPool(info.Env(), [=] { return SetAttributes(target, attributes, false); });
}

Napi::Value Unmount(const Napi::CallbackInfo& info) {
  std::string target;
  bool lazy = false;
  std::optional<NamedProcess> among;
  if (!ReadArguments(info, target, lazy)) return info.Env().Undefined();
  if (!ReadOptional(info[2], among)) return RefuseArgument(info, 2);
  return StartOnPool(info.Env(), [=]() -> Failure {
    Failure failure = AmongMountsOf(among, [&] { return Detach(target, lazy); });
    if (failure && among && failure->number == ESRCH) return std::nullopt;  // its mounts have gone with it
    return failure;
  });
}

}  // namespace a3s
