//! Mounts that the host makes below a volume while containers have it (docs/adr/0051).
//!
//! Each has a place of its own in the share. The agent visits that (see `held`) and binds it where it belongs in the
//! volume, whose mount is shared here and a slave in the containers: so they get it, and lose it again. They never come
//! to a submount of the share before the agent.

mod place;
mod users;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::held::{End, Held, HeldPaths};
use crate::failure::{Failure, Kind, while_doing};

const STAGE: &str = "sync submounts";
pub const MAX_SUBMOUNTS: usize = 1024;
/// Of a volume: those that were unmounted and that the guest is not done with. With `MAX_SUBMOUNTS` it bounds what the
/// answer names, of which nothing may be left out: the host unmounts all others.
const MAX_LEFT: usize = 1024;
/// How long those that somebody is in are waited for, all together.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A mount below a volume, as the daemon asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub at: String,
    pub source: String,
}

pub struct Submounts {
    held: HeldPaths,
    known: StdMutex<HashMap<String, Entry>>,
}

/// A volume that hangs holds up no other.
#[derive(Default)]
struct Entry {
    sessions: usize,
    volume: Arc<Mutex<Volume>>,
}

#[derive(Default)]
struct Volume {
    /// Parents first.
    attached: Vec<Attached>,
    /// Unmounted here, but a process of a container has something of it open: its file system must stay.
    lingering: Vec<Attached>,
    /// Given back to `HeldPaths`, which may take its time.
    leaving: Vec<String>,
}

struct Attached {
    wanted: Wanted,
    /// Of its file system; None for a file, which is a part of the share's own.
    device: Option<u64>,
    held: Held,
}

pub struct Synced {
    /// Sources that are still in use.
    pub in_use: Vec<String>,
    /// Of the first that could not be attached; the others are.
    pub failure: Option<Failure>,
}

/// One session's share in a volume; to be given back to `Submounts::release`.
pub struct Propagated(String);

impl Submounts {
    pub fn new(held: HeldPaths) -> Self {
        Self { held, known: StdMutex::default() }
    }

    /// Never held across an await.
    fn known(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on what is mounted on this volume reaches the copies that are made of it. It is held already.
    pub async fn add(&self, stage: &'static str, path: &str) -> Result<Propagated, Failure> {
        let shared = path.to_owned();
        let shared = off_loop(move || place::share(&shared)).await;
        shared.map_err(while_doing(stage, format!("share the mount of {path}")))?;
        self.known().entry(path.to_owned()).or_default().sessions += 1;
        Ok(Propagated(path.to_owned()))
    }

    pub async fn sync(&self, path: &str, wanted: &[Wanted]) -> Result<Synced, Failure> {
        if wanted.len() > MAX_SUBMOUNTS {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_SUBMOUNTS} submounts")));
        }
        let found = self.known().get(path).map(|entry| Arc::clone(&entry.volume));
        let missing = || Failure::new(Kind::NotFound, STAGE, format!("no session has the volume {path}"));
        let volume = found.ok_or_else(missing)?;
        let mut volume = volume.lock().await;
        self.detach(path, &mut volume, |one| !is_wanted(one, wanted)).await;
        self.let_go(&mut volume).await;
        let left = volume.lingering.len() + volume.leaving.len();
        if left > MAX_LEFT {
            let what = format!("{left} file systems that were unmounted below {path} are still in use");
            return Err(Failure::new(Kind::State, STAGE, what));
        }
        let failure = self.attach(path, &mut volume, wanted).await.err();
        let mut in_use = Vec::new();
        for one in volume.attached.iter().chain(&volume.lingering) {
            in_use.push(one.wanted.source.clone());
        }
        volume.leaving.retain(|source| self.held.is_there(source));
        in_use.extend(volume.leaving.iter().cloned());
        Ok(Synced { in_use, failure })
    }

    /// The session's processes are gone. The last one's volume loses all that is mounted on it.
    pub async fn release(&self, propagated: Vec<Propagated>) {
        for Propagated(path) in propagated {
            let Some(volume) = self.last_of(&path) else { continue };
            let mut volume = volume.lock().await;
            self.detach(&path, &mut volume, |_| true).await;
            let lingering = std::mem::take(&mut volume.lingering);
            self.held.release(lingering.into_iter().map(|one| one.held).collect()).await;
            let mut known = self.known();
            if known.get(&path).is_some_and(|entry| entry.sessions == 0) {
                known.remove(&path);
            }
        }
    }

