#pragma once

#include <napi.h>

namespace a3s {

Napi::Value LockDirectory(const Napi::CallbackInfo& info);

Napi::Value LockFile(const Napi::CallbackInfo& info);

}  // namespace a3s
