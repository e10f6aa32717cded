#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** One rtnetlink(7) message being put together: header, fixed part, attributes, nested where asked. */
class NetlinkMessage {
 public:
  template <typename Fixed>
  NetlinkMessage(uint16_t type, uint16_t flags, const Fixed& fixed) {
    nlmsghdr header = {};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    Append(&header, sizeof header);
    Append(&fixed, sizeof fixed);
  }

  template <typename Value>
  NetlinkMessage& Add(uint16_t type, const Value& value) {
    return AddBytes(type, &value, sizeof value);
  }
  /** With the closing NUL. */
  NetlinkMessage& AddText(uint16_t type, const std::string& text) {
    return AddBytes(type, text.c_str(), text.size() + 1);
  }
  NetlinkMessage& AddBytes(uint16_t type, const void* value, size_t length);
  /** What is added in `fill` becomes the attribute's content. */
  NetlinkMessage& AddNested(uint16_t type, const std::function<void(NetlinkMessage&)>& fill);

  /** The finished bytes, the total length in place. */
  std::span<const uint8_t> Finish();

 private:
  void Append(const void* bytes, size_t length);

  std::vector<uint8_t> bytes_;
};

/** Attributes of one message, by type; what is malformed ends the walk. */
class NetlinkAttributes {
 public:
  NetlinkAttributes(const void* first, size_t length) : first_(static_cast<const uint8_t*>(first)), length_(length) {}

  /** Empty when there is none of that type. */
  std::span<const uint8_t> Find(uint16_t type) const;
  /** 0 when there is none. */
  uint32_t Number(uint16_t type) const;
  NetlinkAttributes Nested(uint16_t type) const;

 private:
  const uint8_t* first_;
  size_t length_;
};

/** An rtnetlink socket of the calling thread's network namespace. One request at a time. */
class NetlinkSocket {
 public:
  Failure Open();
  /** Sends and waits for the kernel's word. `what` is for the error. */
  Failure Request(NetlinkMessage& message, const char* what, const std::string& about);
  /** Sends a dump request and hands over each message of the answer: its fixed part with what follows. */
  template <typename Fixed>
  Failure Dump(uint16_t type, const Fixed& fixed, const char* what,
               const std::function<void(const Fixed&, const NetlinkAttributes&)>& each) {
    NetlinkMessage message(type, NLM_F_DUMP, fixed);
    return DumpMessages(message, what, [&each](const uint8_t* payload, size_t length) {
      constexpr size_t kOffset = NLMSG_ALIGN(sizeof(Fixed));
      if (length < sizeof(Fixed)) return;
      const size_t rest = length > kOffset ? length - kOffset : 0;
      each(*reinterpret_cast<const Fixed*>(payload), NetlinkAttributes(payload + kOffset, rest));
    });
  }

 private:
  Failure DumpMessages(NetlinkMessage& message, const char* what,
                       const std::function<void(const uint8_t*, size_t)>& each);

  UniqueFd fd_;
};

}  // namespace a3s
