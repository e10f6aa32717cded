#include "capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace a3s {

const char* LimitBounding(uint64_t kept) {
  for (int capability = 0;; capability++) {
    if (capability < 64 && (kept >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return nullptr;  // past the last one this kernel knows
    return "drop the bounding set";
  }
}

const char* LimitCapabilities(uint64_t kept) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return "clear the ambient set";
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct now[2] = {};
  if (::syscall(SYS_capget, &header, now) != 0) return "capget";
  for (unsigned i = 0; i < 2; i++) {
    now[i].permitted &= static_cast<uint32_t>(kept >> (32 * i));
    now[i].effective = now[i].permitted;
    now[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, now) != 0) return "capset";
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
  return nullptr;
}

}  // namespace a3s
