#pragma once

namespace a3s {

/** Becomes the machine that the config describes, and ends with it. Errors end the process with an `ExitCode`. */
[[noreturn]] void RunFromFile(const char* path);
[[noreturn]] void RunFromDescriptor(const char* number);

}  // namespace a3s
