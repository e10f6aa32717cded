#include "directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "addon_data.h"
#include "arguments.h"
#include "pool_work.h"

namespace a3s {

namespace {

Outcome<UniqueFd> Lock(const std::string& path, int flags) {
  UniqueFd locked(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags, 0600));
  if (!locked.valid()) return Failed("open", path);
  if (::flock(locked.get(), LOCK_EX | LOCK_NB) != 0) return Failed("flock", path);
  return locked;
}

/** The lock lives in the environment's data, not in the handle: a handle that is garbage-collected loses nothing. */
Napi::Value Handle(Napi::Env env, UniqueFd& locked) {
  AddonData& data = AddonData::Of(env);
  const uint64_t id = data.next_id++;
  const int fd = locked.get();
  data.locks.emplace(id, std::move(locked));
  Napi::Object handle = Napi::Object::New(env);
  const auto close = [id](const Napi::CallbackInfo& info) { AddonData::Of(info.Env()).locks.erase(id); };
  handle.Set("fd", Napi::Number::New(env, fd));
  handle.Set("close", Napi::Function::New(env, close, "close"));
  return handle;
}

}  // namespace

Napi::Value LockDirectory(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return Lock(path, O_DIRECTORY); }, Handle);
}

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  std::string path;
  bool make = false;
  if (!ReadArguments(info, path, make)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return Lock(path, O_NOFOLLOW | (make ? O_CREAT : 0)); }, Handle);
}

}  // namespace a3s
