//! Number 1 of a container that is to stay whatever runs in it: it reaps, and starts one program where there is one.

use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::console;

/// What a shell answers for a program that can't be run.
const NOT_RUN: u8 = 127;

/// `agent hold [PROGRAM …]`: until SIGTERM. The program may end; one that can't be started ends all.
pub fn run(words: &[&str]) -> ExitCode {
    if let Some((program, arguments)) = words.split_first()
        && let Err(error) = Command::new(program).args(arguments).spawn()
    {
        console::say(&format!("start {program}: {error}"));
        return ExitCode::from(NOT_RUN);
    }
    // Blocked, signals are kept for the wait, also those that number 1 of a namespace would not get otherwise.
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    watched.add(Signal::SIGTERM);
    let _ = watched.thread_block();
    loop {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        if matches!(watched.wait(), Ok(Signal::SIGTERM)) {
            return ExitCode::SUCCESS;
        }
    }
}
