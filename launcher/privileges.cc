#include "privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../jail/capabilities.h"
#include "failure.h"

namespace a3s {

namespace {

void MustDrop(const char* failed) {
  if (failed != nullptr) DieOfErrno(ExitCode::kPrivileges, "drop capabilities", failed);
}

}  // namespace

/**
 * Owner, mode and access of files as the guest's users have them; file capabilities. Not CAP_MKNOD: a device of the
 * host is nothing that a guest could open (ADR 0083). Not CAP_DAC_READ_SEARCH: CAP_DAC_OVERRIDE lets it read and search
 * as well, and the former opens files by handle, so any file of a file system of which one directory is in the share.
 */
const uint64_t kFileServerCapabilities =
    CapabilitySet({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETGID, CAP_SETUID, CAP_SETFCAP});

void SetLimits(std::optional<uint64_t> open_files) {
  struct rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) DieOfErrno(ExitCode::kLimits, "limits", "getrlimit");
  if (open_files && *open_files < files.rlim_max) files.rlim_max = *open_files;
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) DieOfErrno(ExitCode::kLimits, "limits", "open files");
  const struct rlimit none = {0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) DieOfErrno(ExitCode::kLimits, "limits", "core");
}

void LimitProcesses(uint64_t processes) {
  const struct rlimit limit = {processes, processes};
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) DieOfErrno(ExitCode::kLimits, "limits", "processes");
}

void EnterUserNamespace(const UniqueFd& user_namespace) {
  const auto must = [](bool good, const char* what) {
    if (!good) DieOfErrno(ExitCode::kPrivileges, "user namespace", what);
  };
  must(::setns(user_namespace.get(), CLONE_NEWUSER) == 0, "enter");
  // By setns alone it stays the user of the host that it was.
  must(::setgroups(0, nullptr) == 0, "setgroups");
  must(::setresgid(0, 0, 0) == 0, "setresgid");
  must(::setresuid(0, 0, 0) == 0, "setresuid");
}

void DropPrivileges(uid_t user, uint64_t kept) {
  MustDrop(LimitBounding(kept));
  if (user != 0) {
    if (::setgroups(0, nullptr) != 0) MustDrop("setgroups");
    if (::setresgid(user, user, user) != 0) MustDrop("setresgid");
    if (::setresuid(user, user, user) != 0) MustDrop("setresuid");
  }
  MustDrop(LimitCapabilities(kept));
}

}  // namespace a3s
