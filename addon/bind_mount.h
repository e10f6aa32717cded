#pragma once

#include <napi.h>

namespace a3s {

Napi::Value BindMount(const Napi::CallbackInfo& info);
Napi::Value CopyMount(const Napi::CallbackInfo& info);
Napi::Value MountTmpfs(const Napi::CallbackInfo& info);

}  // namespace a3s
