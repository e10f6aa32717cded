/**
 * The RuntimeDefault seccomp profile: everything not named here fails with EPERM. What a container may call depends on
 * its capabilities. Equal in effect to the default profile that container runtimes share; sources for the reasons: the
 * man page of each system call, seccomp(2), and OCI runtime spec config-linux.md, "Seccomp".
 */
interface SeccompArg {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_LT" | "SCMP_CMP_MASKED_EQ";
}

interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
}

/** OCI LinuxSeccomp. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

const eperm = 1;
const enosys = 38;
const afAlg = 38;
const afVsock = 40;
/** Families above were never given out. */
const lastFamily = 45;
/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (sched.h). */
const cloneNewNamespaces = 0x7e02_0000;

const files =
  "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 " +
  "fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync " +
  "fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate " +
  "ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 " +
  "inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr _llseek lremovexattr " +
  "lseek lsetxattr lstat lstat64 memfd_create mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat " +
  "openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr " +
  "removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs " +
  "statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime " +
  "utimensat utimensat_time64 utimes vmsplice write writev listmount statmount";

const memory =
  "brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal " +
  "msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages cachestat " +
  "memfd_secret";

const processes =
  "alarm capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 " +
  "getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid " +
  "getresuid32 getrlimit get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set " +
  "kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl " +
  "prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask " +
  "rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity " +
  "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval " +
  "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp " +
  "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid " +
  "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid " +
  "set_thread_area set_tid_address setuid setuid32 sigaltstack signalfd signalfd4 " +
  "sigprocmask sigreturn sysinfo tgkill time times tkill ugetrlimit uname vfork wait4 waitid waitpid " +
  "arch_prctl modify_ldt lsm_get_self_attr lsm_set_self_attr lsm_list_modules uretprobe getrandom";

const waiting =
  "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 epoll_create " +
  "epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex " +
  "futex_requeue futex_time64 futex_wait futex_waitv futex_wake gettimeofday io_cancel io_destroy io_getevents " +
  "io_pgetevents io_pgetevents_time64 io_setup io_submit nanosleep _newselect poll ppoll ppoll_time64 pselect6 " +
  "pselect6_time64 select timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime " +
  "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";

const talking =
  "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open " +
  "mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe " +
  "pipe2 recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg " +
  "sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair adjtimex clock_adjtime " +
  "clock_adjtime64";

/** Calls that a capability opens. */
const byCapability: readonly (readonly [capability: string, names: string])[] = [
  ["CAP_DAC_READ_SEARCH", "open_by_handle_at"],
  [
    "CAP_SYS_ADMIN",
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount " +
      "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
  ],
  ["CAP_SYS_BOOT", "reboot"],
  ["CAP_SYS_CHROOT", "chroot"],
  ["CAP_SYS_MODULE", "delete_module init_module finit_module"],
  ["CAP_SYS_PACCT", "acct"],
  ["CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"],
  ["CAP_SYS_RAWIO", "iopl ioperm"],
  ["CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"],
  ["CAP_SYS_TTY_CONFIG", "vhangup"],
  ["CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"],
  ["CAP_SYSLOG", "syslog"],
  ["CAP_BPF", "bpf"],
  ["CAP_PERFMON", "perf_event_open"],
];

/** Personalities that change no security property: PER_LINUX, PER_LINUX32, UNAME26 with both, and "what is it?". */
const personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

function allow(names: string, args?: readonly SeccompArg[]): SeccompRule {
  return { names: names.split(" "), action: "SCMP_ACT_ALLOW", ...(args === undefined ? {} : { args }) };
}

/** The profile for processes with these capabilities ("CAP_SYS_ADMIN"). */
export function defaultSeccompProfile(capabilities: readonly string[]): SeccompProfile {
  const granted = new Set(capabilities);
  const opened = byCapability.filter(([capability]) => granted.has(capability)).map(([, names]) => allow(names));
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: eperm,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      allow([files, memory, processes, waiting, talking].join(" ")),
      ...personalities.map((value) => allow("personality", [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
      ...sockets(),
      ...opened,
      ...(granted.has("CAP_SYS_ADMIN") ? [] : withoutNewNamespaces()),
    ],
  };
}

/**
 * Every family but two: the channel to the host is a vsock, which is not for containers, and AF_ALG reaches code of the
 * kernel that no program needs and that has let many out.
 */
function sockets(): SeccompRule[] {
  const below: SeccompArg = { index: 0, value: afAlg, op: "SCMP_CMP_LT" };
  const single = Array.from({ length: lastFamily - afAlg }, (_, at) => afAlg + 1 + at).filter((one) => one !== afVsock);
  return [below, ...single.map((value): SeccompArg => ({ index: 0, value, op: "SCMP_CMP_EQ" }))].map((arg) =>
    allow("socket", [arg]),
  );
}

/** clone without new namespaces; clone3 hides its flags in memory, and ENOSYS makes libc fall back to clone. */
function withoutNewNamespaces(): SeccompRule[] {
  return [
    allow("clone", [{ index: 0, value: cloneNewNamespaces, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]),
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: enosys },
  ];
}
