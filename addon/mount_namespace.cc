#include "mount_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <thread>

#include "open_in.h"
#include "pidfd.h"
#include "pool_work.h"

namespace a3s {

namespace {

Failure EnterAndRun(const NamedProcess& process, const std::function<Failure()>& work) {
  if (Failure failure = EnterMountsOf(process)) return failure;
  return work();
}

Outcome<std::string> ReadAll(int fd, const char* path) {
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t length = ::read(fd, buffer, sizeof buffer);
    if (length == 0) return text;
    if (length > 0) {
      text.append(buffer, static_cast<size_t>(length));
    } else if (errno != EINTR) {
      return Failed("read", path);
    }
  }
}

/** Of the thread itself, seen through the proc that it had before: there need be none among the mounts it is in. */
Outcome<std::string> OwnMountinfo(int proc) {
  constexpr char kPath[] = "thread-self/mountinfo";
  UniqueFd file(::openat(proc, kPath, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Failed("open", kPath);
  return ReadAll(file.get(), kPath);
}

Outcome<std::string> MountinfoAmong(const NamedProcess& process) {
  UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) return Failed("open", "/proc");
  Outcome<std::string> found = FailedWith(EIO, "open", "mountinfo");
  Failure failure = AmongMountsOf(process, [&] {
    found = OwnMountinfo(proc.get());
    return Failure();
  });
  if (failure) return *failure;
  return found;
}

Outcome<UniqueFd> OpenAmong(const NamedProcess& process, const std::string& path) {
  Outcome<UniqueFd> opened = FailedWith(EIO, "open", path);
  Failure failure = AmongMountsOf(process, [&] {
    opened = OpenWithoutLinks(path);
    return Failure();
  });
  if (failure) return *failure;
  return opened;
}

}  // namespace

bool Read(const Napi::Value& value, NamedProcess& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "pid", out.pid) && ReadMember(object, "startTime", out.start_time);
}

Failure EnterMountsOf(const NamedProcess& process) {
  const std::string number = std::to_string(process.pid);
  Outcome<UniqueFd> pidfd = OpenProcess(process.pid, process.start_time);
  if (const SystemError* error = pidfd.error()) return *error;
  if (!pidfd.value().valid()) return FailedWith(ESRCH, "setns", number);
  // Root and directory are otherwise those of all threads.
  if (::unshare(CLONE_FS) != 0) return Failed("unshare", number);
  if (::setns(pidfd.value().get(), CLONE_NEWNS) != 0) return Failed("setns", number);
  return std::nullopt;
}

Failure AmongMountsOf(const std::optional<NamedProcess>& process, const std::function<Failure()>& work) {
  if (!process) return work();
  Failure failure;
  std::thread([&] { failure = EnterAndRun(*process, work); }).join();
  return failure;
}

Outcome<UniqueFd> OpenWithoutLinks(const std::string& path) {
  UniqueFd opened = OpenAt2(AT_FDCWD, path, O_PATH, 0, RESOLVE_NO_SYMLINKS);
  if (!opened.valid()) return Failed("openat2", path);
  return opened;
}

Napi::Value OpenAmongMounts(const Napi::CallbackInfo& info) {
  NamedProcess process;
  std::string path;
  if (!ReadArguments(info, process, path)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return OpenAmong(process, path); },
      [](Napi::Env env, UniqueFd& opened) -> Napi::Value { return Napi::Number::New(env, opened.Release()); });
}

Napi::Value ReadMounts(const Napi::CallbackInfo& info) {
  NamedProcess process;
  if (!ReadArguments(info, process)) return info.Env().Undefined();
  return PoolWork<std::string>::Start(
      info.Env(), [=] { return MountinfoAmong(process); },
      [](Napi::Env env, std::string& text) -> Napi::Value { return Napi::String::New(env, text); });
}

}  // namespace a3s
