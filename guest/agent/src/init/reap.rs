//! The only caller of waitpid in a running agent.

use nix::errno::Errno;

/// One child that has ended: pid and status as from waitpid(2); None when no child is ready.
pub fn next() -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid int for the time of the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return None,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return None,
            _ => return Some((pid, status)),
        }
    }
}
