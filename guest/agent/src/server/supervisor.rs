//! The server's side of the link: starts programs through PID 1 and hands exits to whoever waits for the pid.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

use crate::link::message::{Event, Request};
use crate::link::packet;
use crate::{console, poll};

/// Exits that nobody has claimed: orphans of containers mostly. The oldest go.
const MAX_UNCLAIMED: usize = 1024;

/// One reaped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// As from waitpid(2).
    pub status: i32,
    pub at_ns: i64,
}

/// A running child of PID 1.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pub exit: oneshot::Receiver<Exit>,
}

#[derive(Debug)]
pub struct Command {
    /// An absolute path first.
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    /// stdin, stdout, stderr.
    pub stdio: [OwnedFd; 3],
}

#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("the command is too long, or contains a NUL")]
    Command,
    #[error("{0}")]
    Exec(Errno),
    #[error("PID 1 is gone")]
    Gone,
}

/// A moment in the order of exits: see `Supervisor::claim`.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

pub struct Supervisor {
    link: AsyncFd<OwnedFd>,
    state: Mutex<State>,
    set_up: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    last_id: u32,
    exits_seen: u64,
    spawning: HashMap<u32, oneshot::Sender<Result<Child, SpawnError>>>,
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    /// Pid, place in the order of exits, exit.
    unclaimed: VecDeque<(i32, u64, Exit)>,
}

