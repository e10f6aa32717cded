#include "console_log.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "failure.h"

namespace a3s {

namespace {

constexpr off_t kMaxBytes = 1 << 20;
constexpr off_t kKeptBytes = 64 << 10;

/** Gives back what lies before the last `kKeptBytes`. Returns where the content now begins. */
off_t CutBeginning(int log, off_t begin) {
  struct stat info;
  if (::fstat(log, &info) != 0 || info.st_size - begin < kMaxBytes) return begin;
  const off_t end = (info.st_size - kKeptBytes) & ~off_t{4095};
  if (::fallocate(log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) != 0) return begin;
  return end;
}

void Watch(const UniqueFd& log, const UniqueFd& events) {
  off_t begin = 0;
  alignas(struct inotify_event) char buffer[4096];
  for (;;) {
    if (::read(events.get(), buffer, sizeof buffer) < 0 && errno != EINTR) return;
    begin = CutBeginning(log.get(), begin);
  }
}

}  // namespace

UniqueFd OpenConsoleLog(const std::string& path) {
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!log.valid()) DieOfErrno(ExitCode::kConsole, "console", path);
  struct stat info;
  if (::fstat(log.get(), &info) != 0 || !S_ISREG(info.st_mode))
    Die(ExitCode::kConsole, "console", path + " is no file");
  return log;
}

UniqueFd WatchConsoleLog(const UniqueFd& log) {
  UniqueFd events(::inotify_init1(IN_CLOEXEC));
  const std::string path = "/proc/self/fd/" + std::to_string(log.get());
  if (!events.valid() || ::inotify_add_watch(events.get(), path.c_str(), IN_MODIFY) < 0) {
    DieOfErrno(ExitCode::kConsole, "console", "inotify");
  }
  return events;
}

void LimitConsoleLog(UniqueFd log, UniqueFd events) {
  std::thread([log = std::move(log), events = std::move(events)] { Watch(log, events); }).detach();
}

}  // namespace a3s
