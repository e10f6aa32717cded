#include "privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "failure.h"

namespace a3s {

namespace {

/**
 * Owner, mode and access of files as the guest's users have them; device nodes; file capabilities. Not
 * CAP_DAC_READ_SEARCH: CAP_DAC_OVERRIDE lets it read and search as well, and the former opens files by handle, so any
 * file of a file system of which one folder is in the share.
 */
constexpr int kKept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                         CAP_SETGID, CAP_SETUID,       CAP_MKNOD,  CAP_SETFCAP};

uint64_t KeptBits() {
  uint64_t bits = 0;
  for (const int capability : kKept) bits |= 1ULL << capability;
  return bits;
}

void DropBounding(uint64_t kept) {
  for (int capability = 0;; capability++) {
    if (capability < 64 && (kept >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return;  // past the last one this kernel knows
    DieOfErrno(ExitCode::kPrivileges, "drop capabilities", "bounding set");
  }
}

}  // namespace

void SetLimits(std::optional<uint64_t> open_files) {
  struct rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) DieOfErrno(ExitCode::kLimits, "limits", "getrlimit");
  if (open_files && *open_files < files.rlim_max) files.rlim_max = *open_files;
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) DieOfErrno(ExitCode::kLimits, "limits", "open files");
  const struct rlimit none = {0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) DieOfErrno(ExitCode::kLimits, "limits", "core");
}

void DropPrivileges() {
  const uint64_t kept = KeptBits();
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    DieOfErrno(ExitCode::kPrivileges, "drop capabilities", "ambient set");
  }
  DropBounding(kept);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct now[2] = {};
  if (::syscall(SYS_capget, &header, now) != 0) DieOfErrno(ExitCode::kPrivileges, "drop capabilities", "capget");
  for (unsigned i = 0; i < 2; i++) {
    const auto allowed = static_cast<uint32_t>(kept >> (32 * i));
    now[i].permitted &= allowed;
    now[i].effective = now[i].permitted;
    now[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, now) != 0) DieOfErrno(ExitCode::kPrivileges, "drop capabilities", "capset");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    DieOfErrno(ExitCode::kPrivileges, "drop capabilities", "no_new_privs");
  }
}

}  // namespace a3s
