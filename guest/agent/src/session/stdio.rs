//! Pipes between a process and the agent.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

/// The process's ends: stdin, stdout, stderr. To be closed here once it runs.
pub type Theirs = [OwnedFd; 3];

/// The agent's ends, non-blocking.
pub struct Ours {
    /// None: the process has /dev/null.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

pub fn pipes(with_stdin: bool) -> Result<(Theirs, Ours), Errno> {
    let (their_stdin, stdin) = if with_stdin {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        set_non_blocking(&write)?;
        (read, Some(write))
    } else {
        (null()?, None)
    };
    let (stdout, their_stdout) = output_pipe()?;
    let (stderr, their_stderr) = output_pipe()?;
    Ok(([their_stdin, their_stdout, their_stderr], Ours { stdin, stdout, stderr }))
}

/// Three times /dev/null, for programs that have nothing to say here.
pub fn nothing() -> Result<Theirs, Errno> {
    Ok([null()?, null()?, null()?])
}

pub fn set_non_blocking(descriptor: &OwnedFd) -> Result<(), Errno> {
    fcntl(descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}

fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    set_non_blocking(&read)?;
    Ok((read, write))
}

fn null() -> Result<OwnedFd, Errno> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    opened.map(OwnedFd::from).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}
