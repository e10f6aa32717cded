//! Mounts that the host makes below a volume while containers have it (docs/adr/0051).
//!
//! Each has a place of its own in the share. The agent visits that (see `held`) and binds it where it belongs in the
//! volume, whose mount is shared here and a slave in the containers: so they get it, and lose it again. They never come
//! to a submount of the share before the agent.

mod place;
mod users;

use std::collections::HashMap;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::held::{End, Held, HeldPaths};
use crate::failure::{Failure, Kind, while_doing};

const STAGE: &str = "sync submounts";
pub const MAX_SUBMOUNTS: usize = 1024;
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
    known: Mutex<HashMap<String, Volume>>,
}

#[derive(Default)]
struct Volume {
    sessions: usize,
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
        Self { held, known: Mutex::default() }
    }

    /// From now on what is mounted on this volume reaches the copies that are made of it. It is held already.
    pub async fn add(&self, stage: &'static str, path: &str) -> Result<Propagated, Failure> {
        let mut known = self.known.lock().await;
        if !known.contains_key(path) {
            let shared = mount(None::<&str>, path, None::<&str>, MsFlags::MS_SHARED, None::<&str>);
            shared.map_err(while_doing(stage, format!("share the mount of {path}")))?;
        }
        known.entry(path.to_owned()).or_default().sessions += 1;
        Ok(Propagated(path.to_owned()))
    }

    pub async fn sync(&self, path: &str, wanted: &[Wanted]) -> Result<Synced, Failure> {
        if wanted.len() > MAX_SUBMOUNTS {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_SUBMOUNTS} submounts")));
        }
        let mut known = self.known.lock().await;
        let missing = || Failure::new(Kind::NotFound, STAGE, format!("no session has the volume {path}"));
        let volume = known.get_mut(path).ok_or_else(missing)?;
        self.detach(path, volume, |one| !is_wanted(one, wanted)).await;
        self.let_go(volume).await;
        let failure = self.attach(path, volume, wanted).await.err();
        let mut in_use = Vec::new();
        for one in volume.attached.iter().chain(&volume.lingering) {
            in_use.push(one.wanted.source.clone());
        }
        for source in std::mem::take(&mut volume.leaving) {
            if self.held.is_there(&source).await {
                in_use.push(source.clone());
                volume.leaving.push(source);
            }
        }
        Ok(Synced { in_use, failure })
    }

    /// The session's processes are gone. The last one's volume loses all that is mounted on it.
    pub async fn release(&self, propagated: Vec<Propagated>) {
        let mut known = self.known.lock().await;
        for Propagated(path) in propagated {
            let Some(volume) = known.get_mut(&path) else { continue };
            volume.sessions -= 1;
            if volume.sessions > 0 {
                continue;
            }
            self.detach(&path, volume, |_| true).await;
            let Some(volume) = known.remove(&path) else { continue };
            self.held.release(volume.lingering.into_iter().map(|one| one.held).collect()).await;
        }
    }

    /// Those that are to go, and what is mounted in them, become lingering.
    async fn detach(&self, path: &str, volume: &mut Volume, goes: impl Fn(&Attached) -> bool) {
        let roots: Vec<String> =
            volume.attached.iter().filter(|one| goes(one)).map(|one| one.wanted.at.clone()).collect();
        let goes = |one: &Attached| roots.iter().any(|root| is_within(&one.wanted.at, root));
        let (gone, kept): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut volume.attached).into_iter().partition(goes);
        volume.attached = kept;
        let deadline = Instant::now() + PATIENCE;
        for one in gone.into_iter().rev() {
            while !place::unmount(path, &one.wanted.at) {
                if Instant::now() > deadline {
                    place::unmount_lazily(path, &one.wanted.at);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            volume.lingering.push(one);
        }
    }

    /// Of those that were unmounted: what no process uses any more; and once more what could not leave the last time.
    async fn let_go(&self, volume: &mut Volume) {
        if volume.lingering.is_empty() && volume.leaving.is_empty() {
            return;
        }
        let devices: Vec<u64> = volume.lingering.iter().filter_map(|one| one.device).collect();
        let looked = tokio::task::spawn_blocking(move || users::used_of(&devices)).await;
        let Ok(used) = looked else { return };
        let is_used = |one: &Attached| one.device.is_some_and(|device| used.contains(&device));
        let (kept, free): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut volume.lingering).into_iter().partition(is_used);
        volume.lingering = kept;
        volume.leaving.extend(free.iter().map(|one| one.wanted.source.clone()));
        self.held.release(free.into_iter().map(|one| one.held).collect()).await;
    }

    /// What can be, in the order of the request; the first that can't is the failure.
    async fn attach(&self, path: &str, volume: &mut Volume, wanted: &[Wanted]) -> Result<(), Failure> {
        let mut first_failure = Ok(());
        for one in wanted {
            if volume.attached.iter().any(|attached| attached.wanted == *one) {
                continue;
            }
            match self.attach_one(path, one).await {
                Ok(attached) => volume.attached.push(attached),
                Err(failure) if first_failure.is_ok() => first_failure = Err(failure),
                Err(_) => {}
            }
        }
        first_failure
    }

    async fn attach_one(&self, path: &str, wanted: &Wanted) -> Result<Attached, Failure> {
        let held = self.held.visit(&wanted.source, End::Forget).await;
        let held = held.map_err(|error| Failure::invalid(STAGE, error))?;
        let bound = match self.held.descriptor(&held).await {
            Ok(source) => place::bind(path, &wanted.at, &source),
            Err(errno) => Err(errno),
        };
        match bound {
            Ok(device) => Ok(Attached { wanted: wanted.clone(), device, held }),
            Err(errno) => {
                self.held.release(vec![held]).await;
                Err(Failure::internal(STAGE, format!("mount {} on {}/{}: {errno}", wanted.source, path, wanted.at)))
            }
        }
    }
}

fn is_wanted(attached: &Attached, wanted: &[Wanted]) -> bool {
    wanted.contains(&attached.wanted)
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_lies_within_a_folder() {
        assert!(is_within("a", "a") && is_within("a/b", "a"));
        assert!(!is_within("ab", "a") && !is_within("a", "a/b"));
    }
}
