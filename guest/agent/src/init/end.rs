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
        Place::Host => kill_children(KILL_LIMIT),
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

/// The children of a sub-reaper, and theirs as they are handed up, until there are none. One that stays, as the kernel has it or
/// another process traces it, is the host's to end: it must not keep this process there.
fn kill_children(limit: Duration) {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let deadline = Instant::now() + limit;
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
        if !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(reaped) if reaped.pid().is_some()) {
            std::thread::sleep(STEP);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of its own, as `kill_children` takes the first thread's children.
    fn forked(work: impl FnOnce()) -> Pid {
        // SAFETY: the child has one thread, and glibc's allocator is whole in it; it never returns.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                work();
                // SAFETY: ends the process without running what belongs to its parent.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn trace(request: libc::c_uint, pid: Pid) -> libc::c_long {
        // SAFETY: neither request reads or writes memory of this process.
        unsafe { libc::ptrace(request, pid.as_raw(), 0, 0) }
    }

    fn sleep_for_ever() {
        loop {
            nix::unistd::pause();
        }
    }

    #[test]
    fn ends_in_time_though_a_child_of_it_is_killed_and_stays() {
        let (told, tell) = nix::unistd::pipe().unwrap();
        let (go, let_go) = nix::unistd::pipe().unwrap();
        let ends = forked(|| {
            let child = forked(sleep_for_ever);
            let _ = nix::unistd::write(&tell, &child.as_raw().to_ne_bytes());
            let _ = nix::unistd::read(&go, &mut [0]);
            kill_children(Duration::from_millis(200));
        });
        let mut child = [0; size_of::<i32>()];
        nix::unistd::read(&told, &mut child).unwrap();
        let child = Pid::from_raw(i32::from_ne_bytes(child));
        // who is traced has not ended for its parent before it has for its tracer
        assert_eq!(trace(libc::PTRACE_SEIZE, child), 0);
        nix::unistd::write(&let_go, &[0]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut ended = waitpid(ends, Some(WaitPidFlag::WNOHANG));
        while matches!(ended, Ok(WaitStatus::StillAlive)) && Instant::now() < deadline {
            std::thread::sleep(STEP);
            ended = waitpid(ends, Some(WaitPidFlag::WNOHANG));
        }
        kill(ends, Signal::SIGKILL).ok();
        waitpid(child, None).unwrap();
        assert_eq!(ended, Ok(WaitStatus::Exited(ends, 0)));
    }
}
