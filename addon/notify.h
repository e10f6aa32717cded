#pragma once

#include <napi.h>

namespace a3s {

// notifySocket(path, text): one datagram to a Unix socket ("@name" is an abstract one), as sd_notify(3) sends it. Does
// not block: done on the calling thread.
Napi::Value NotifySocket(const Napi::CallbackInfo& info);

}  // namespace a3s
