#include "notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "arguments.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

namespace {

Failure Send(const std::string& path, const std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return FailedWith(ENAMETOOLONG, "sendto", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return Failed("socket");
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const ssize_t sent = ::sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&address), length);
  if (sent < 0) return Failed("sendto", path);
  return std::nullopt;
}

}  // namespace

Napi::Value NotifySocket(const Napi::CallbackInfo& info) {
  std::string path;
  std::string text;
  if (!ReadArguments(info, path, text)) return info.Env().Undefined();
  if (const Failure failure = Send(path, text)) return Throw(info.Env(), *failure);
  return info.Env().Undefined();
}

}  // namespace a3s
