#include "tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <array>
#include <cstring>
#include <optional>

#include "arguments.h"
#include "netlink.h"
#include "netns.h"
#include "pool_work.h"

namespace a3s {

namespace {

struct Link {
  std::string name;
  int index = 0;
  uint32_t mtu = 0;
};

Failure FindLink(NetlinkSocket& netlink, Link& link) {
  bool found = false;
  const ifinfomsg all = {};
  const auto each = [&](const ifinfomsg& fixed, const NetlinkAttributes& attributes) {
    const std::span<const uint8_t> name = attributes.Find(IFLA_IFNAME);
    if (std::string_view(reinterpret_cast<const char*>(name.data()), name.size()) != link.name + '\0') return;
    found = true;
    link.index = fixed.ifi_index;
    link.mtu = attributes.Number(IFLA_MTU);
  };
  if (Failure failure = netlink.Dump<ifinfomsg>(RTM_GETLINK, all, "list links", each)) return failure;
  if (!found) return FailedWith(ENODEV, "find link", link.name);
  return std::nullopt;
}

/** Up, with more flags (IFF_*), and with that MTU where one is given. */
Failure BringUp(NetlinkSocket& netlink, const Link& link, unsigned flags, std::optional<uint32_t> mtu) {
  ifinfomsg fixed = {};
  fixed.ifi_index = link.index;
  fixed.ifi_flags = IFF_UP | flags;
  fixed.ifi_change = IFF_UP | flags;
  NetlinkMessage message(RTM_NEWLINK, 0, fixed);
  if (mtu) message.Add(IFLA_MTU, *mtu);
  return netlink.Request(message, "bring link up", link.name);
}

/** Persistent: it outlives the descriptor, and goes with its namespace. */
Failure MakeTap(const std::string& name) {
  ifreq request = {};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return FailedWith(EINVAL, "name tap", name);
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun.valid()) return Failed("open", "/dev/net/tun");
  std::memcpy(request.ifr_name, name.c_str(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) return Failed("ioctl TUNSETIFF", name);
  if (::ioctl(tun.get(), TUNSETPERSIST, 1UL) != 0) return Failed("ioctl TUNSETPERSIST", name);
  NetlinkSocket netlink;
  if (Failure failure = netlink.Open()) return failure;
  Link link = {name};
  if (Failure failure = FindLink(netlink, link)) return failure;
  return BringUp(netlink, link, 0, std::nullopt);
}

/** tc-mirred(8): what comes in at `from` leaves at `to`, whatever it is. */
Failure Redirect(NetlinkSocket& netlink, const Link& from, const Link& to) {
  tcmsg qdisc = {};
  qdisc.tcm_family = AF_UNSPEC;
  qdisc.tcm_ifindex = from.index;
  qdisc.tcm_parent = TC_H_INGRESS;
  qdisc.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
  NetlinkMessage add_qdisc(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, qdisc);
  add_qdisc.AddText(TCA_KIND, "ingress");
  Failure failure = netlink.Request(add_qdisc, "add ingress qdisc", from.name);
  // A plugin's clsact takes filters for ingress too.
  if (failure && failure->number != EEXIST) return failure;

  tcmsg filter = qdisc;
  filter.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  filter.tcm_handle = 0;
  constexpr uint32_t kFirst = 1;
  filter.tcm_info = TC_H_MAKE(kFirst << 16, htons(ETH_P_ALL));
  tc_u32_sel selector = {};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  std::array<uint8_t, sizeof selector + sizeof(tc_u32_key)> match = {};  // a key of zeros fits everything
  std::memcpy(match.data(), &selector, sizeof selector);
  tc_mirred mirred = {};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to.index);
  NetlinkMessage add_filter(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, filter);
  add_filter.AddText(TCA_KIND, "u32").AddNested(TCA_OPTIONS, [&](NetlinkMessage& options) {
    options.Add(TCA_U32_SEL, match).AddNested(TCA_U32_ACT, [&](NetlinkMessage& actions) {
      actions.AddNested(1, [&](NetlinkMessage& action) {
        action.AddText(TCA_ACT_KIND, "mirred").AddNested(TCA_ACT_OPTIONS, [&](NetlinkMessage& parameters) {
          parameters.Add(TCA_MIRRED_PARMS, mirred);
        });
      });
    });
  });
  return netlink.Request(add_filter, "redirect link", from.name + " to " + to.name);
}

Failure RaiseBoth(NetlinkSocket& netlink, Link& first, Link& second) {
  if (Failure failure = netlink.Open()) return failure;
  if (Failure failure = FindLink(netlink, first)) return failure;
  if (Failure failure = FindLink(netlink, second)) return failure;
  // What groups the guest joins is not known here: a macvlan would keep their packets to itself.
  if (Failure failure = BringUp(netlink, first, IFF_ALLMULTI, std::nullopt)) return failure;
  return BringUp(netlink, second, 0, first.mtu);
}

Failure RedirectBoth(const std::string& first_name, const std::string& second_name) {
  NetlinkSocket netlink;
  Link first = {first_name};
  Link second = {second_name};
  if (Failure failure = RaiseBoth(netlink, first, second)) return failure;
  if (Failure failure = Redirect(netlink, first, second)) return failure;
  return Redirect(netlink, second, first);
}

Failure RaiseOnly(const std::string& first_name, const std::string& second_name) {
  NetlinkSocket netlink;
  Link first = {first_name};
  Link second = {second_name};
  return RaiseBoth(netlink, first, second);
}

/** An address of 4 or 16 bytes as it stands in messages; empty for what is none. */
std::vector<uint8_t> AddressBytes(const std::string& text) {
  std::vector<uint8_t> bytes(text.find(':') == std::string::npos ? sizeof(in_addr) : sizeof(in6_addr));
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (::inet_pton(family, text.c_str(), bytes.data()) != 1) bytes.clear();
  return bytes;
}

/** What stands already stays. */
Failure Settle(Failure failure) {
  if (failure && failure->number == EEXIST) return std::nullopt;
  return failure;
}

/** A link gets an address, which is used at once, and one neighbour, whose MAC is known for good. */
Failure PutAtEnd(const std::string& name, const std::string& address, uint32_t prefix, const std::string& neighbour,
                 const std::vector<uint8_t>& mac) {
  const std::vector<uint8_t> own = AddressBytes(address);
  const std::vector<uint8_t> other = AddressBytes(neighbour);
  if (own.empty() || own.size() != other.size()) return FailedWith(EINVAL, "read address", address + " " + neighbour);
  if (mac.size() != ETH_ALEN) return FailedWith(EINVAL, "read MAC", name);
  const auto family = static_cast<uint8_t>(own.size() == sizeof(in_addr) ? AF_INET : AF_INET6);
  NetlinkSocket netlink;
  if (Failure failure = netlink.Open()) return failure;
  Link link = {name};
  if (Failure failure = FindLink(netlink, link)) return failure;

  ifaddrmsg fixed = {};
  fixed.ifa_family = family;
  fixed.ifa_prefixlen = static_cast<uint8_t>(prefix);
  fixed.ifa_flags = IFA_F_NODAD;
  fixed.ifa_index = static_cast<uint32_t>(link.index);
  NetlinkMessage add_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, fixed);
  add_address.AddBytes(IFA_LOCAL, own.data(), own.size()).AddBytes(IFA_ADDRESS, own.data(), own.size());
  if (Failure failure = Settle(netlink.Request(add_address, "add address", address))) return failure;

