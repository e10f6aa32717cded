#pragma once

#include <napi.h>

namespace a3s {

Napi::Value SetPropagation(const Napi::CallbackInfo& info);
Napi::Value SetReadonly(const Napi::CallbackInfo& info);
Napi::Value Unmount(const Napi::CallbackInfo& info);

}  // namespace a3s
