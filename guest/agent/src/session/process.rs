//! One process of a session, init or exec, from the agent's side.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::output::{Output, Stream};
use super::pump;
use super::stdio::Ours;
use crate::cgroup::Cgroup;
use crate::clock;
use crate::failure::{Failure, while_doing};
use crate::poll;
use crate::runtime::Launched;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Exit code, or 128 + signal.
    pub code: u32,
    /// 0: not killed by one.
    pub signal: u32,
    pub exited_at_ns: i64,
    pub oom_killed: bool,
}

/// Waits for an exit; answers at once after it.
#[derive(Debug, Clone)]
pub struct ExitWatch(watch::Receiver<Option<ExitStatus>>);

impl ExitWatch {
    /// With the sender of what it waits for.
    pub fn of(status: Option<ExitStatus>) -> (watch::Sender<Option<ExitStatus>>, Self) {
        let (sender, receiver) = watch::channel(status);
        (sender, Self(receiver))
    }

    pub fn now(&self) -> Option<ExitStatus> {
        *self.0.borrow()
    }

    /// None: the session was deleted before its exit was seen.
    pub async fn status(&mut self) -> Option<ExitStatus> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    pub async fn wait(&mut self) {
        self.status().await;
    }
}

pub struct Process {
    pub pid: i32,
    pub output: Arc<Output>,
    pub exit: ExitWatch,
    /// Where input goes; None when the process takes none, or after it was closed.
    pub stdin: tokio::sync::Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
    /// The terminal's master.
    pub terminal: Option<Arc<AsyncFd<OwnedFd>>>,
    /// Where it and its descendants live; None under a runtime without cgroups.
    pub cgroup: Option<Cgroup>,
    /// None when it had exited before it could be opened.
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// `cgroup` is the process's own; `memory` the one whose OOM kills count for it.
    pub fn adopt(
        stage: &'static str,
        launched: Launched,
        ours: Ours,
        cgroup: Option<Cgroup>,
        memory: Option<Cgroup>,
    ) -> Result<Arc<Self>, Failure> {
        let (stdin, terminal, sources) = connect(launched.terminal, ours).map_err(while_doing(stage, "watch stdio"))?;
        let (sender, exit) = ExitWatch::of(None);
        let output = Arc::new(Output::default());
        tokio::spawn(pump::run(sources, Arc::clone(&output), exit.clone()));
        tokio::spawn(async move {
            if let Ok(exit) = launched.exit.await {
                let oom_killed = memory.is_some_and(|cgroup| cgroup.oom_kills() > 0);
                sender.send_replace(Some(exit_status(exit.status, exit.at_ns, oom_killed)));
            }
        });
        let pidfd = open_pidfd(launched.pid).ok();
        Ok(Arc::new(Self { pid: launched.pid, output, exit, stdin: stdin.into(), terminal, cgroup, pidfd }))
    }

    /// A signal to this process alone. Success when it has exited.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        self.pidfd.as_ref().map_or(Ok(()), |pidfd| send_signal(pidfd, signal))
    }

    /// Lets go of what a deleted session must not hold.
    pub async fn close(&self) {
        self.output.close();
        self.stdin.lock().await.take();
    }
}

type Watched = Arc<AsyncFd<OwnedFd>>;
type Connected = (Option<Watched>, Option<Watched>, Vec<(Stream, Watched)>);

/// stdin, terminal, and what is to be read.
fn connect(terminal: Option<OwnedFd>, ours: Ours) -> std::io::Result<Connected> {
    if let Some(master) = terminal {
        super::stdio::set_non_blocking(&master)?;
        let master = Arc::new(poll::watched(master)?);
        let sources = vec![(Stream::Stdout, Arc::clone(&master))];
        let stdin = ours.stdin.is_some().then(|| Arc::clone(&master));
        return Ok((stdin, Some(master), sources));
    }
    let stdin = ours.stdin.map(poll::watched).transpose()?.map(Arc::new);
    let stdout = Arc::new(poll::watched_for_reading(ours.stdout)?);
    let stderr = Arc::new(poll::watched_for_reading(ours.stderr)?);
    Ok((stdin, None, vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)]))
}

pub fn open_pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: a system call without pointers.
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Success when it has exited.
pub fn send_signal(pidfd: &OwnedFd, signal: i32) -> Result<(), Errno> {
    // SAFETY: a system call on an open pidfd; no siginfo and no flags.
    let result = unsafe {
        let none = std::ptr::null::<libc::siginfo_t>();
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0)
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn exit_status(status: i32, exited_at_ns: i64, oom_killed: bool) -> ExitStatus {
    let (code, signal) = if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status).unsigned_abs();
        (128 + signal, signal)
    } else {
        (libc::WEXITSTATUS(status).unsigned_abs(), 0)
    };
    let exited_at_ns = if exited_at_ns == 0 { clock::wall_ns() } else { exited_at_ns };
    ExitStatus { code, signal, exited_at_ns, oom_killed }
}

#[cfg(test)]
mod tests {
    use super::exit_status;

    #[test]
    fn tells_exit_codes_from_signals() {
        let exited = exit_status(3 << 8, 5, false);
        assert_eq!((exited.code, exited.signal), (3, 0));
        let killed = exit_status(libc::SIGKILL, 5, true);
        assert_eq!((killed.code, killed.signal, killed.oom_killed), (137, 9, true));
        let dumped = exit_status(libc::SIGSEGV | 0x80, 5, false);
        assert_eq!((dumped.code, dumped.signal), (139, 11));
    }
}
