//! The PID namespace that containers of a pod share when they have none of their own: number 1 in it does nothing but reap.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::console;
use crate::failure::{Failure, while_doing};
use crate::poll;
use crate::runtime::users;
use crate::server::supervisor::{Command, Supervisor};
use crate::session::stdio;

const STAGE: &str = "create session";
const LIMIT: Duration = Duration::from_secs(20);

/// Made when the first container asks for it.
pub struct Pause {
    pid: OnceCell<i32>,
    /// The namespace is the pod's user namespace's.
    has_users: bool,
}

/// Word of the command line.
const USERS: &str = "--users";

impl Pause {
    pub fn new(has_users: bool) -> Self {
        Self { pid: OnceCell::new(), has_users }
    }

    /// Pid of its number 1.
    pub async fn pid(&self, supervisor: &Supervisor) -> Result<i32, Failure> {
        self.pid.get_or_try_init(|| start(supervisor, self.has_users)).await.copied()
    }
}

async fn start(supervisor: &Supervisor, has_users: bool) -> Result<i32, Failure> {
    let failed = |what: &'static str| while_doing::<nix::errno::Errno>(STAGE, what);
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"))?;
    stdio::set_non_blocking(&ours).map_err(failed("watch a pipe"))?;
    let [null, _, errors] = stdio::nothing().map_err(failed("open /dev/null"))?;
    // By this link, and not by a path: the agent's file is on a mount that is nowhere (`read_only`).
    let mut argv = vec!["/proc/self/exe".to_owned(), "pause".to_owned()];
    argv.extend(has_users.then(|| USERS.to_owned()));
    let command = Command { argv, env: Vec::new(), cwd: "/".to_owned(), stdio: [null, theirs, errors] };
    let _child = supervisor.spawn(command).await.map_err(while_doing(STAGE, "start the pod's first process"))?;
    let said = timeout(LIMIT, read_line(ours)).await;
    let said = said.map_err(|_| Failure::internal(STAGE, "the pod's first process does not answer"))?;
    said.ok_or_else(|| Failure::internal(STAGE, "the pod's PID namespace could not be made"))
}

async fn read_line(pipe: OwnedFd) -> Option<i32> {
    let pipe = poll::watched_for_reading(pipe).ok()?;
    let mut text = String::new();
    while !text.ends_with('\n') {
        let mut guard = pipe.readable().await.ok()?;
        let mut bytes = [0; 32];
        match guard.try_io(|pipe| Ok(nix::unistd::read(pipe.get_ref().as_fd(), &mut bytes)?)) {
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(count)) => text.push_str(std::str::from_utf8(bytes.get(..count)?).ok()?),
            Err(_) => {}
        }
    }
    text.trim().parse().ok()
}

/// `agent pause`: makes the namespace, says the pid of its number 1 and leaves that behind.
pub fn run(options: &[&str]) -> ExitCode {
    match make(options == [USERS]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            console::say(&format!("make a PID namespace: {errno}"));
            ExitCode::FAILURE
        }
    }
}

/// Root of the host must be nowhere among the pod's processes: what is number 1 is root of the user namespace.
fn make(has_users: bool) -> Result<(), nix::errno::Errno> {
    if has_users {
        users::enter(&users::of_network()?)?;
    }
    unshare(CloneFlags::CLONE_NEWPID)?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let _ = writeln!(std::io::stdout(), "{child}");
            Ok(())
        }
        ForkResult::Child => reap_for_ever(),
    }
}

/// Number 1 of a namespace is sent no signal that it does not wait for.
fn reap_for_ever() -> ! {
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    let _ = watched.thread_block();
    for descriptor in 0..3 {
        let _ = nix::unistd::close(descriptor);
    }
    loop {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        let _ = watched.wait();
    }
}
