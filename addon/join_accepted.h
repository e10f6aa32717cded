#pragma once

#include <napi.h>

namespace a3s {

struct AddonData;

/** Of an environment that goes away: their connections end. */
void CloseJoins(AddonData& data);

Napi::Value BindVsock(const Napi::CallbackInfo& info);
Napi::Value JoinAccepted(const Napi::CallbackInfo& info);

}  // namespace a3s
