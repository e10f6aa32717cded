#include "listen_in.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "arguments.h"
#include "netns.h"
#include "pool_work.h"
#include "unique_fd.h"

namespace a3s {

namespace {

/** Of the calling thread's network namespace, of which it stays. A stream is bound only: whoever gets it listens. */
Failure Bind(bool stream, const std::string& address, uint16_t port, UniqueFd& out) {
  const bool is6 = address.find(':') != std::string::npos;
  sockaddr_storage storage = {};
  socklen_t length = 0;
  int read = 0;
  if (is6) {
    auto* at = reinterpret_cast<sockaddr_in6*>(&storage);
    at->sin6_family = AF_INET6;
    at->sin6_port = htons(port);
    read = ::inet_pton(AF_INET6, address.c_str(), &at->sin6_addr);
    length = sizeof *at;
  } else {
    auto* at = reinterpret_cast<sockaddr_in*>(&storage);
    at->sin_family = AF_INET;
    at->sin_port = htons(port);
    read = ::inet_pton(AF_INET, address.c_str(), &at->sin_addr);
    length = sizeof *at;
  }
  if (read != 1) return FailedWith(EINVAL, "read address", address);
  const int kind = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  UniqueFd fd(::socket(is6 ? AF_INET6 : AF_INET, kind, 0));
  if (!fd.valid()) return Failed("socket", address);
  const int on = 1;
  // A daemon that comes after one that was killed finds connections of that one's still closing.
  if (stream && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return Failed("setsockopt SO_REUSEADDR", address);
  }
  if (is6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return Failed("setsockopt IPV6_V6ONLY", address);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) return Failed("bind", address);
  out = std::move(fd);
  return std::nullopt;
}

}  // namespace

Napi::Value ListenIn(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string kind;
  std::string address;
  uint32_t port = 0;
  if (!ReadArguments(info, netns, kind, address, port)) return info.Env().Undefined();
  const bool stream = kind == "tcp";
  if (!stream && kind != "udp") return RefuseArgument(info, 1);
  if (port > UINT16_MAX) return RefuseArgument(info, 3);
  const auto work = [=]() -> Outcome<UniqueFd> {
    UniqueFd fd;
    const Failure failure = InNetns(netns, [&] { return Bind(stream, address, static_cast<uint16_t>(port), fd); });
    if (failure) return *failure;
    return fd;
  };
  return PoolWork<UniqueFd>::Start(info.Env(), work, [](Napi::Env env, UniqueFd& fd) -> Napi::Value {
    return Napi::Number::New(env, fd.Release());
  });
}

}  // namespace a3s
