#pragma once

#include <napi.h>

namespace a3s {

Napi::Value CreateTap(const Napi::CallbackInfo& info);
Napi::Value RedirectLinks(const Napi::CallbackInfo& info);
Napi::Value RaiseLinks(const Napi::CallbackInfo& info);
Napi::Value AddLinkEnd(const Napi::CallbackInfo& info);

}  // namespace a3s
