#pragma once

#include <string>
#include <string_view>

#include "exit_codes.h"

namespace a3s {

/** Codes of src/base/errors.ts that a layer can fail with. */
enum class ErrorCode { kInternal, kUnimplemented, kResourceExhausted, kUnavailable };

/** Before the jail is closed: one line on standard error, and the end of the process. */
[[noreturn]] void Die(ExitCode code, const std::string& what);

/** The same with the text of errno after it. */
[[noreturn]] void DieOfErrno(const std::string& what);

/** Where results go from now on: the directory that is the jail's root. Makes the file, so that there is room for it.
 */
void OpenResult(int root);

/** Ends the process with a failure of the layer; from any thread, the first one counts. */
[[noreturn]] void Fail(ErrorCode code, const std::string& message);

/** The same for a system call, "ENAMETOOLONG: open NAME: File name too long"; a full disk has its own exit status. */
[[noreturn]] void FailOfErrno(const char* call, std::string_view name, int number);

/** The entry that is being made: failures of this thread name it. Empty: none. */
void AtEntry(std::string_view name);

/** Ends the process with success. Fields end with a NUL. */
[[noreturn]] void Succeed(const std::string& fields);

/** A name for people: at most 200 bytes, what is not printable as \xNN. */
std::string Shown(std::string_view name);

}  // namespace a3s
