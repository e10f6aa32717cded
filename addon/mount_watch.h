#pragma once

#include <napi.h>

namespace a3s {

struct AddonData;

/** Of an environment that goes away: none of its promises settles any more. */
void CloseMountWatches(AddonData& data);

Napi::Value WatchMounts(const Napi::CallbackInfo& info);

}  // namespace a3s