  ndmsg entry = {};
  entry.ndm_family = family;
  entry.ndm_ifindex = link.index;
  entry.ndm_state = NUD_PERMANENT;
  NetlinkMessage add_neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, entry);
  add_neighbour.AddBytes(NDA_DST, other.data(), other.size()).AddBytes(NDA_LLADDR, mac.data(), mac.size());
  return netlink.Request(add_neighbour, "add neighbour", neighbour);
}

}  // namespace

Napi::Value CreateTap(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string name;
  if (!ReadArguments(info, netns, name)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return InNetns(netns, [&] { return MakeTap(name); }); });
}

Napi::Value RedirectLinks(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string first;
  std::string second;
  if (!ReadArguments(info, netns, first, second)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return InNetns(netns, [&] { return RedirectBoth(first, second); }); });
}

Napi::Value RaiseLinks(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string first;
  std::string second;
  if (!ReadArguments(info, netns, first, second)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return InNetns(netns, [&] { return RaiseOnly(first, second); }); });
}

Napi::Value AddLinkEnd(const Napi::CallbackInfo& info) {
  std::string netns;
  std::string name;
  std::string address;
  uint32_t prefix = 0;
  std::string neighbour;
  Bytes mac;
  if (!ReadArguments(info, netns, name, address, prefix, neighbour, mac)) return info.Env().Undefined();
  return StartOnPool(
      info.Env(), [=] { return InNetns(netns, [&] { return PutAtEnd(name, address, prefix, neighbour, mac.data); }); });
}

}  // namespace a3s
