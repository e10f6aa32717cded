//! The loop of the first process: requests of the server, reports of starting children, exits.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::spawn::{self, Starting};
use super::{Place, reap};
use crate::link::message::{Event, Request, SPAWN_DESCRIPTORS};
use crate::link::packet;
use crate::runtime::own;
use crate::{clock, console};

/// A child whose exec is not yet known to have worked.
struct Pending {
    id: u32,
    child: Starting,
}

/// Why the loop ended, or that it has not.
#[derive(PartialEq, Eq)]
enum Verdict {
    GoOn,
    End,
}

/// Runs until the server asks for the end, is gone, or (on the host) a signal asks for it.
pub fn run(place: Place, link: &OwnedFd, signals: &SignalFd, server: Pid) -> Result<(), Errno> {
    let mut pending: Vec<Pending> = Vec::new();
    tell(link, &Event::SetUp);
    loop {
        let (asked, signalled) = wait(link, signals, &pending)?;
        settle(link, &mut pending);
        if signalled && on_signals(place, link, signals, server, &mut pending)? == Verdict::End {
            return Ok(());
        }
        if asked && on_request(link, &mut pending)? == Verdict::End {
            return Ok(());
        }
    }
}

/// Blocks until something happens: whether the link and whether the signals are ready.
fn wait(link: &OwnedFd, signals: &SignalFd, pending: &[Pending]) -> Result<(bool, bool), Errno> {
    let mut polled =
        vec![PollFd::new(link.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    polled.extend(pending.iter().map(|one| PollFd::new(one.child.report.as_fd(), PollFlags::POLLIN)));
    match poll(&mut polled, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let ready = |index: usize| polled.get(index).is_some_and(|one| one.any().unwrap_or(false));
    Ok((ready(0), ready(1)))
}

/// Tells the server about every child whose exec is decided.
fn settle(link: &OwnedFd, pending: &mut Vec<Pending>) {
    pending.retain(|one| {
        let mut polled = [PollFd::new(one.child.report.as_fd(), PollFlags::POLLIN)];
        let decided = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        if decided {
            tell_spawned(link, one);
        }
        !decided
    });
}

fn tell_spawned(link: &OwnedFd, one: &Pending) {
    let errno = spawn::outcome(&one.child.report);
    tell(link, &Event::Spawned { id: one.id, pid: one.child.pid, errno });
}

fn on_signals(
    place: Place,
    link: &OwnedFd,
    signals: &SignalFd,
    server: Pid,
    pending: &mut Vec<Pending>,
) -> Result<Verdict, Errno> {
    while let Some(signal) = signals.read_signal()? {
        let asked_to_end = i32::try_from(signal.ssi_signo) != Ok(Signal::SIGCHLD as i32);
        if asked_to_end && place == Place::Host {
            return Ok(Verdict::End);
        }
    }
    while let Some((pid, status)) = reap::next() {
        if pid == server.as_raw() {
            if status != 0 {
                console::say(&format!("server ended unexpectedly, wait status {status:#06x}"));
            }
            return Ok(Verdict::End);
        }
        // its report has ended with it: say that it was started before saying that it exited
        pending.retain(|one| {
            let exited = one.child.pid == pid;
            if exited {
                tell_spawned(link, one);
            }
            !exited
        });
        tell(link, &Event::Exited { pid, status, at_ns: clock::wall_ns() });
    }
    Ok(Verdict::GoOn)
}

fn on_request(link: &OwnedFd, pending: &mut Vec<Pending>) -> Result<Verdict, Errno> {
    let (message, descriptors) = packet::receive(link.as_fd())?;
    if message.is_empty() {
        return Ok(Verdict::GoOn); // the server is gone: its exit follows, and says more
    }
    match Request::decode(&message) {
        Some(Request::Reboot) => return Ok(Verdict::End),
        Some(Request::Spawn { id, cwd, argv, env }) if descriptors.len() == SPAWN_DESCRIPTORS => {
            match spawn::start(&argv, &env, &cwd, &descriptors) {
                Ok(child) => pending.push(Pending { id, child }),
                Err(errno) => tell(link, &Event::Spawned { id, pid: 0, errno: errno as i32 }),
            }
        }
        Some(Request::Launch { id }) if own::child::takes(descriptors.len()) => {
            let (pid, errno) = spawn::fork_to_make(descriptors).map_or_else(|errno| (0, errno as i32), |pid| (pid, 0));
            tell(link, &Event::Spawned { id, pid, errno });
        }
        _ => console::say("the server sent a request that is not one"),
    }
    Ok(Verdict::GoOn)
}

/// A server that is gone is noticed by its exit.
fn tell(link: &OwnedFd, event: &Event) {
    let _ = packet::send(link.as_fd(), &event.encode(), &[]);
}
