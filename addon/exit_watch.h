#pragma once

#include <napi.h>

namespace a3s {

/** Ends every watch of an environment that goes away; called once per environment. */
void InstallWatchCleanup(Napi::Env env);

Napi::Value WatchExit(const Napi::CallbackInfo& info);

}  // namespace a3s
