//! Resource limits that containers inherit where their spec sets none, and PID 1's own place in the queue.

use nix::sys::resource::{Resource, setrlimit};

/// What a service manager gives a container runtime: a low soft limit (select(2) breaks above it) under a high hard one.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

pub fn raise() {
    let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.0, OPEN_FILES.1);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, libc::RLIM_INFINITY);
}

/// Lets everything else run first, or ends that.
pub fn step_back(back: bool) {
    // SAFETY: a system call without pointers, about this process only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, if back { 19 } else { 0 }) };
}
