#pragma once

#include <napi.h>

namespace a3s {

// peerCredentials(fd): { pid, uid, gid } of who has connected a Unix socket, as they were at connect(2) (unix(7),
// SO_PEERCRED). Does not block: done on the calling thread.
Napi::Value PeerCredentials(const Napi::CallbackInfo& info);

}  // namespace a3s
