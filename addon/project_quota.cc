#include "project_quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "pool_work.h"
#include "unique_fd.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

namespace a3s {

namespace {

/** Limits of blocks are in these, usage is in bytes (quotactl(2), struct dqblk). */
constexpr uint64_t kBlockBytes = 1024;

struct ProjectUse {
  uint32_t id = 0;
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  /** 0: no limit. */
  uint64_t max_bytes = 0;
  uint64_t max_inodes = 0;
};

Outcome<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return Failed("open", path);
  return directory;
}

/** Of the file system that the directory is on, by whatever way it is mounted (Linux 5.14). */
int QuotaCall(int directory, int command, uint32_t id, void* data) {
  const unsigned call = static_cast<unsigned>(command) << SUBCMDSHIFT | PRJQUOTA;
  return static_cast<int>(::syscall(SYS_quotactl_fd, directory, call, id, data));
}

/** What a file system says that has no quotas, or not of projects, or none turned on; ENOSYS is an older kernel. */
bool IsNoQuota(int number) {
  return number == ENOSYS || number == EOPNOTSUPP || number == ESRCH || number == EINVAL || number == ENOTBLK;
}

Outcome<bool> Bounds(const std::string& path) {
  Outcome<UniqueFd> directory = OpenDirectory(path);
  if (const SystemError* error = directory.error()) return *error;
  struct fs_quota_statv state = {};
  state.qs_version = FS_QSTATV_VERSION1;
  if (QuotaCall(directory.value().get(), Q_XGETQSTATV, 0, &state) != 0) {
    if (IsNoQuota(errno)) return false;
    return Failed("quotactl", path);
  }
  return (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

Failure Assign(const std::string& path, uint32_t id) {
  Outcome<UniqueFd> directory = OpenDirectory(path);
  if (const SystemError* error = directory.error()) return *error;
  struct fsxattr attributes = {};
  if (::ioctl(directory.value().get(), FS_IOC_FSGETXATTR, &attributes) != 0) return Failed("FS_IOC_FSGETXATTR", path);
  attributes.fsx_projid = id;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (::ioctl(directory.value().get(), FS_IOC_FSSETXATTR, &attributes) != 0) return Failed("FS_IOC_FSSETXATTR", path);
  return std::nullopt;
}

/** 0 also where the file system knows of no projects. */
Outcome<uint32_t> AssignedTo(const std::string& path) {
  Outcome<UniqueFd> directory = OpenDirectory(path);
  if (const SystemError* error = directory.error()) return *error;
  struct fsxattr attributes = {};
  if (::ioctl(directory.value().get(), FS_IOC_FSGETXATTR, &attributes) == 0) return attributes.fsx_projid;
  if (errno == ENOTTY || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return 0U;
  return Failed("FS_IOC_FSGETXATTR", path);
}

Failure Limit(const std::string& path, uint32_t id, uint64_t bytes, uint64_t inodes) {
  Outcome<UniqueFd> directory = OpenDirectory(path);
  if (const SystemError* error = directory.error()) return *error;
  struct if_dqblk limits = {};
  limits.dqb_bhardlimit = bytes / kBlockBytes;
  limits.dqb_ihardlimit = inodes;
  limits.dqb_valid = QIF_LIMITS;
  if (QuotaCall(directory.value().get(), Q_SETQUOTA, id, &limits) != 0) return Failed("quotactl", path);
  return std::nullopt;
}

Outcome<std::optional<ProjectUse>> Next(const std::string& path, uint32_t from) {
  Outcome<UniqueFd> directory = OpenDirectory(path);
  if (const SystemError* error = directory.error()) return *error;
  struct if_nextdqblk found = {};
  if (QuotaCall(directory.value().get(), Q_GETNEXTQUOTA, from, &found) != 0) {
    if (errno == ENOENT) return std::optional<ProjectUse>();
    return Failed("quotactl", path);
  }
  return std::optional<ProjectUse>(ProjectUse{found.dqb_id, found.dqb_curspace, found.dqb_curinodes,
                                              found.dqb_bhardlimit * kBlockBytes, found.dqb_ihardlimit});
}

Napi::Value Give(Napi::Env env, std::optional<ProjectUse>& use) {
  if (!use) return env.Null();
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", Napi::Number::New(env, use->id));
  result.Set("bytes", Napi::BigInt::New(env, use->bytes));
  result.Set("inodes", Napi::BigInt::New(env, use->inodes));
  result.Set("maxBytes", Napi::BigInt::New(env, use->max_bytes));
  result.Set("maxInodes", Napi::BigInt::New(env, use->max_inodes));
  return result;
}

}  // namespace

Napi::Value BoundsProjects(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return PoolWork<bool>::Start(
      info.Env(), [=] { return Bounds(path); },
      [](Napi::Env env, bool& bounds) -> Napi::Value { return Napi::Boolean::New(env, bounds); });
}

Napi::Value SetProject(const Napi::CallbackInfo& info) {
  std::string path;
  uint32_t id = 0;
  if (!ReadArguments(info, path, id)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Assign(path, id); });
}

Napi::Value ProjectOf(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return PoolWork<uint32_t>::Start(
      info.Env(), [=] { return AssignedTo(path); },
      [](Napi::Env env, uint32_t& id) -> Napi::Value { return Napi::Number::New(env, id); });
}

Napi::Value LimitProject(const Napi::CallbackInfo& info) {
  std::string path;
  uint32_t id = 0;
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  if (!ReadArguments(info, path, id, bytes, inodes)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Limit(path, id, bytes, inodes); });
}

Napi::Value NextProject(const Napi::CallbackInfo& info) {
  std::string path;
  uint32_t from = 0;
  if (!ReadArguments(info, path, from)) return info.Env().Undefined();
  return PoolWork<std::optional<ProjectUse>>::Start(
      info.Env(), [=] { return Next(path, from); }, Give);
}

}  // namespace a3s
