#include "failure.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "broker.h"

namespace a3s {

namespace {

constexpr size_t kShownBytes = 200;

int result_fd = -1;
std::atomic_flag ended = ATOMIC_FLAG_INIT;
thread_local std::string entry;

const char* NameOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal:
      return "internal";
    case ErrorCode::kUnimplemented:
      return "unimplemented";
    case ErrorCode::kResourceExhausted:
      return "resourceExhausted";
    case ErrorCode::kUnavailable:
      return "unavailable";
  }
  return "internal";
}

/** One thread reports; the others wait for the end here. */
void BeTheOnlyOne() {
  while (ended.test_and_set()) ::usleep(1000);
}

bool WriteAll(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(result_fd, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    done += static_cast<size_t>(written);
  }
  return true;
}

[[noreturn]] void End(ExitCode code) {
  EndBroker();
  ::_exit(static_cast<int>(code));
}

}  // namespace

void Die(ExitCode code, const std::string& what) {
  const std::string line = "a3s-box-unpacker: " + what + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) errno = 0;  // nobody listens; the status remains
  ::_exit(static_cast<int>(code));
}

void DieOfErrno(const std::string& what) { Die(ExitCode::kJail, what + ": " + ::strerrordesc_np(errno)); }

void OpenResult(int root) {
  result_fd = ::openat(root, "result", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (result_fd < 0 && errno == ENOSPC) ::_exit(static_cast<int>(ExitCode::kNoSpace));
  if (result_fd < 0) DieOfErrno("make result");
}

void Fail(ErrorCode code, const std::string& message) {
  BeTheOnlyOne();
  const std::string full = entry.empty() ? message : "entry \"" + Shown(entry) + "\": " + message;
  const std::string fields = std::string(NameOf(code)) + '\0' + full + '\0';
  End(WriteAll(fields) ? ExitCode::kFailed : ExitCode::kNoSpace);
}

void FailOfErrno(const char* call, std::string_view name, int number) {
  if (number == ENOSPC || number == EDQUOT) {
    BeTheOnlyOne();
    End(ExitCode::kNoSpace);
  }
  const char* symbol = ::strerrorname_np(number);
  const char* text = ::strerrordesc_np(number);
  Fail(ErrorCode::kInternal, std::string(symbol == nullptr ? "E?" : symbol) + ": " + call + " " + Shown(name) + ": " +
                                 (text == nullptr ? "unknown error" : text));
}

void AtEntry(std::string_view name) { entry = name; }

void Succeed(const std::string& fields) {
  BeTheOnlyOne();
  End(WriteAll(fields) ? ExitCode::kDone : ExitCode::kNoSpace);
}

std::string Shown(std::string_view name) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string shown;
  for (const char character : name.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte != 0x7f && byte < 0x80) {
      shown += character;
      continue;
    }
    shown += "\\x";
    shown += kDigits[byte >> 4];
    shown += kDigits[byte & 15];
  }
  if (name.size() > kShownBytes) shown += "\xe2\x80\xa6";
  return shown;
}

}  // namespace a3s
