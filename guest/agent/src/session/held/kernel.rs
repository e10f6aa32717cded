//! What is asked of the kernel, and may take as long as a file system of the host.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, umount2};

/// Both may block.
pub trait Kernel: Send + Sync {
    fn walk_into(&self, name: &CStr) -> Result<OwnedFd, Errno>;
    /// True when nothing is mounted there any more.
    fn unmount(&self, name: &CStr) -> bool;
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

    fn unmount(&self, name: &CStr) -> bool {
        !matches!(umount2(name, MntFlags::UMOUNT_NOFOLLOW), Err(Errno::EBUSY))
    }
}

fn open(path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how)
}
