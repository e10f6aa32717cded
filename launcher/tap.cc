#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../addon/unique_fd.h"
#include "failure.h"

namespace a3s {

namespace {

/** struct virtio_net_hdr_v1, which a device of virtio 1.0 has before each frame. */
constexpr int kHeaderBytes = 12;

UniqueFd OpenTun() {
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun.valid()) DieOfErrno(ExitCode::kDevice, "tap", "/dev/net/tun");
  return tun;
}

}  // namespace

UniqueFd OpenTap(const std::string& name) {
  if (::if_nametoindex(name.c_str()) == 0) DieOfErrno(ExitCode::kDevice, "tap", name);
  UniqueFd tun = OpenTun();
  struct ifreq request = {};
  ::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) DieOfErrno(ExitCode::kDevice, "tap", "attach to " + name);
  return tun;
}

UniqueFd OpenTapForVirtioNet(const std::string& name) {
  UniqueFd tun = OpenTap(name);
  if (::ioctl(tun.get(), TUNSETVNETHDRSZ, &kHeaderBytes) != 0)
    DieOfErrno(ExitCode::kDevice, "tap", "header of " + name);
  if (::ioctl(tun.get(), TUNSETOFFLOAD, 0UL) != 0) DieOfErrno(ExitCode::kDevice, "tap", "offloads of " + name);
  if (::fcntl(tun.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) DieOfErrno(ExitCode::kDevice, "tap", "O_NONBLOCK");
  return tun;
}

}  // namespace a3s
