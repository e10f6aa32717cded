#include "read_link.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <netinet/in.h>

#include <array>
#include <cstdio>
#include <optional>

#include "arguments.h"
#include "netlink.h"
#include "netns.h"
#include "pool_work.h"

namespace a3s {

namespace {

using Bytes8 = std::span<const uint8_t>;

struct Route {
  std::string destination;
  std::optional<std::string> gateway;
  std::optional<std::string> source;
  uint32_t metric = 0;
  uint32_t mtu = 0;
  bool on_link = false;
};

struct Neighbour {
  std::string address;
  std::string mac;
};

struct LinkState {
  int index = 0;
  std::string mac;
  uint32_t mtu = 0;
  bool promiscuous = false;
  bool all_multicast = false;
  uint32_t transmit_queue = 0;
  std::vector<std::string> addresses;
  std::vector<Route> routes;
  std::vector<Neighbour> neighbours;
};

/** By its length: 4 bytes are IPv4, 16 IPv6. */
std::optional<std::string> AddressText(Bytes8 bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> text = {};
  ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

std::string MacText(Bytes8 bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    std::array<char, 4> digits = {};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    if (!text.empty()) text += ':';
    text += digits.data();
  }
  return text;
}

std::string Cidr(const std::string& address, unsigned prefix_length) {
  return address + "/" + std::to_string(prefix_length);
}

Failure ReadSelf(NetlinkSocket& netlink, const std::string& name, std::optional<LinkState>& state) {
  const ifinfomsg all = {};
  return netlink.Dump<ifinfomsg>(
      RTM_GETLINK, all, "list links", [&](const ifinfomsg& fixed, const NetlinkAttributes& attributes) {
        const Bytes8 bytes = attributes.Find(IFLA_IFNAME);
        if (std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) != name + '\0') return;
        state.emplace();
        state->index = fixed.ifi_index;
        state->mac = MacText(attributes.Find(IFLA_ADDRESS));
        state->mtu = attributes.Number(IFLA_MTU);
        state->promiscuous = (fixed.ifi_flags & IFF_PROMISC) != 0;
        state->all_multicast = (fixed.ifi_flags & IFF_ALLMULTI) != 0;
        state->transmit_queue = attributes.Number(IFLA_TXQLEN);
      });
}

/** Link-local IPv6 addresses are left out: each kernel makes its own from the MAC. */
Failure ReadAddresses(NetlinkSocket& netlink, LinkState& state) {
  const ifaddrmsg all = {};
  return netlink.Dump<ifaddrmsg>(RTM_GETADDR, all, "list addresses",
                                 [&](const ifaddrmsg& fixed, const NetlinkAttributes& attributes) {
                                   if (static_cast<int>(fixed.ifa_index) != state.index) return;
                                   if (fixed.ifa_family == AF_INET6 && fixed.ifa_scope == RT_SCOPE_LINK) return;
                                   const Bytes8 local = attributes.Find(IFA_LOCAL);
                                   const auto text = AddressText(local.empty() ? attributes.Find(IFA_ADDRESS) : local);
                                   if (text) state.addresses.push_back(Cidr(*text, fixed.ifa_prefixlen));
                                 });
}

std::optional<std::string> GatewayOf(const NetlinkAttributes& attributes) {
  if (const Bytes8 gateway = attributes.Find(RTA_GATEWAY); !gateway.empty()) return AddressText(gateway);
  const Bytes8 via = attributes.Find(RTA_VIA);  // another family's: struct rtvia
  if (via.size() > sizeof(rtvia)) return AddressText(via.subspan(sizeof(rtvia)));
  return std::nullopt;
}

/** Of the main table, to one next hop. IPv6's link-local network is left out, as its address is. */
Failure ReadRoutes(NetlinkSocket& netlink, LinkState& state) {
  const rtmsg all = {};
  return netlink.Dump<rtmsg>(RTM_GETROUTE, all, "list routes",
                             [&](const rtmsg& fixed, const NetlinkAttributes& attributes) {
                               if (static_cast<int>(attributes.Number(RTA_OIF)) != state.index) return;
                               if (attributes.Number(RTA_TABLE) != RT_TABLE_MAIN || fixed.rtm_type != RTN_UNICAST)
                                 return;
                               if (fixed.rtm_flags & RTM_F_CLONED) return;
                               const Bytes8 destination = attributes.Find(RTA_DST);
                               if (fixed.rtm_family == AF_INET6 && !destination.empty() && destination[0] == 0xfe &&
                                   (destination[1] & 0xc0) == 0x80) {
                                 return;
                               }
                               const std::string any = fixed.rtm_family == AF_INET6 ? "::" : "0.0.0.0";
                               Route route;
                               route.destination = Cidr(AddressText(destination).value_or(any), fixed.rtm_dst_len);
                               route.gateway = GatewayOf(attributes);
                               route.source = AddressText(attributes.Find(RTA_PREFSRC));
                               route.metric = attributes.Number(RTA_PRIORITY);
                               route.mtu = attributes.Nested(RTA_METRICS).Number(RTAX_MTU);
                               route.on_link = (fixed.rtm_flags & RTNH_F_ONLINK) != 0;
                               state.routes.push_back(std::move(route));
                             });
}

/** Those that somebody has set: the rest is learnt anew. */
Failure ReadNeighbours(NetlinkSocket& netlink, LinkState& state) {
  const ndmsg all = {};
  return netlink.Dump<ndmsg>(RTM_GETNEIGH, all, "list neighbours",
                             [&](const ndmsg& fixed, const NetlinkAttributes& attributes) {
                               if (fixed.ndm_ifindex != state.index || (fixed.ndm_state & NUD_PERMANENT) == 0) return;
                               const auto address = AddressText(attributes.Find(NDA_DST));
                               const Bytes8 mac = attributes.Find(NDA_LLADDR);
                               if (address && mac.size() == 6) state.neighbours.push_back({*address, MacText(mac)});
                             });
}

Failure ReadState(const std::string& name, std::optional<LinkState>& state) {
  NetlinkSocket netlink;
  if (Failure failure = netlink.Open()) return failure;
  if (Failure failure = ReadSelf(netlink, name, state)) return failure;
  if (!state) return std::nullopt;
  if (Failure failure = ReadAddresses(netlink, *state)) return failure;
  if (Failure failure = ReadRoutes(netlink, *state)) return failure;
  return ReadNeighbours(netlink, *state);
}

Napi::Value TextOrNull(Napi::Env env, const std::optional<std::string>& text) {
  if (!text) return env.Null();
  return Napi::String::New(env, *text);
}

Napi::Object ToJavaScript(Napi::Env env, const Route& route) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("destination", route.destination);
  object.Set("gateway", TextOrNull(env, route.gateway));
  object.Set("source", TextOrNull(env, route.source));
  object.Set("metric", route.metric);
  object.Set("mtu", route.mtu);
  object.Set("onLink", route.on_link);
  return object;
}

