//! The end of the agent: everything is killed and written back, then the guest reboots (which ends the VMM).

use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot as reboot_call};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::Place;
use crate::console;

/// How long dirty pages may take to reach the host: a file server that hangs must not keep the Box alive.
const SYNC_LIMIT: Duration = Duration::from_secs(2);
const KILL_LIMIT: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(2);

pub fn end(place: Place) {
    match place {
        Place::Host => kill_children(),
        Place::Guest => {
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
            reap_until(KILL_LIMIT, |status| status.is_err());
            sync();
            reboot();
        }
    }
}

/// Reboot, never power off: that hangs in both VMMs.
pub fn reboot() {
    let Err(errno) = reboot_call(RebootMode::RB_AUTOBOOT);
    console::say(&format!("reboot: {errno}"));
}

fn sync() {
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            nix::unistd::sync();
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            reap_until(SYNC_LIMIT, |status| matches!(status, Ok(reaped) if reaped.pid() == Some(child)));
        }
        Err(_) => {}
    }
}

/// The children of a sub-reaper, and theirs as they are handed up, until there are none.
fn kill_children() {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let deadline = Instant::now() + KILL_LIMIT;
    while Instant::now() < deadline {
        let listed = std::fs::read_to_string(&path).unwrap_or_default();
        let mut any = false;
        for pid in listed.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            any = true;
        }
        if !any {
            return;
        }
        let _ = waitpid(None, None);
    }
}

fn reap_until(limit: Duration, done: impl Fn(&nix::Result<WaitStatus>) -> bool) {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let status = waitpid(None, Some(WaitPidFlag::WNOHANG));
        if done(&status) {
            return;
        }
        if matches!(status, Ok(WaitStatus::StillAlive) | Err(_)) {
            std::thread::sleep(STEP);
        }
    }
}
