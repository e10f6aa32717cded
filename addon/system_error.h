#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace a3s {

/** A failed system call: what crosses to JavaScript as `{code, errno, syscall, path}`. */
struct SystemError {
  int number = 0;
  std::string syscall;
  std::string path;
};

/** Takes `errno` at once: call it directly after the failed system call. */
SystemError Failed(const char* syscall, std::string path = {});
SystemError FailedWith(int number, const char* syscall, std::string path = {});

/** Nothing, or why not. */
using Failure = std::optional<SystemError>;

/** A value, or why there is none. */
template <typename T>
class Outcome {
 public:
  Outcome(T value) : state_(std::move(value)) {}            // NOLINT: meant to convert
  Outcome(SystemError error) : state_(std::move(error)) {}  // NOLINT: meant to convert
  const SystemError* error() const { return std::get_if<SystemError>(&state_); }
  T& value() { return *std::get_if<T>(&state_); }

 private:
  std::variant<T, SystemError> state_;
};

/** An Error of Node's kind: "ENOENT: mount /x: No such file or directory" with code, errno (negative), syscall and
 * path. */
Napi::Error ToJavaScript(Napi::Env env, const SystemError& error);

/** Throws it in JavaScript; the value is for `return`. */
Napi::Value Throw(Napi::Env env, const SystemError& error);

}  // namespace a3s
