//! One session: a container with its init process and its execs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, watch};

use super::held::Held;
use super::huge_volumes::HugeVolume;
use super::mirror::Mirrored;
use super::process::Process;
use super::roots::Root;
use super::submounts::Propagated;
use crate::failure::{Failure, Kind};
use crate::files::lease::Workers;
use crate::runtime::Container;

/// What has been done with it. What its processes do is read from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Creating,
    Created,
    Started,
    Gone,
}

pub struct Session {
    pub container: Container,
    pub created_at_ns: i64,
    /// Creating, starting and deleting write; execs read, and so run side by side.
    pub phase: Arc<RwLock<Phase>>,
    /// What works on its files.
    pub files: Workers,
    facts: Mutex<Facts>,
}

#[derive(Default)]
pub struct Facts {
    /// None while it is being created.
    pub init: Option<Arc<Process>>,
    pub started_at_ns: i64,
    pub execs: HashMap<String, Slot>,
    pub held: Vec<Held>,
    pub root: Option<Root>,
    pub mirrored: Vec<Mirrored>,
    pub propagated: Vec<Propagated>,
    pub huge_volumes: Vec<HugeVolume>,
}

/// An exec id is taken from the moment the exec is asked for.
pub enum Slot {
    /// What it holds closes when the exec runs, or could not be started.
    Starting(watch::Receiver<()>),
    Running(Arc<Process>),
}

impl Session {
    pub fn new(container: Container, created_at_ns: i64) -> Self {
        let phase = Arc::new(RwLock::new(Phase::Creating));
        Self { container, created_at_ns, phase, files: Workers::default(), facts: Mutex::default() }
    }

    /// Never held across an await.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The init process when `exec_id` is empty.
    pub fn process(&self, stage: &'static str, exec_id: &str) -> Result<Arc<Process>, Failure> {
        let facts = self.facts();
        let found = if exec_id.is_empty() {
            facts.init.clone()
        } else {
            match facts.execs.get(exec_id) {
                Some(Slot::Running(process)) => Some(Arc::clone(process)),
                _ => None,
            }
        };
        found.ok_or_else(|| {
            let what = if exec_id.is_empty() { "init".to_owned() } else { format!("exec {exec_id}") };
            Failure::new(Kind::NotFound, stage, format!("session {} has no process {what}", self.container.id))
        })
    }

    /// Waits while the exec is being started.
    pub async fn settled(&self, exec_id: &str) {
        let starting = match self.facts().execs.get(exec_id) {
            Some(Slot::Starting(settles)) => Some(settles.clone()),
            _ => None,
        };
        if let Some(mut settles) = starting {
            // Nothing is ever sent: the sender goes.
            while settles.changed().await.is_ok() {}
        }
    }

    /// Init and all execs.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let facts = self.facts();
        let execs = facts.execs.values().filter_map(|slot| match slot {
            Slot::Running(process) => Some(Arc::clone(process)),
            Slot::Starting(_) => None,
        });
        execs.chain(facts.init.clone()).collect()
    }
}
