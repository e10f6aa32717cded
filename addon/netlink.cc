#include "netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace a3s {

namespace {

/** The kernel fills at most this much per datagram of a dump (netlink(7): 32 KiB since Linux 4.9). */
constexpr size_t kReceiveBytes = 64 * 1024;
/** The kernel answers at once; this is for a bug, not for load. */
constexpr time_t kAnswerSeconds = 10;

}  // namespace

void NetlinkMessage::Append(const void* bytes, size_t length) {
  const auto* first = static_cast<const uint8_t*>(bytes);
  bytes_.insert(bytes_.end(), first, first + length);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

NetlinkMessage& NetlinkMessage::AddBytes(uint16_t type, const void* value, size_t length) {
  const rtattr attribute = {static_cast<uint16_t>(RTA_LENGTH(length)), type};
  Append(&attribute, sizeof attribute);
  if (length > 0) Append(value, length);
  return *this;
}

NetlinkMessage& NetlinkMessage::AddNested(uint16_t type, const std::function<void(NetlinkMessage&)>& fill) {
  const size_t start = bytes_.size();
  AddBytes(type, nullptr, 0);
  fill(*this);
  const auto length = static_cast<uint16_t>(bytes_.size() - start);
  std::memcpy(bytes_.data() + start, &length, sizeof length);
  return *this;
}

std::span<const uint8_t> NetlinkMessage::Finish() {
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof length);
  return bytes_;
}

std::span<const uint8_t> NetlinkAttributes::Find(uint16_t type) const {
  size_t at = 0;
  while (at + sizeof(rtattr) <= length_) {
    rtattr attribute;
    std::memcpy(&attribute, first_ + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > length_ - at) return {};
    if ((attribute.rta_type & NLA_TYPE_MASK) == type) {
      return {first_ + at + sizeof attribute, attribute.rta_len - sizeof attribute};
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return {};
}

uint32_t NetlinkAttributes::Number(uint16_t type) const {
  const std::span<const uint8_t> value = Find(type);
  uint32_t number = 0;
  std::memcpy(&number, value.data(), std::min(value.size(), sizeof number));
  return number;
}

NetlinkAttributes NetlinkAttributes::Nested(uint16_t type) const {
  const std::span<const uint8_t> value = Find(type);
  return {value.data(), value.size()};
}

Failure NetlinkSocket::Open() {
  fd_ = UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd_.valid()) return Failed("socket netlink");
  const timeval limit = {kAnswerSeconds, 0};
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return Failed("setsockopt netlink");
  return std::nullopt;
}

Failure NetlinkSocket::Request(NetlinkMessage& message, const char* what, const std::string& about) {
  std::span<const uint8_t> bytes = message.Finish();
  std::vector<uint8_t> request(bytes.begin(), bytes.end());
  reinterpret_cast<nlmsghdr*>(request.data())->nlmsg_flags |= NLM_F_ACK;
  if (::send(fd_.get(), request.data(), request.size(), 0) < 0) return Failed(what, about);
  std::vector<uint8_t> answer(kReceiveBytes);
  const ssize_t length = ::recv(fd_.get(), answer.data(), answer.size(), 0);
  if (length < 0) return Failed(what, about);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (!NLMSG_OK(header, static_cast<size_t>(length)) || header->nlmsg_type != NLMSG_ERROR) {
    return FailedWith(EPROTO, what, about);
  }
  const int error = static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
  if (error != 0) return FailedWith(-error, what, about);
  return std::nullopt;
}

Failure NetlinkSocket::DumpMessages(NetlinkMessage& message, const char* what,
                                    const std::function<void(const uint8_t*, size_t)>& each) {
  std::span<const uint8_t> request = message.Finish();
  if (::send(fd_.get(), request.data(), request.size(), 0) < 0) return Failed(what);
  std::vector<uint8_t> answer(kReceiveBytes);
  for (;;) {
    const ssize_t received = ::recv(fd_.get(), answer.data(), answer.size(), 0);
    if (received < 0) return Failed(what);
    auto left = static_cast<size_t>(received);
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
    for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return std::nullopt;
      if (header->nlmsg_type == NLMSG_ERROR) {
        return FailedWith(-static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error, what);
      }
      each(static_cast<const uint8_t*>(NLMSG_DATA(header)), NLMSG_PAYLOAD(header, 0));
    }
  }
}

}  // namespace a3s
