//! fork and exec on behalf of the server.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, fork, pipe2};

/// A child between fork and exec. `report` gives an errno (4 bytes) when the exec failed, and ends when it succeeded.
pub struct Starting {
    pub pid: i32,
    pub report: OwnedFd,
}

/// Everything the child needs, made before the fork.
struct Prepared {
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

/// Starts `argv` (an absolute path first) in its own session with exactly these three descriptors.
pub fn start(argv: &[String], env: &[String], cwd: &str, stdio: &[OwnedFd]) -> Result<Starting, Errno> {
    let prepared = Prepared { argv: strings(argv)?, env: strings(env)?, cwd: string(cwd)? };
    let argv: Vec<*const libc::c_char> = pointers(&prepared.argv);
    let env: Vec<*const libc::c_char> = pointers(&prepared.env);
    let program = *argv.first().ok_or(Errno::EINVAL)?;
    let raw: Vec<i32> = stdio.iter().map(AsRawFd::as_raw_fd).collect();
    let (report, failure) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread; the child calls only async-signal-safe functions until it executes or exits,
    // on memory prepared above.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Starting { pid: child.as_raw(), report }),
        ForkResult::Child => {
            let errno = execute(program, &argv, &env, &prepared.cwd, &raw);
            let bytes = (errno as i32).to_ne_bytes();
            let _ = nix::unistd::write(&failure, &bytes);
            // SAFETY: ends the child without running what belongs to the parent (buffers, destructors).
            unsafe { libc::_exit(127) }
        }
    }
}

/// Forks a process that makes a container or an exec.
pub fn fork_to_make(descriptors: Vec<OwnedFd>) -> Result<i32, Errno> {
    // SAFETY: this process has one thread, so the child may allocate and lock as it likes.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => crate::runtime::own::child::run(descriptors),
    }
}

/// In the child: returns only on failure.
fn execute(
    program: *const libc::c_char,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
    cwd: &CString,
    stdio: &[i32],
) -> Errno {
    let _ = SigSet::all().thread_unblock();
    // SAFETY: plain system calls on values that live until exec; both arrays end with a null pointer and their strings
    // are alive in the caller. dup2 clears close-on-exec; descriptors above 2 all carry it. The received descriptors
    // are above 2, as 0, 1 and 2 are open in PID 1.
    unsafe {
        libc::setsid();
        for (target, source) in (0..).zip(stdio) {
            if libc::dup2(*source, target) < 0 {
                return Errno::last();
            }
        }
        if libc::chdir(cwd.as_ptr()) < 0 {
            return Errno::last();
        }
        libc::execve(program, argv.as_ptr(), env.as_ptr());
    }
    Errno::last()
}

/// What the report says once it is readable: the errno, 0 for success.
pub fn outcome(report: &OwnedFd) -> i32 {
    let mut bytes = [0; 4];
    match nix::unistd::read(report, &mut bytes) {
        Ok(4) => i32::from_ne_bytes(bytes),
        _ => 0,
    }
}

fn string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

fn strings(texts: &[String]) -> Result<Vec<CString>, Errno> {
    texts.iter().map(|text| string(text)).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect()
}
