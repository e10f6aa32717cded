#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <vector>

#include "failure.h"
#include "privileges.h"

namespace a3s {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter knows x86-64 and arm64"
#endif

/** Both roles: memory without new code, time, the end. */
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

/** Of the arguments only the low halves are looked at: what is looked for are flags in them. */
constexpr uint32_t Argument(unsigned number) { return offsetof(struct seccomp_data, args) + 8 * number; }

void Allow(std::vector<sock_filter>& program, uint32_t call) {
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/** mmap and mprotect, unless the memory is to be executed. */
void AllowWithoutExecution(std::vector<sock_filter>& program, uint32_t call) {
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, Argument(2)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

std::vector<sock_filter> ProgramOf(Role role) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      // The x32 calls of x86-64 have a bit of their own, so that no number below is one of them.
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
  };
  for (const uint32_t call : kCommon) Allow(program, call);
  AllowWithoutExecution(program, SYS_mmap);
  AllowWithoutExecution(program, SYS_mprotect);
  if (role == Role::kUnpacker) {
    for (const uint32_t call : kUnpackers) Allow(program, call);
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  return program;
}

}  // namespace

void AllowCallsOf(Role role) {
#ifdef A3S_SANITIZE
  static_cast<void>(role);
  static_cast<void>(ProgramOf);
#else
  std::vector<sock_filter> program = ProgramOf(role);
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) DieOfErrno("seccomp");
#endif
}

}  // namespace a3s
