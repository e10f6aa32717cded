#pragma once

#include <napi.h>

namespace a3s {

Napi::Value CreateNetns(const Napi::CallbackInfo& info);
Napi::Value RemoveNetns(const Napi::CallbackInfo& info);

}  // namespace a3s
