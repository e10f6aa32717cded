#pragma once

#include <string>

#include "exit_codes.h"

namespace a3s {

/** One line on standard error, "a3s-box-launcher: STAGE: WHAT", and the end of the process. */
[[noreturn]] void Die(ExitCode code, const char* stage, const std::string& what);

/** The same with the text of an errno after it; 0 takes the current one. */
[[noreturn]] void DieOfErrno(ExitCode code, const char* stage, const std::string& what, int number = 0);

}  // namespace a3s
