//! The process that makes a container or an exec. It is a fork of PID 1, which has one thread, so it may allocate and
//! lock as it likes; whatever goes wrong here ends this process and not the Box.
//!
//! It does what takes the agent's own view (open namespaces, copy mounts of the share), then clones a sibling, which
//! becomes a child of PID 1 too: the container's init or the exec. That one is born in its cgroup, since moving a
//! process into one costs the kernel milliseconds, and does the rest; the first one says its pid and ends.

mod confinement;
mod create;
pub mod credentials;
mod devices;
mod exec;
mod files;
mod inside;
mod mounts;
mod program;
mod resolve;
pub mod sys;
mod terminal;
mod user_namespace;

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::spec::User;
use super::wire::{CGROUP, CHANNEL, JOB, Job, PIDFD, Report, STDIO, Trouble, Verb, during};
use crate::link::packet;
use crate::runtime::{FileWorker, users};

/// What came with the request.
struct Given {
    stdio: [OwnedFd; 3],
    channel: OwnedFd,
    cgroup: OwnedFd,
    /// Of the container's init; for execs.
    pidfd: Option<OwnedFd>,
}

impl Given {
    fn stdio(&self) -> [&OwnedFd; 3] {
        self.stdio.each_ref()
    }

    /// A server that is gone needs no report.
    fn report(&self, report: &Report) {
        let _ = packet::send(self.channel.as_fd(), &report.encode(), &[]);
    }

    fn report_terminal(&self, master: BorrowedFd<'_>) -> Result<(), Errno> {
        use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
        let message = Report::Terminal.encode();
        let raw = [master.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(&message)];
        sendmsg::<UnixAddr>(self.channel.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }
}

/// Number of descriptors that a request comes with.
pub fn takes(count: usize) -> bool {
    count == PIDFD || count == PIDFD + 1
}

/// In a fork of PID 1. `descriptors` in the order of `wire`; all others of PID 1 are closed first.
pub fn run(descriptors: Vec<OwnedFd>) -> ! {
    let kept: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    sys::close_others(&kept);
    let code = match sort(descriptors) {
        Some((job, given)) => match make(job, &given) {
            Ok(()) => 0,
            Err(trouble) => {
                given.report(&Report::Failed(trouble));
                1
            }
        },
        None => 1,
    };
    // SAFETY: ends the process without running what belongs to its parent.
    unsafe { libc::_exit(code) }
}

fn sort(descriptors: Vec<OwnedFd>) -> Option<(OwnedFd, Given)> {
    let mut slots: Vec<Option<OwnedFd>> = descriptors.into_iter().map(Some).collect();
    let mut take = |index: usize| slots.get_mut(index).and_then(Option::take);
    let job = take(JOB)?;
    let [input, output, errors] = STDIO;
    let stdio = [take(input)?, take(output)?, take(errors)?];
    Some((job, Given { stdio, channel: take(CHANNEL)?, cgroup: take(CGROUP)?, pidfd: take(PIDFD) }))
}

fn make(job: OwnedFd, given: &Given) -> Result<(), Trouble> {
    let job = Job::from_memfd(job).map_err(during("read the job"))?;
    // nothing that is in a container may look into this process, or trace it, when it comes there
    nix::sys::prctl::set_dumpable(false).map_err(during("hide from containers"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let value = serde_json::from_slice(&job.json).map_err(|error| Trouble::invalid(error.to_string()))?;
    match job.verb {
        Verb::Create => {
            let spec = super::spec::parse(&value).map_err(Trouble::invalid)?;
            create::run(&spec, job.filter, given)
        }
        Verb::Exec => {
            let process = super::spec::parse_process(&value).map_err(Trouble::invalid)?;
            exec::run(&process, job.namespaces, job.filter, &job.old_groups, given)
        }
        Verb::Files => {
            let worker: FileWorker =
                serde_json::from_value(value).map_err(|error| Trouble::invalid(error.to_string()))?;
            let process = super::spec::parse_process(&worker.process).map_err(Trouble::invalid)?;
            files::run(process, &worker.user, job.namespaces, &job.old_groups, given)
        }
    }
}

/// The pipes become the program's user's, who is known outside by what `first` (user, group) and its own ids add up to.
fn give_pipes(given: &Given, user: &User, first: (u32, u32)) -> Result<(), Trouble> {
    let outside = |first: u32, id: u32| first.checked_add(id).ok_or_else(|| Trouble::invalid("there is no such user"));
    let (uid, gid) = (outside(first.0, user.uid)?, outside(first.1, user.gid)?);
    users::give(&given.stdio, uid, gid).map_err(during("give the pipes to the program's user"))
}

/// proc(5), oom_score_adj. Inherited by what is cloned later.
fn set_oom_score(adjustment: Option<i32>) -> Result<(), Trouble> {
    match adjustment {
        Some(value) => match fs::write("/proc/self/oom_score_adj", value.to_string()) {
            // lowering takes CAP_SYS_RESOURCE, which a runtime on a host may lack: then it stays as it is
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
            written => written.map_err(|error| {
                during("set oom_score_adj")(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
            }),
        },
        None => Ok(()),
    }
}
