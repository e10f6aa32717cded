#pragma once

#include <napi.h>

#include <cstdint>

#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** Field 22 of /proc/PID/stat: start time in clock ticks after boot. ESRCH when there is no such process. */
Outcome<uint64_t> StartTimeOf(int pid);

/** A pidfd of that process and no other; none, without an error, when it is gone. */
Outcome<UniqueFd> OpenProcess(int pid, uint64_t start_time);

Napi::Value AdoptProcess(const Napi::CallbackInfo& info);
Napi::Value SignalProcess(const Napi::CallbackInfo& info);

}  // namespace a3s
