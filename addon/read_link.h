#pragma once

#include <napi.h>

namespace a3s {

Napi::Value ReadLink(const Napi::CallbackInfo& info);

}  // namespace a3s
