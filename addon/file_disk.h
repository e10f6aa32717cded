#pragma once

#include <napi.h>

namespace a3s {

Napi::Value MountFileDisk(const Napi::CallbackInfo& info);
Napi::Value AbandonFileDisk(const Napi::CallbackInfo& info);

}  // namespace a3s
