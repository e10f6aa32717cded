#pragma once

#include <napi.h>

#include <cstdint>

#include "system_error.h"

namespace a3s {

/** Field 22 of /proc/PID/stat: start time in clock ticks after boot. ESRCH when there is no such process. */
Outcome<uint64_t> StartTimeOf(int pid);

Napi::Value AdoptProcess(const Napi::CallbackInfo& info);
Napi::Value SignalProcess(const Napi::CallbackInfo& info);

}  // namespace a3s
