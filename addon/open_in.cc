#include "open_in.h"

#include <sys/syscall.h>

#include <cerrno>

#include "arguments.h"
#include "pool_work.h"

namespace a3s {

UniqueFd OpenAt2(int root, const std::string& path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode =
      (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0 ? mode : 0;  // the kernel refuses a mode without them
  how.resolve = resolve;
  constexpr int kMaxTries = 100;
  for (int tries = 1;; tries++) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
    if (fd.valid() || tries >= kMaxTries || (errno != EAGAIN && errno != EINTR)) return fd;
  }
}

namespace {

Outcome<UniqueFd> Open(const std::string& root, const std::string& path, uint64_t flags, uint64_t mode,
                       uint64_t resolve) {
  if (resolve == 0) return FailedWith(EINVAL, "openat2", path);
  UniqueFd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid()) return Failed("open", root);
  UniqueFd fd = OpenAt2(top.get(), path, flags, mode, resolve | RESOLVE_NO_MAGICLINKS);
  if (!fd.valid()) return Failed("openat2", root + ": " + path);
  return fd;
}

uint64_t ResolveBits(const std::string& name) {
  if (name == "beneath") return RESOLVE_BENEATH;
  if (name == "inRoot") return RESOLVE_IN_ROOT;
  return 0;
}

Napi::Value Give(Napi::Env env, UniqueFd& fd) { return Napi::Number::New(env, fd.Release()); }

}  // namespace

Napi::Value OpenIn(const Napi::CallbackInfo& info) {
  std::string root;
  std::string path;
  uint32_t flags = 0;
  uint32_t mode = 0;
  std::string resolve;
  if (!ReadArguments(info, root, path, flags, mode, resolve)) return info.Env().Undefined();
  const uint64_t bits = ResolveBits(resolve);
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return Open(root, path, flags, mode, bits); }, Give);
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!ReadArguments(info, fd)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=]() -> Failure {
    if (::close(fd) != 0 && errno != EINTR) return Failed("close", std::to_string(fd));
    return std::nullopt;
  });
}

}  // namespace a3s
