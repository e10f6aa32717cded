#include "system_error.h"

#include <string.h>

#include <cerrno>

namespace a3s {

SystemError Failed(const char* syscall, std::string path) { return {errno, syscall, std::move(path)}; }

SystemError FailedWith(int number, const char* syscall, std::string path) { return {number, syscall, std::move(path)}; }

namespace {

std::string NameOf(const SystemError& error) {
  // EAGAIN and EWOULDBLOCK are one number; for a lock the latter name is the one people look for.
  if (error.number == EWOULDBLOCK && error.syscall == "flock") return "EWOULDBLOCK";
  const char* name = ::strerrorname_np(error.number);
  return name == nullptr ? "EUNKNOWN" : name;
}

}  // namespace

Napi::Error ToJavaScript(Napi::Env env, const SystemError& error) {
  const std::string code = NameOf(error);
  const char* text = ::strerrordesc_np(error.number);
  std::string message = code + ": " + error.syscall;
  if (!error.path.empty()) message += " " + error.path;
  message += std::string(": ") + (text == nullptr ? "unknown error" : text);
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("code", Napi::String::New(env, code));
  result.Set("errno", Napi::Number::New(env, -error.number));
  result.Set("syscall", Napi::String::New(env, error.syscall));
  if (error.path.empty()) {
    result.Set("path", env.Null());
  } else {
    result.Set("path", Napi::String::New(env, error.path));
  }
  return result;
}

Napi::Value Throw(Napi::Env env, const SystemError& error) {
  ToJavaScript(env, error).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace a3s
