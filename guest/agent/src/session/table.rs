//! All sessions of the Box.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::Session;
use super::held::HeldPaths;
use super::huge_volumes::HugeVolumes;
use super::mirror::Mirrors;
use super::process::Process;
use super::roots::Roots;
use super::submounts::Submounts;
use crate::cgroup::Parent;
use crate::failure::{Failure, Kind};
use crate::guest::apparmor::Profiles;
use crate::guest::caches::Caches;
use crate::guest::huge_pages::HugePages;
use crate::runtime::Runtime;

/// kubelet allows 110 pods a node and a few containers each: this many in one pod is a mistake.
pub const MAX_SESSIONS: usize = 512;

pub struct Table {
    pub runtime: Box<dyn Runtime>,
    /// Where each session has a directory.
    pub directory: PathBuf,
    /// Where sessions have cgroups; None under a runtime without.
    pub groups: Option<Parent>,
    pub held: HeldPaths,
    pub roots: Roots,
    pub mirrors: Mirrors,
    pub submounts: Submounts,
    pub huge_pages: HugePages,
    pub huge_volumes: HugeVolumes,
    pub profiles: Profiles,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    exec_ids: Mutex<()>,
}

impl Table {
    pub fn new(
        runtime: Box<dyn Runtime>,
        directory: PathBuf,
        mirrors: PathBuf,
        groups: Option<Parent>,
        caches: Caches,
        huge_pages: HugePages,
    ) -> Self {
        let (held, mirrors) = (HeldPaths::new(caches), Mirrors::new(mirrors));
        let submounts = Submounts::new(held.clone());
        let huge_volumes = HugeVolumes::new(huge_pages.clone());
        let roots = Roots::default();
        let (sessions, exec_ids) = (Mutex::default(), Mutex::default());
        Self {
            runtime,
            directory,
            groups,
            held,
            roots,
            mirrors,
            submounts,
            huge_pages,
            huge_volumes,
            profiles: Profiles::default(),
            sessions,
            exec_ids,
        }
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.sessions().values().map(Arc::clone).collect()
    }

    pub fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.sessions().get(id).map(Arc::clone)
    }

    pub fn get(&self, stage: &'static str, id: &str) -> Result<Arc<Session>, Failure> {
        self.find(id).ok_or_else(|| Failure::new(Kind::NotFound, stage, format!("session {id:?} is not known")))
    }

    pub fn process(&self, stage: &'static str, session: &str, exec: &str) -> Result<Arc<Process>, Failure> {
        self.get(stage, session)?.process(stage, exec)
    }

    pub fn insert(&self, stage: &'static str, session: &Arc<Session>) -> Result<(), Failure> {
        let id = &session.container.id;
        let mut sessions = self.sessions();
        if sessions.contains_key(id) {
            return Err(Failure::new(Kind::Exists, stage, format!("session {id} exists")));
        }
        if sessions.len() >= MAX_SESSIONS {
            return Err(Failure::new(Kind::State, stage, format!("there are {MAX_SESSIONS} sessions already")));
        }
        sessions.insert(id.clone(), Arc::clone(session));
        Ok(())
    }

    pub fn remove(&self, id: &str) {
        self.sessions().remove(id);
    }

    /// Whoever counts the execs of all sessions and adds one holds this: never across an await.
    pub fn taking_exec_id(&self) -> MutexGuard<'_, ()> {
        self.exec_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
