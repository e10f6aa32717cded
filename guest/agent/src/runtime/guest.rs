//! The back ends of a Box side by side: a session can ask for the other one, so that one guest can compare them.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::crun::Crun;
use super::devices;
use super::own::Own;
use super::{Container, CreateSpec, ExecSpec, FileWorker, Launched, Reach, Runtime};
use crate::failure::Failure;
use crate::server::supervisor::Supervisor;
use crate::session::process::Process;
use crate::session::stdio::Theirs;

/// An annotation of the OCI spec: "own" or "crun".
const ANNOTATION: &str = "a3s.runtime";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Own,
    Crun,
}

impl Choice {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "own" => Some(Self::Own),
            "crun" => Some(Self::Crun),
            _ => None,
        }
    }
}

pub struct Guest {
    own: Own,
    crun: Crun,
    /// For sessions that do not choose.
    standard: Choice,
    /// Sessions of crun.
    of_crun: Mutex<HashSet<String>>,
}

impl Guest {
    pub fn new(supervisor: &Arc<Supervisor>, standard: Choice) -> Self {
        let (own, crun) = (Own::new(Arc::clone(supervisor)), Crun::new(Arc::clone(supervisor)));
        Self { own, crun, standard, of_crun: Mutex::default() }
    }

    fn of_crun(&self) -> MutexGuard<'_, HashSet<String>> {
        self.of_crun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, container: &Container) -> &dyn Runtime {
        if self.of_crun().contains(&container.id) { &self.crun } else { &self.own }
    }
}

#[tonic::async_trait]
impl Runtime for Guest {
    fn name(&self) -> &'static str {
        match self.standard {
            Choice::Own => self.own.name(),
            Choice::Crun => self.crun.name(),
        }
    }

    async fn create(&self, container: &Container, mut create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        devices::complete(&mut create.spec)?;
        let asked = create.spec.get("annotations").and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str);
        let choice = match asked {
            None => self.standard,
            Some(name) => Choice::parse(name)
                .ok_or_else(|| Failure::invalid("create session", format!("there is no runtime {name:?}")))?,
        };
        if choice == Choice::Crun {
            self.of_crun().insert(container.id.clone());
        }
        let launched = self.of(container).create(container, create, stdio).await;
        if launched.is_err() {
            self.of_crun().remove(&container.id);
        }
        launched
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        self.of(container).start(container).await
    }

    async fn exec(&self, container: &Container, exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        self.of(container).exec(container, exec, stdio).await
    }

    async fn files(&self, container: &Container, worker: FileWorker, socket: OwnedFd) -> Result<Launched, Failure> {
        self.of(container).files(container, worker, socket).await
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        super::signal_by_cgroup(process, signal, reach)
    }

    async fn delete(&self, container: &Container) -> Result<(), Failure> {
        self.of(container).delete(container).await?;
        self.of_crun().remove(&container.id);
        Ok(())
    }
}
