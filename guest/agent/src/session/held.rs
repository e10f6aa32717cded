//! Paths of the share that a session uses, visited and held in the agent's own mount namespace.
//!
//! A folder of the share that is a mount on the host appears in the guest as an automounted submount. When its first
//! visitor is a container, the guest kernel dies at the container's exit ("VFS: Busy inodes after unmount"). So the
//! agent goes there first, keeps it until the container is gone, and unmounts it itself once the share is quiet. Sessions
//! that use the same path hold it together: mounted a second time it would be another file system to the kernel.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, umount2};
use tokio::time::Instant;

use super::quiet;
use crate::console;
use crate::guest::caches::Caches;

/// How often it is looked whether a submount can go, how long a session waits for its own, and how long they are tried.
const PAUSE: Duration = Duration::from_millis(2);
const LONG_PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(1);
const LONG_PATIENCE: Duration = Duration::from_secs(300);

/// All that is held. The lock is kept while something is visited or unmounted, so that nobody walks into what is just
/// going.
#[derive(Clone)]
pub struct HeldPaths {
    state: Arc<tokio::sync::Mutex<State>>,
    caches: Caches,
}

#[derive(Default)]
struct State {
    held: HashMap<CString, Entry>,
    /// Nobody's any more; mounts within mounts first.
    leaving: Vec<Leaving>,
    /// Somebody looks after those that were not let go in time.
    looked_after: bool,
}

impl State {
    fn leave(&mut self, name: CString) {
        let Some(entry) = self.held.get_mut(&name) else { return };
        entry.sessions -= 1;
        if entry.sessions == 0 {
            let end = entry.end;
            self.held.remove(&name);
            self.leaving.push(Leaving { name, end });
        }
    }
}

struct Entry {
    descriptor: OwnedFd,
    sessions: usize,
    end: End,
}

struct Leaving {
    name: CString,
    end: End,
}

/// What is done when nobody has it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Unmount,
    /// As the host waits for its device. The kernel remembers what was at a path when nothing is mounted there any more,
    /// and the file server has that open.
    Forget,
}

/// One session's share in a held path; to be given back to `HeldPaths::release`.
pub struct Held(CString);

#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    #[error("{0:?} is not an absolute path of the share")]
    Path(String),
    #[error("open {path}: {errno}")]
    Open { path: String, errno: Errno },
}

impl HeldPaths {
    pub fn new(caches: Caches) -> Self {
        Self { state: Arc::default(), caches }
    }

    /// Walks into `path`, which may be a folder or a file. `end` is the first visitor's.
    pub async fn visit(&self, path: &str, end: End) -> Result<Held, HeldError> {
        let name = check(path)?;
        let mut state = self.state.lock().await;
        state.leaving.retain(|leaving| leaving.name != name);
        match state.held.get_mut(&name) {
            Some(entry) => entry.sessions += 1,
            None => {
                let opened = walk_into(&name);
                let descriptor = opened.map_err(|errno| HeldError::Open { path: path.to_owned(), errno })?;
                state.held.insert(name.clone(), Entry { descriptor, sessions: 1, end });
            }
        }
        Ok(Held(name))
    }

    /// Of what is held; to be closed before that is released.
    pub async fn descriptor(&self, held: &Held) -> Result<OwnedFd, Errno> {
        let state = self.state.lock().await;
        let entry = state.held.get(&held.0).ok_or(Errno::EBADF)?;
        entry.descriptor.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// Whether it is held, or still mounted after its last release.
    pub async fn is_there(&self, path: &str) -> bool {
        let state = self.state.lock().await;
        let is_path = |name: &CString| name.as_bytes() == path.as_bytes();
        state.held.keys().any(is_path) || state.leaving.iter().any(|leaving| is_path(&leaving.name))
    }

    /// In the order of the visits. The last one lets go: submounts are unmounted when that is safe, mostly before this
    /// returns.
    pub async fn release(&self, held: Vec<Held>) {
        {
            let mut state = self.state.lock().await;
            // mounts within mounts go first
            held.into_iter().rev().for_each(|Held(name)| state.leave(name));
        }
        if !self.unmount_leaving(PATIENCE, PAUSE).await {
            self.look_after_leaving().await;
        }
    }

    /// Until all are gone, which is what it answers, or the time has passed.
    async fn unmount_leaving(&self, patience: Duration, pause: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            {
                let mut state = self.state.lock().await;
                if quiet::share_is_quiet() {
                    self.unmount_what_can_be(&mut state);
                }
                if state.leaving.is_empty() || Instant::now() > deadline {
                    return state.leaving.is_empty();
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn unmount_what_can_be(&self, state: &mut State) {
        let mut forget = false;
        state.leaving.retain(|leaving| {
            let gone = unmount(&leaving.name);
            forget |= gone && leaving.end == End::Forget;
            !gone
        });
        if forget {
            let _ = self.caches.drop_unused();
        }
    }

    async fn look_after_leaving(&self) {
        let mut state = self.state.lock().await;
        if state.looked_after {
            return;
        }
        state.looked_after = true;
        let all = self.clone();
        tokio::spawn(async move {
            if !all.unmount_leaving(LONG_PATIENCE, LONG_PAUSE).await {
                console::say("submounts stay: the share was never quiet, or somebody is in them");
            }
            all.state.lock().await.looked_after = false;
        });
    }
}

fn check(path: &str) -> Result<CString, HeldError> {
    let shared = path.starts_with("/c/") || path.starts_with("/v/");
    let plain = !path.split('/').any(|part| part == ".." || part == ".");
    let name = CString::new(path).ok().filter(|_| shared && plain);
    name.ok_or_else(|| HeldError::Path(path.to_owned()))
}

/// O_DIRECTORY makes the walk enter the submount, which O_PATH alone would not.
fn walk_into(name: &CString) -> Result<OwnedFd, Errno> {
    match open(name, OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR) => open(name, OFlag::O_PATH),
        other => other,
    }
}

/// True when nothing is mounted there any more.
fn unmount(name: &CString) -> bool {
    !matches!(umount2(name.as_c_str(), MntFlags::UMOUNT_NOFOLLOW), Err(Errno::EBUSY))
}

fn open(path: &CString, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path.as_c_str(), how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_outside_the_share_and_ways_out_of_it() {
        for path in ["", "c/x", "/etc/passwd", "/c/../etc", "/v/./x", "/c/a\0b"] {
            assert!(matches!(check(path), Err(HeldError::Path(_))));
        }
    }
}
