//! Paths of the share that a session uses, visited and held in the agent's own mount namespace.
//!
//! A folder of the share that is a mount on the host appears in the guest as an automounted submount. When its first
//! visitor is a container, the guest kernel dies at the container's exit ("VFS: Busy inodes after unmount"). So the
//! agent goes there first, keeps it until the container is gone, and unmounts it itself. Sessions that use the same
//! path hold it together: mounted a second time it would be another file system to the kernel.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, umount2};

/// Namespaces of dead containers are torn down a moment after the exit.
const UNMOUNT_TRIES: u32 = 10;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);

/// All that is held. The lock is kept while something is visited or let go, so that nobody walks into what is just being
/// unmounted.
#[derive(Default)]
pub struct HeldPaths(tokio::sync::Mutex<HashMap<CString, Entry>>);

struct Entry {
    descriptor: OwnedFd,
    sessions: usize,
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
    /// Walks into `path`, which may be a folder or a file.
    pub async fn visit(&self, path: &str) -> Result<Held, HeldError> {
        let name = check(path)?;
        let mut all = self.0.lock().await;
        match all.get_mut(&name) {
            Some(entry) => entry.sessions += 1,
            None => {
                let opened = walk_into(&name);
                let descriptor = opened.map_err(|errno| HeldError::Open { path: path.to_owned(), errno })?;
                all.insert(name.clone(), Entry { descriptor, sessions: 1 });
            }
        }
        Ok(Held(name))
    }

    /// The last one lets go, and unmounts the submount if there is one.
    pub async fn release(&self, held: Held) {
        let mut all = self.0.lock().await;
        let Some(entry) = all.get_mut(&held.0) else { return };
        entry.sessions -= 1;
        if entry.sessions == 0 {
            drop(all.remove(&held.0).map(|entry| entry.descriptor));
            unmount(&held.0).await;
        }
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

async fn unmount(name: &CString) {
    for _ in 0..UNMOUNT_TRIES {
        match umount2(name.as_c_str(), MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) => tokio::time::sleep(UNMOUNT_PAUSE).await,
            _ => return, // unmounted, or not a mount
        }
    }
    let _ = umount2(name.as_c_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
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
