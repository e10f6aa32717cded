#include "pidfd.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "arguments.h"
#include "pool_work.h"
#include "unique_fd.h"

namespace a3s {

Outcome<uint64_t> StartTimeOf(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno == ENOENT ? FailedWith(ESRCH, "open", path) : Failed("open", path);
  char text[1024];
  const ssize_t length = ::read(file.get(), text, sizeof text - 1);
  if (length < 0) return Failed("read", path);
  const std::string stat(text, static_cast<size_t>(length));
  // The second field is the program's name in brackets and may itself have brackets and blanks in it.
  size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; field++) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return FailedWith(EBADMSG, "read", path);
  return static_cast<uint64_t>(std::strtoull(stat.c_str() + at + 1, nullptr, 10));
}

// Through syscall(2): glibc 2.36 declares its own wrappers without extern "C".

/** The descriptor is taken first: what it names can't change while the time is read. */
Outcome<UniqueFd> OpenProcess(int pid, uint64_t start_time) {
  if (pid <= 0) return UniqueFd();
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    if (errno == ESRCH || errno == EINVAL) return UniqueFd();
    return Failed("pidfd_open", std::to_string(pid));
  }
  Outcome<uint64_t> found = StartTimeOf(pid);
  if (const SystemError* error = found.error()) {
    if (error->number == ESRCH) return UniqueFd();
    return *error;
  }
  if (found.value() != start_time) return UniqueFd();
  return pidfd;
}

namespace {

Napi::Value GiveOrNull(Napi::Env env, UniqueFd& fd) {
  if (!fd.valid()) return env.Null();
  return Napi::Number::New(env, fd.Release());
}

Outcome<bool> Signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return Failed("pidfd_send_signal", std::to_string(pidfd));
}

}  // namespace

Napi::Value AdoptProcess(const Napi::CallbackInfo& info) {
  int pid = 0;
  uint64_t start_time = 0;
  if (!ReadArguments(info, pid, start_time)) return info.Env().Undefined();
  return PoolWork<UniqueFd>::Start(
      info.Env(), [=] { return OpenProcess(pid, start_time); }, GiveOrNull);
}

Napi::Value SignalProcess(const Napi::CallbackInfo& info) {
  int pidfd = -1;
  int signal = 0;
  if (!ReadArguments(info, pidfd, signal)) return info.Env().Undefined();
  const auto give = [](Napi::Env env, bool& sent) -> Napi::Value { return Napi::Boolean::New(env, sent); };
  return PoolWork<bool>::Start(
      info.Env(), [=] { return Signal(pidfd, signal); }, give);
}

}  // namespace a3s
