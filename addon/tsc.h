#pragma once

#include <napi.h>

namespace a3s {

// readTsc(): { ticks, monotonicNs }. Some nanoseconds of work: done on the calling thread.
Napi::Value ReadTsc(const Napi::CallbackInfo& info);

}  // namespace a3s
