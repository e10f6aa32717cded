#pragma once

#include <napi.h>

namespace a3s {

Napi::Value GoOnInCgroupNamespace(const Napi::CallbackInfo& info);

}  // namespace a3s