impl Supervisor {
    /// Must be called on the event loop.
    pub fn new(link: OwnedFd) -> io::Result<Arc<Self>> {
        fcntl(&link, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let supervisor =
            Arc::new(Self { link: poll::watched(link)?, state: Mutex::default(), set_up: watch::Sender::new(false) });
        tokio::spawn(Arc::clone(&supervisor).listen());
        Ok(supervisor)
    }

    /// Waits until PID 1 has set the guest up for containers; the server answers its host earlier.
    pub async fn wait_until_set_up(&self) {
        // the sender lives as long as this does
        let _ = self.set_up.subscribe().wait_for(|done| *done).await;
    }

    pub fn is_set_up(&self) -> bool {
        *self.set_up.borrow()
    }

    /// Starts a program in its own session; answers when it runs.
    pub async fn spawn(&self, command: Command) -> Result<Child, SpawnError> {
        let Command { argv, env, cwd, stdio } = command;
        self.ask(stdio.into(), |id| Request::Spawn { id, cwd, argv, env }).await
    }

    /// Has PID 1 fork a process that makes a container or an exec of these descriptors; answers when the fork is there.
    pub async fn launch(&self, descriptors: Vec<OwnedFd>) -> Result<Child, SpawnError> {
        self.ask(descriptors, |id| Request::Launch { id }).await
    }

    async fn ask(&self, descriptors: Vec<OwnedFd>, request: impl FnOnce(u32) -> Request) -> Result<Child, SpawnError> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.state();
            state.last_id = state.last_id.wrapping_add(1);
            let id = state.last_id;
            state.spawning.insert(id, answer);
            id
        };
        let sent = self.send(&request(id), &descriptors).await;
        drop(descriptors);
        if let Err(error) = sent {
            self.state().spawning.remove(&id);
            return Err(error);
        }
        answered.await.unwrap_or(Err(SpawnError::Gone))
    }

    /// Ends the guest.
    pub async fn reboot(&self) -> Result<(), SpawnError> {
        self.send(&Request::Reboot, &[]).await
    }

    /// To be taken before something is started that will leave a child to PID 1.
    pub fn mark(&self) -> Mark {
        Mark(self.state().exits_seen)
    }

    /// The exit of a process that PID 1 has inherited since `since`. An exit before that was another process's, which
    /// had the same pid.
    pub fn claim(&self, pid: i32, since: Mark) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let known = state.unclaimed.iter().position(|(of, order, _)| *of == pid && *order >= since.0);
        match known.and_then(|index| state.unclaimed.remove(index)) {
            Some((_, _, exit)) => drop(sender.send(exit)),
            None => drop(state.waiting.insert(pid, sender)),
        }
        receiver
    }

    async fn send(&self, request: &Request, descriptors: &[OwnedFd]) -> Result<(), SpawnError> {
        let message = request.encode().ok_or(SpawnError::Command)?;
        loop {
            let mut guard = self.link.writable().await.map_err(|_| SpawnError::Gone)?;
            let sent = guard.try_io(|link| Ok(packet::send(link.as_fd(), &message, descriptors)?));
            if let Ok(result) = sent {
                return result.map_err(|_| SpawnError::Gone);
            }
        }
    }

    /// Without PID 1 there is nothing left to serve.
    async fn listen(self: Arc<Self>) {
        while let Ok(mut guard) = self.link.readable().await {
            match guard.try_io(|link| Ok(packet::receive(link.as_fd())?)) {
                Err(_) => {}
                Ok(Ok((message, _))) if !message.is_empty() => match Event::decode(&message) {
                    Some(event) => self.on_event(event),
                    None => console::say("PID 1 sent an event that is not one"),
                },
                Ok(_) => break,
            }
        }
        std::process::exit(1)
    }

    fn on_event(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::SetUp => drop(self.set_up.send_replace(true)),
            Event::Spawned { id, pid, errno: 0 } => {
                let (sender, exit) = oneshot::channel();
                state.waiting.insert(pid, sender);
                if let Some(answer) = state.spawning.remove(&id) {
                    let _ = answer.send(Ok(Child { pid, exit }));
                }
            }
            Event::Spawned { id, errno, .. } => {
                if let Some(answer) = state.spawning.remove(&id) {
                    let _ = answer.send(Err(SpawnError::Exec(Errno::from_raw(errno))));
                }
            }
            Event::Exited { pid, status, at_ns } => state.on_exit(pid, Exit { status, at_ns }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn on_exit(&mut self, pid: i32, exit: Exit) {
        let order = self.exits_seen;
        self.exits_seen += 1;
        if let Some(sender) = self.waiting.remove(&pid) {
            let _ = sender.send(exit);
            return;
        }
        if self.unclaimed.len() >= MAX_UNCLAIMED {
            self.unclaimed.pop_front();
        }
        self.unclaimed.push_back((pid, order, exit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: Exit = Exit { status: 0, at_ns: 7 };

    fn tell(pid_1: &OwnedFd, event: &Event) {
        packet::send(pid_1.as_fd(), &event.encode(), &[]).unwrap();
    }

    fn exited(pid: i32) -> Event {
        Event::Exited { pid, status: EXIT.status, at_ns: EXIT.at_ns }
    }

    /// A supervisor and the socket of its PID 1.
    fn pair() -> (Arc<Supervisor>, OwnedFd) {
        let (pid_1, server) = packet::pair().unwrap();
        (Supervisor::new(server).unwrap(), pid_1)
    }

    /// Asks for a program and lets `pid_1` answer with `events`, in which 1 is the request's id.
    async fn spawned(supervisor: &Supervisor, pid_1: &OwnedFd, events: &[Event]) -> Result<Child, SpawnError> {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let stdio = [null(), null(), null()];
        let command = Command { argv: vec!["/bin/true".to_owned()], env: vec![], cwd: "/".to_owned(), stdio };
        let answer = async { events.iter().for_each(|event| tell(pid_1, event)) };
        tokio::join!(supervisor.spawn(command), answer).0
    }

    #[tokio::test]
    async fn an_exit_that_follows_its_start_at_once_is_not_lost() {
        let (supervisor, pid_1) = pair();
        let started = Event::Spawned { id: 1, pid: 40, errno: 0 };
        let child = spawned(&supervisor, &pid_1, &[started, exited(40)]).await.unwrap();
        assert_eq!((child.pid, child.exit.await), (40, Ok(EXIT)));
    }

    #[tokio::test]
    async fn says_when_the_guest_is_set_up_to_those_who_wait_and_those_who_come_later() {
        let (supervisor, pid_1) = pair();
        let says = async { tell(&pid_1, &Event::SetUp) };
        tokio::join!(supervisor.wait_until_set_up(), says);
        supervisor.wait_until_set_up().await;
    }

    #[tokio::test]
    async fn says_why_a_program_did_not_start() {
        let (supervisor, pid_1) = pair();
        let failed = Event::Spawned { id: 1, pid: 40, errno: libc::ENOENT };
        let refused = spawned(&supervisor, &pid_1, &[failed]).await;
        assert!(matches!(refused, Err(SpawnError::Exec(Errno::ENOENT))));
    }

    #[tokio::test]
    async fn an_orphans_exit_can_be_claimed_after_it_but_not_an_older_process_of_the_same_pid() {
        let (supervisor, pid_1) = pair();
        let started = Event::Spawned { id: 1, pid: 40, errno: 0 };
        let before = supervisor.mark();
        // the reply comes last, so that the exit has been seen when it is there
        let _first = spawned(&supervisor, &pid_1, &[exited(41), started]).await.unwrap();
        let after = supervisor.mark();
        let mut other = supervisor.claim(41, after);
        assert!(other.try_recv().is_err());
        drop(other);
        assert_eq!(supervisor.claim(41, before).await, Ok(EXIT));
    }
}
