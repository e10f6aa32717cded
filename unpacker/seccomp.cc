#include <sys/syscall.h>

#include "../jail/call_filter.h"
#include "failure.h"
#include "privileges.h"

namespace a3s {

namespace {

/** All roles: memory without new code, time, the end. */
constexpr uint32_t kCommon[] = {SYS_read,    SYS_write,        SYS_close,          SYS_brk,
                                SYS_munmap,  SYS_mremap,       SYS_madvise,        SYS_futex,
                                SYS_exit,    SYS_exit_group,   SYS_rt_sigprocmask, SYS_rt_sigreturn,
                                SYS_recvmsg, SYS_sendmsg,      SYS_getrandom,      SYS_clock_nanosleep,
                                SYS_fchdir,  SYS_lsetxattr,    SYS_sched_yield,    SYS_restart_syscall,
                                SYS_wait4,   SYS_clock_gettime};

constexpr uint32_t kUnpackers[] = {SYS_openat2,   SYS_newfstatat,      SYS_fstat,     SYS_statx,      SYS_readlinkat,
                                   SYS_mkdirat,   SYS_mknodat,         SYS_symlinkat, SYS_linkat,     SYS_unlinkat,
                                   SYS_fchownat,  SYS_fchown,          SYS_fchmod,    SYS_fchmodat,   SYS_utimensat,
                                   SYS_fsetxattr, SYS_ftruncate,       SYS_pwrite64,  SYS_getdents64, SYS_lseek,
                                   SYS_rseq,      SYS_set_robust_list, SYS_fcntl};

/** For device nodes, and to see whose directory it is asked about. */
constexpr uint32_t kBrokers[] = {SYS_mknodat, SYS_statx};

/** On top of an unpacker's: the attributes of lower layers are read. */
constexpr uint32_t kSettlers[] = {SYS_flistxattr, SYS_fgetxattr};

/** On top of an unpacker's: a layer is read, attributes and all. */
constexpr uint32_t kPackers[] = {SYS_llistxattr, SYS_lgetxattr, SYS_pread64, SYS_copy_file_range};

}  // namespace

void AllowCallsOf(Role role) {
#ifdef A3S_SANITIZE
  static_cast<void>(role);
  static_cast<void>(kCommon);
  static_cast<void>(kUnpackers);
  static_cast<void>(kBrokers);
  static_cast<void>(kSettlers);
  static_cast<void>(kPackers);
#else
  CallFilter filter;
  filter.Allow(kCommon);
  filter.AllowMemoryWithoutCode();
  if (role != Role::kBroker) filter.Allow(kUnpackers);
  if (role == Role::kBroker) filter.Allow(kBrokers);
  if (role == Role::kSettler) filter.Allow(kSettlers);
  if (role == Role::kPacker) filter.Allow(kPackers);
  if (const char* failed = filter.Install(SECCOMP_RET_KILL_PROCESS)) DieOfErrno(failed);
#endif
}

}  // namespace a3s