    /// None while other sessions have it.
    fn last_of(&self, path: &str) -> Option<Arc<Mutex<Volume>>> {
        let mut known = self.known();
        let entry = known.get_mut(path)?;
        entry.sessions -= 1;
        (entry.sessions == 0).then(|| Arc::clone(&entry.volume))
    }

    /// Those that are to go, and what is mounted in them, become lingering.
    async fn detach(&self, path: &str, volume: &mut Volume, goes: impl Fn(&Attached) -> bool) {
        let roots: Vec<String> =
            volume.attached.iter().filter(|one| goes(one)).map(|one| one.wanted.at.clone()).collect();
        let goes = |one: &Attached| roots.iter().any(|root| is_within(&one.wanted.at, root));
        let (gone, kept): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut volume.attached).into_iter().partition(goes);
        volume.attached = kept;
        let mut mounted: Vec<String> = gone.iter().rev().map(|one| one.wanted.at.clone()).collect();
        volume.lingering.extend(gone.into_iter().rev());
        let deadline = Instant::now() + PATIENCE;
        while !mounted.is_empty() {
            let is_over = Instant::now() > deadline;
            let volume = path.to_owned();
            mounted = off_loop(move || place::unmount(&volume, mounted, is_over)).await.unwrap_or_default();
            if !mounted.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Of those that were unmounted: what no process uses any more; and once more what could not leave the last time.
    async fn let_go(&self, volume: &mut Volume) {
        if volume.lingering.is_empty() && volume.leaving.is_empty() {
            return;
        }
        let devices: Vec<u64> = volume.lingering.iter().filter_map(|one| one.device).collect();
        let Ok(used) = off_loop(move || Ok(users::used_of(&devices))).await else { return };
        let is_used = |one: &Attached| one.device.is_some_and(|device| used.contains(&device));
        let (kept, free): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut volume.lingering).into_iter().partition(is_used);
        volume.lingering = kept;
        volume.leaving.extend(free.iter().map(|one| one.wanted.source.clone()));
        self.held.release(free.into_iter().map(|one| one.held).collect()).await;
    }

    /// What can be, in the order of the request; the first that can't is the failure.
    async fn attach(&self, path: &str, volume: &mut Volume, wanted: &[Wanted]) -> Result<(), Failure> {
        let is_new = |one: &&Wanted| !volume.attached.iter().any(|attached| attached.wanted == **one);
        let (entered, mut failure) = self.enter(wanted.iter().filter(is_new).cloned().collect()).await;
        let source_of = |(one, held): &(Wanted, Held)| Ok((one.at.clone(), self.held.descriptor(held)?));
        let sources: Result<Vec<(String, OwnedFd)>, Errno> = entered.iter().map(source_of).collect();
        let on = path.to_owned();
        let bound = off_loop(move || Ok(place::bind(&on, &sources?))).await;
        let bound = bound.unwrap_or_else(|errno| vec![Err(errno); entered.len()]);
        let mut unbound = Vec::new();
        for ((wanted, held), device) in entered.into_iter().zip(bound) {
            match device {
                Ok(device) => volume.attached.push(Attached { wanted, device, held }),
                Err(errno) => {
                    let what = format!("mount {} on {path}/{}: {errno}", wanted.source, wanted.at);
                    failure = failure.and_then(|()| Err(Failure::internal(STAGE, what)));
                    unbound.push(held);
                }
            }
        }
        self.held.release(unbound).await;
        failure
    }

    /// Those that can be.
    async fn enter(&self, wanted: Vec<Wanted>) -> (Vec<(Wanted, Held)>, Result<(), Failure>) {
        let sources: Vec<String> = wanted.iter().map(|one| one.source.clone()).collect();
        let (mut entered, mut failure) = (Vec::new(), Ok(()));
        for (wanted, visited) in wanted.into_iter().zip(self.held.visit_each(&sources, End::Forget).await) {
            match visited {
                Ok(held) => entered.push((wanted, held)),
                Err(error) => failure = failure.and_then(|()| Err(Failure::invalid(STAGE, error))),
            }
        }
        (entered, failure)
    }
}

/// What may take as long as a file system of the host.
async fn off_loop<T: Send + 'static>(work: impl FnOnce() -> Result<T, Errno> + Send + 'static) -> Result<T, Errno> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Errno::EIO))
}

fn is_wanted(attached: &Attached, wanted: &[Wanted]) -> bool {
    wanted.contains(&attached.wanted)
}

fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_lies_within_a_directory() {
        assert!(is_within("a", "a") && is_within("a/b", "a"));
        assert!(!is_within("ab", "a") && !is_within("a", "a/b"));
    }
}
