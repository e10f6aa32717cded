#pragma once

#include <napi.h>

namespace a3s {

Napi::Value LookUp(const Napi::CallbackInfo& info);
Napi::Value ExitNow(const Napi::CallbackInfo& info);

}  // namespace a3s
