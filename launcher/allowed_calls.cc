#include "allowed_calls.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../jail/call_filter.h"
#include "failure.h"

namespace a3s {

namespace {

/** Calls of which some architectures know only newer forms. */
constexpr uint32_t kOlderForms[] = {
#if defined(__x86_64__)
    SYS_access, SYS_arch_prctl, SYS_dup2,     SYS_epoll_wait, SYS_getrlimit, SYS_lstat, SYS_open,
    SYS_pipe,   SYS_poll,       SYS_readlink, SYS_select,     SYS_stat,      SYS_time,  SYS_eventfd,
#endif
};

constexpr uint32_t kThreadsAndTime[] = {
    SYS_exit,          SYS_exit_group,   SYS_futex,           SYS_set_robust_list,   SYS_get_robust_list,
    SYS_rseq,          SYS_gettid,       SYS_getpid,          SYS_set_tid_address,   SYS_sched_yield,
    SYS_tgkill,        SYS_rt_sigaction, SYS_rt_sigprocmask,  SYS_rt_sigreturn,      SYS_rt_sigtimedwait,
    SYS_sigaltstack,   SYS_signalfd4,    SYS_restart_syscall, SYS_sched_getaffinity, SYS_membarrier,
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep,         SYS_gettimeofday,
    SYS_times,         SYS_getrusage,    SYS_timerfd_create,  SYS_timerfd_settime,   SYS_timerfd_gettime,
};

constexpr uint32_t kMemory[] = {
    SYS_brk,          SYS_munmap,        SYS_mremap,        SYS_madvise, SYS_msync,
    SYS_memfd_create, SYS_get_mempolicy, SYS_set_mempolicy, SYS_mbind,
};

/** Files of the jail, and what is open already. No socket can be made by these, bound or connected. */
constexpr uint32_t kFilesAndOpenSockets[] = {
    SYS_read,       SYS_write,         SYS_readv,       SYS_writev,      SYS_pread64,      SYS_pwrite64,
    SYS_preadv,     SYS_pwritev,       SYS_lseek,       SYS_close,       SYS_close_range,  SYS_openat,
    SYS_fstat,      SYS_newfstatat,    SYS_statx,       SYS_statfs,      SYS_fstatfs,      SYS_faccessat,
    SYS_faccessat2, SYS_readlinkat,    SYS_getdents64,  SYS_getcwd,      SYS_ftruncate,    SYS_fallocate,
    SYS_fcntl,      SYS_dup,           SYS_dup3,        SYS_pipe2,       SYS_eventfd2,     SYS_ppoll,
    SYS_pselect6,   SYS_epoll_create1, SYS_epoll_ctl,   SYS_epoll_pwait, SYS_epoll_pwait2, SYS_sendmsg,
    SYS_recvmsg,    SYS_sendto,        SYS_recvfrom,    SYS_accept4,     SYS_accept,       SYS_listen,
    SYS_shutdown,   SYS_getsockname,   SYS_getpeername, SYS_getsockopt,  SYS_setsockopt,   SYS_socketpair,
    SYS_fdatasync,  SYS_fsync,         SYS_umask,
};

constexpr uint32_t kAboutItself[] = {
    SYS_getuid,  SYS_geteuid,   SYS_getgid,    SYS_getegid, SYS_getppid, SYS_uname,
    SYS_sysinfo, SYS_getrandom, SYS_prlimit64, SYS_prctl,   SYS_seccomp,
};

/** All the namespaces, and not CLONE_NEWTIME, whose bit is another thing's in clone(2). */
constexpr uint32_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/** What a file server does with files of the share, and the change to the guest's user for it. No syncfs, see below. */
constexpr uint32_t kFileServer[] = {
    SYS_openat2,         SYS_mkdirat,    SYS_mknodat,    SYS_symlinkat,   SYS_linkat,       SYS_unlinkat,
    SYS_renameat2,       SYS_fchown,     SYS_fchownat,   SYS_fchmod,      SYS_fchmodat,     SYS_utimensat,
    SYS_getxattr,        SYS_lgetxattr,  SYS_fgetxattr,  SYS_setxattr,    SYS_lsetxattr,    SYS_fsetxattr,
    SYS_listxattr,       SYS_llistxattr, SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    SYS_copy_file_range, SYS_truncate,   SYS_flock,      SYS_preadv2,     SYS_pwritev2,     SYS_fchdir,
    SYS_setresuid,       SYS_setresgid,  SYS_setgroups,  SYS_capget,      SYS_capset,       SYS_sync_file_range,
    SYS_fadvise64,       SYS_sendfile,   SYS_splice,
#if defined(__x86_64__)
    SYS_getdents,        SYS_unlink,     SYS_rename,     SYS_mkdir,       SYS_rmdir,        SYS_chmod,
#endif
};

/** For the agent's socket, which is made and dialled as the guest asks. */
constexpr uint32_t kNamedSockets[] = {SYS_bind, SYS_connect};

/** The second byte of a request is the driver's letter (ioctl(2)). */
constexpr uint32_t kDriverLetter = 0xff00;
constexpr uint32_t kKvm = 0xae00;

void AllowCommonCalls(CallFilter& filter) {
  filter.Allow(kThreadsAndTime);
  filter.Allow(kFilesAndOpenSockets);
  filter.Allow(kMemory);
  filter.Allow(kAboutItself);
  filter.Allow(kOlderForms);
  // clone3 hides its flags: without it the C library takes this one.
  filter.AllowWithout(SYS_clone, 0, kNewNamespaces);
}

void Install(CallFilter& filter) {
  const char* failed = filter.Install(SECCOMP_RET_ERRNO | ENOSYS);
  if (failed != nullptr) DieOfErrno(ExitCode::kPrivileges, "system calls", failed);
}

}  // namespace

void AllowVmmCalls() {
  CallFilter filter;
  AllowCommonCalls(filter);
  // The emulator's own code is made at run time.
  constexpr uint32_t kWithCode[] = {SYS_mmap, SYS_mprotect};
  filter.Allow(kWithCode);
  filter.AllowWhere(SYS_ioctl, 1, ~0U,
                    {TUNGETIFF, TUNGETFEATURES, TUNSETOFFLOAD, TUNSETSNDBUF, TUNSETVNETHDRSZ, TUNGETVNETHDRSZ,
                     TUNSETVNETLE, TUNSETVNETBE, TCGETS, FIONBIO, FIONREAD});
  // The filter is there before the program is: this is for it. QEMU's own filter then takes it away ("spawn=deny").
  constexpr uint32_t kToBegin[] = {SYS_execve};
  filter.Allow(kToBegin);
  Install(filter);
}

void RefuseSyncfs() {
  CallFilter filter;
  filter.Refuse(SYS_syncfs, ENOSYS);
  const char* failed = filter.Install(SECCOMP_RET_ALLOW);
  if (failed != nullptr) DieOfErrno(ExitCode::kPrivileges, "system calls", failed);
}

void AllowKrunCalls() {
  CallFilter filter;
  AllowCommonCalls(filter);
  filter.Allow(kFileServer);
  filter.Allow(kNamedSockets);
  filter.AllowMemoryWithoutCode();
  filter.AllowWhere(SYS_socket, 0, ~0U, {AF_UNIX});
  filter.AllowWhere(SYS_ioctl, 1, kDriverLetter, {kKvm});
  filter.AllowWhere(SYS_ioctl, 1, ~0U, {TCGETS, FIOCLEX, FIONBIO, FIONREAD});
  Install(filter);
}

}  // namespace a3s
