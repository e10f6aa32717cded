#include "privileges.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "failure.h"

namespace a3s {

namespace {

void DropBounding(uint64_t kept) {
  for (int capability = 0;; capability++) {
    if (capability < 64 && (kept >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return;  // past the last one this kernel knows
    DieOfErrno("drop the bounding set");
  }
}

}  // namespace

void KeepCapabilities(std::initializer_list<int> kept) {
  uint64_t bits = 0;
  for (const int capability : kept) bits |= 1ULL << capability;
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) DieOfErrno("clear the ambient set");
  DropBounding(bits);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct now[2] = {};
  if (::syscall(SYS_capget, &header, now) != 0) DieOfErrno("capget");
  for (unsigned i = 0; i < 2; i++) {
    now[i].permitted &= static_cast<uint32_t>(bits >> (32 * i));
    now[i].effective = now[i].permitted;
    now[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, now) != 0) DieOfErrno("capset");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) DieOfErrno("no_new_privs");
}

}  // namespace a3s
