//! Resource limits that containers inherit where their spec sets none.

use nix::sys::resource::{Resource, setrlimit};

/// What a service manager gives a container runtime: a low soft limit (select(2) breaks above it) under a high hard one.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

pub fn raise() {
    let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.0, OPEN_FILES.1);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, libc::RLIM_INFINITY);
}
