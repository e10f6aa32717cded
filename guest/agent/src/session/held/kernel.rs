//! What is asked of the kernel, and may take as long as a file system of the host.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;

use crate::runtime::own::child::sys;
use crate::runtime::own::options::Change;

/// The share itself: session/held.rs.
const SHARE: &str = "/";
/// Two are needed: one for what is read ahead, one for the closing that follows. What finds the queue full waits outside of
/// it, where it can be overtaken; each answer that comes late has let a whole queue of it in.
const ROUNDS: usize = 8;
const MOST_ROUNDS: usize = 64;
/// An answer that had few others before it.
const SOON: Duration = Duration::from_millis(10);

/// All but `keep` may block.
pub trait Kernel: Send + Sync {
    fn walk_into(&self, name: &CStr) -> Result<OwnedFd, Errno>;
    /// Has the same file system as this descriptor of a path, and does not keep it from being unmounted.
    fn keep(&self, descriptor: OwnedFd) -> OwnedFd;
    /// True when nothing is mounted there any more.
    fn unmount(&self, name: &CStr) -> bool;
    /// Until the file server has answered what it was asked before this call, and what follows from these answers.
    fn settle(&self);
}

pub struct Real;

impl Kernel for Real {
    /// O_DIRECTORY makes the walk enter the submount, which O_PATH alone would not.
    fn walk_into(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        match open(name, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Err(Errno::ENOTDIR) => open(name, OFlag::O_PATH),
            other => other,
        }
    }

    /// A copy of the mount that is nowhere. Of what is unmounted already there is none to be had: the descriptor does.
    fn keep(&self, descriptor: OwnedFd) -> OwnedFd {
        copy_of_mount(&descriptor).unwrap_or(descriptor)
    }

    fn unmount(&self, name: &CStr) -> bool {
        !matches!(umount2(name, MntFlags::UMOUNT_NOFOLLOW), Err(Errno::EBUSY))
    }

    /// The share has one queue, and either file server one thread for it: an answer comes after all that was asked before.
    /// statfs(2) is always asked; what is answered does not matter.
    fn settle(&self) {
        let mut soon = 0;
        for _ in 0..MOST_ROUNDS {
            let begun = Instant::now();
            let _ = statvfs(SHARE);
            soon = if begun.elapsed() < SOON { soon + 1 } else { 0 };
            if soon == ROUNDS {
                return;
            }
        }
    }
}

/// Private: what is mounted below the original must not come to be in it.
fn copy_of_mount(descriptor: &OwnedFd) -> Result<OwnedFd, Errno> {
    let copy = sys::clone_tree(descriptor, c"", false)?;
    sys::set_attributes(&copy, Change::default(), libc::MS_PRIVATE, None, false)?;
    Ok(copy)
}

fn open(path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how)
}
