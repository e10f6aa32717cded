//! Paths of the share that a session uses, visited and held in the agent's own mount namespace.
//!
//! A folder of the share that is a mount on the host appears in the guest as an automounted submount. When its first
//! visitor is a container, the guest kernel dies at the container's exit ("VFS: Busy inodes after unmount"). So the
//! agent goes there first, keeps it until the container is gone, and unmounts it itself.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, umount2};

/// Namespaces of dead containers are torn down a moment after the exit.
const UNMOUNT_TRIES: u32 = 10;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);

pub struct Held {
    path: CString,
    descriptor: OwnedFd,
}

#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    #[error("{0:?} is not an absolute path of the share")]
    Path(String),
    #[error("open {path}: {errno}")]
    Open { path: String, errno: Errno },
}

impl Held {
    /// Walks into `path`, which may be a folder or a file.
    pub fn visit(path: &str) -> Result<Self, HeldError> {
        let shared = path.starts_with("/c/") || path.starts_with("/v/");
        let plain = !path.split('/').any(|part| part == ".." || part == ".");
        let name = CString::new(path).ok().filter(|_| shared && plain);
        let name = name.ok_or_else(|| HeldError::Path(path.to_owned()))?;
        // O_DIRECTORY makes the walk enter the submount, which O_PATH alone would not
        let opened = match open(&name, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Err(Errno::ENOTDIR) => open(&name, OFlag::O_PATH),
            other => other,
        };
        let descriptor = opened.map_err(|errno| HeldError::Open { path: path.to_owned(), errno })?;
        Ok(Self { path: name, descriptor })
    }

    /// Lets go, and unmounts the submount if there is one.
    pub async fn release(self) {
        drop(self.descriptor);
        for _ in 0..UNMOUNT_TRIES {
            match umount2(self.path.as_c_str(), MntFlags::UMOUNT_NOFOLLOW) {
                Err(Errno::EBUSY) => tokio::time::sleep(UNMOUNT_PAUSE).await,
                _ => return, // unmounted, or not a mount
            }
        }
        let _ = umount2(self.path.as_c_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
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
            assert!(matches!(Held::visit(path), Err(HeldError::Path(_))));
        }
    }
}
