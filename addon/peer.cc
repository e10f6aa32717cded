#include "peer.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "arguments.h"
#include "system_error.h"
#include "unique_fd.h"

// Of linux/socket.h since 6.5; the same on every architecture that a Box runs on.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

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

namespace {

/** None, without an error, when it is gone. */
Outcome<UniqueFd> OpenPeerOf(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof(pidfd);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) return UniqueFd(pidfd);
  if (errno == ESRCH || errno == EINVAL || errno == ENODATA) return UniqueFd();
  if (errno != ENOPROTOOPT) return Failed("getsockopt");
  ucred peer{};
  length = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return Failed("getsockopt");
  if (peer.pid <= 0) return UniqueFd();
  UniqueFd opened(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  if (opened.valid() || errno == ESRCH || errno == EINVAL) return opened;
  return Failed("pidfd_open");
}

}  // namespace

Napi::Value OpenPeer(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!ReadArguments(info, fd)) return info.Env().Undefined();
  Outcome<UniqueFd> peer = OpenPeerOf(fd);
  if (const SystemError* error = peer.error()) return Throw(info.Env(), *error);
  if (!peer.value().valid()) return info.Env().Null();
  return Napi::Number::New(info.Env(), peer.value().Release());
}

}  // namespace a3s
