//! What runs containers: one trait with back ends. A Box has its own runtime, and crun to compare it with; a host has runc,
//! and execs of its own.

pub mod crun;
mod devices;
pub mod guest;
pub mod own;
pub mod plain;
mod program;
pub mod runc;
pub mod users;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::cgroup::{Cgroup, limits};
use crate::failure::{Failure, Kind, while_doing};
use crate::server::supervisor::Exit;
use crate::session::process::Process;
use crate::session::stdio::Theirs;

/// One container, as the runtime knows it.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: String,
    /// The agent's own directory for it, on a tmpfs.
    pub directory: PathBuf,
    /// None under a runtime without cgroups.
    pub cgroup: Option<Cgroup>,
}

/// What a container is made from.
#[derive(Debug)]
pub struct CreateSpec {
    /// OCI config.json without `linux.seccomp`.
    pub spec: Value,
    /// Empty: no filter.
    pub seccomp_bpf: Vec<u8>,
    /// seccomp(2) filter flags.
    pub seccomp_flags: u32,
}

/// What an exec is made from.
#[derive(Debug)]
pub struct ExecSpec {
    pub exec_id: String,
    /// OCI `process`.
    pub process: Value,
    /// Where the exec is to live; exists.
    pub cgroup: Option<Cgroup>,
}

/// What a process that works on a container's files is made from.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileWorker {
    /// By the container's own names; empty: the user of `process`.
    pub user: String,
    /// OCI `process`: user, OOM score, and as capabilities what root has.
    pub process: Value,
}

/// A process that the runtime has made.
#[derive(Debug)]
pub struct Launched {
    pub pid: i32,
    pub exit: oneshot::Receiver<Exit>,
    /// Master of the terminal, when the spec asked for one.
    pub terminal: Option<OwnedFd>,
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    One,
    /// The process's whole cgroup: the session's, or the exec's own with what it started.
    All,
}

#[tonic::async_trait]
pub trait Runtime: Send + Sync {
    /// For people: "crun".
    fn name(&self) -> &'static str;

    /// Makes a container up to the point where its init waits for `start`. Undoes itself on failure.
    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure>;

    /// Lets init execute its program.
    async fn start(&self, container: &Container) -> Result<(), Failure>;

    /// One more process in a started container. A missing program is `NotFound`.
    async fn exec(&self, container: &Container, exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure>;

    /// A process that works on the files of a started container, and listens on the socket.
    async fn files(&self, container: &Container, _: FileWorker, _: OwnedFd) -> Result<Launched, Failure> {
        let what = format!("container {} is of a runtime that has no access to files", container.id);
        Err(Failure::new(Kind::Unimplemented, crate::files::lease::STAGE, what))
    }

    /// Success for processes that have exited.
    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure>;

    /// Takes `linux.seccomp`, and the filter for execs alone.
    fn takes_profile(&self) -> bool {
        false
    }

    /// Sets the limits that OCI's `linux.resources` names; on an error nothing has changed.
    async fn update(&self, container: &Container, resources: &Value) -> Result<(), Failure> {
        const STAGE: &str = "update session";
        let cgroup = container.cgroup.as_ref();
        let cgroup = cgroup.ok_or_else(|| Failure::new(Kind::Unimplemented, STAGE, "this runtime has no cgroups"))?;
        limits::apply(cgroup, resources).map_err(|error| match error {
            limits::LimitError::Invalid(_) => Failure::invalid(STAGE, error),
            limits::LimitError::Write { .. } => Failure::internal(STAGE, error),
        })
    }

    /// Kills what is left and forgets the container. Success when it is not known.
    async fn delete(&self, container: &Container) -> Result<(), Failure>;
}

/// For runtimes whose processes are in cgroups.
fn signal_by_cgroup(process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
    let sent = match (reach, &process.cgroup) {
        (Reach::All, Some(cgroup)) => cgroup.signal_all(signal),
        _ => process.signal(signal),
    };
    sent.map_err(while_doing("signal", format!("signal {signal} to process {}", process.pid)))
}

/// `terminal` of an OCI process object.
pub fn wants_terminal(process: Option<&Value>) -> bool {
    process.and_then(|process| process.get("terminal")).and_then(Value::as_bool).unwrap_or(false)
}
