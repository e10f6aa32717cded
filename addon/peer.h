#pragma once

#include <napi.h>

namespace a3s {

// peerCredentials(fd): { pid, uid, gid } of who has connected a Unix socket, as they were at connect(2) (unix(7),
// SO_PEERCRED). Does not block: done on the calling thread.
Napi::Value PeerCredentials(const Napi::CallbackInfo& info);

// openPeer(fd): a close-on-exec pidfd of who has connected a Unix socket (SO_PEERPIDFD, Linux 6.5), or of the process
// that has its number now, where the kernel is older; null when it is gone. At once.
Napi::Value OpenPeer(const Napi::CallbackInfo& info);

}  // namespace a3s
