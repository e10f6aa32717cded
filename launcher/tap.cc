#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../addon/unique_fd.h"
#include "failure.h"

namespace a3s {

UniqueFd OpenTun() {
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun.valid()) DieOfErrno(ExitCode::kDevice, "tap", "/dev/net/tun");
  return tun;
}

UniqueFd OpenTap(const std::string& name) {
  if (::if_nametoindex(name.c_str()) == 0) DieOfErrno(ExitCode::kDevice, "tap", name);
  UniqueFd tun = OpenTun();
  struct ifreq request = {};
  ::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) DieOfErrno(ExitCode::kDevice, "tap", "attach to " + name);
  return tun;
}

void OwnTap(const std::string& name) {
  const UniqueFd tun = OpenTap(name);
  if (::ioctl(tun.get(), TUNSETOWNER, 0UL) != 0) DieOfErrno(ExitCode::kDevice, "tap", "own " + name);
}

}  // namespace a3s
