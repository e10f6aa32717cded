#include "peer.h"

#include <sys/socket.h>

#include "arguments.h"
#include "system_error.h"

namespace a3s {

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!ReadArguments(info, fd)) return info.Env().Undefined();
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return Throw(info.Env(), Failed("getsockopt"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", Napi::Number::New(info.Env(), peer.pid));
  result.Set("uid", Napi::Number::New(info.Env(), peer.uid));
  result.Set("gid", Napi::Number::New(info.Env(), peer.gid));
  return result;
}

}  // namespace a3s
