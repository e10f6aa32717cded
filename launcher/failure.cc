#include "failure.h"

#include <string.h>
#include <unistd.h>

#include <cerrno>

namespace a3s {

void Die(ExitCode code, const char* stage, const std::string& what) {
  std::string line = "a3s-box-launcher: ";
  line += stage;
  line += ": " + what + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) errno = 0;  // nobody listens; the status remains
  ::_exit(static_cast<int>(code));
}

void DieOfErrno(ExitCode code, const char* stage, const std::string& what, int number) {
  const int reason = number == 0 ? errno : number;
  Die(code, stage, what + ": " + ::strerrordesc_np(reason));
}

}  // namespace a3s
