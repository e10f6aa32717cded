#pragma once

#include <napi.h>

#include <string>

#include "system_error.h"

namespace a3s {

/** Removes `name` in `parent` with everything below it. Success when not there; EBUSY where something is mounted. */
Failure RemoveTreeAt(int parent, const std::string& name, const std::string& path);

Napi::Value RemoveTree(const Napi::CallbackInfo& info);
Napi::Value TreeUsage(const Napi::CallbackInfo& info);

}  // namespace a3s
