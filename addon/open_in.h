#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <napi.h>

#include <string>

#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** openat2(2), always close-on-exec, repeated while a rename elsewhere disturbs it; -1 with errno set on failure. */
UniqueFd OpenAt2(int root, const std::string& path, uint64_t flags, uint64_t mode, uint64_t resolve);

Napi::Value OpenIn(const Napi::CallbackInfo& info);
Napi::Value CloseFd(const Napi::CallbackInfo& info);

}  // namespace a3s
