#pragma once

#include <napi.h>

#include <functional>
#include <string>

#include "system_error.h"

namespace a3s {

Napi::Value CreateNetns(const Napi::CallbackInfo& info);
Napi::Value RemoveNetns(const Napi::CallbackInfo& info);

/** Runs `work` on a thread of its own in the network namespace at `path`, and waits for it. */
Failure InNetns(const std::string& path, const std::function<Failure()>& work);

}  // namespace a3s
