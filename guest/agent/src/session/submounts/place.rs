//! Where a submount goes in its volume. Containers write there: no link on the way is followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{SFlag, fstat};

/// Answers with the device of the source's file system, when it is one of its own: a folder's.
pub fn bind(volume: &str, at: &str, source: &OwnedFd) -> Result<Option<u64>, Errno> {
    let facts = fstat(source)?;
    let target = beneath(volume, at, OFlag::O_PATH)?;
    mount(Some(path_of(source).as_str()), path_of(&target).as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let is_folder = facts.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
    Ok(is_folder.then_some(facts.st_dev))
}

/// False when somebody is in it, also in the copy of a container. What is not mounted there is gone.
pub fn unmount(volume: &str, at: &str) -> bool {
    unmount_with(volume, at, MntFlags::empty()) != Err(Errno::EBUSY)
}

pub fn unmount_lazily(volume: &str, at: &str) {
    let _ = unmount_with(volume, at, MntFlags::MNT_DETACH);
}

/// By the folder that it is in: a descriptor of the mount itself would keep it busy.
fn unmount_with(volume: &str, at: &str, flags: MntFlags) -> Result<(), Errno> {
    let path = Path::new(at);
    let name = path.file_name().and_then(OsStr::to_str).ok_or(Errno::EINVAL)?;
    let folder = path.parent().and_then(Path::to_str).filter(|folder| !folder.is_empty()).unwrap_or(".");
    let folder = beneath(volume, folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    umount2(format!("{}/{name}", path_of(&folder)).as_str(), flags | MntFlags::UMOUNT_NOFOLLOW)
}

fn beneath(volume: &str, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = |resolve| OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    let top = openat2(AT_FDCWD, volume, how(ResolveFlag::RESOLVE_NO_SYMLINKS))?;
    openat2(&top, path, how(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS))
}

fn path_of(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