Napi::Object ToJavaScript(Napi::Env env, const Neighbour& neighbour) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("address", neighbour.address);
  object.Set("mac", neighbour.mac);
  return object;
}

template <typename T>
Napi::Array ToArray(Napi::Env env, const std::vector<T>& items) {
  Napi::Array array = Napi::Array::New(env, items.size());
  for (uint32_t i = 0; i < items.size(); i++) {
    if constexpr (std::is_same_v<T, std::string>) {
      array.Set(i, items[i]);
    } else {
      array.Set(i, ToJavaScript(env, items[i]));
    }
  }
  return array;
}

Napi::Value Give(Napi::Env env, std::optional<LinkState>& state) {
  if (!state) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", state->index);
  object.Set("mac", state->mac);
  object.Set("mtu", state->mtu);
  object.Set("promiscuous", state->promiscuous);
  object.Set("allMulticast", state->all_multicast);
  object.Set("transmitQueue", state->transmit_queue);
  object.Set("addresses", ToArray(env, state->addresses));
  object.Set("routes", ToArray(env, state->routes));
  object.Set("neighbours", ToArray(env, state->neighbours));
  return object;
}

}  // namespace

Napi::Value ReadLink(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string name;
  if (!ReadArguments(info, netns, name)) return info.Env().Undefined();
  auto work = [=]() -> Outcome<std::optional<LinkState>> {
    std::optional<LinkState> state;
    if (Failure failure = InNetns(netns, [&] { return ReadState(name, state); })) return std::move(*failure);
    return state;
  };
  return PoolWork<std::optional<LinkState>>::Start(info.Env(), work, Give);
}

}  // namespace a3s
