#pragma once

#include <napi.h>

namespace a3s {

Napi::Value BoundsProjects(const Napi::CallbackInfo& info);
Napi::Value SetProject(const Napi::CallbackInfo& info);
Napi::Value ProjectOf(const Napi::CallbackInfo& info);
Napi::Value LimitProject(const Napi::CallbackInfo& info);
Napi::Value NextProject(const Napi::CallbackInfo& info);

}  // namespace a3s
