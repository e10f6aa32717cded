//! Where a submount goes in its volume. Containers write there: no link on the way is followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{SFlag, fstat};

/// From now on what is mounted on it reaches the copies that are made of it.
pub fn share(volume: &str) -> Result<(), Errno> {
    mount(None::<&str>, volume, None::<&str>, MsFlags::MS_SHARED, None::<&str>)
}

/// Each source where it belongs, in this order. Answers with the device of the source's file system, when it is one of its
/// own: a directory's.
pub fn bind(volume: &str, sources: &[(String, OwnedFd)]) -> Vec<Result<Option<u64>, Errno>> {
    let top = open_top(volume);
    sources.iter().map(|(at, source)| bind_one(top.as_ref().map_err(|errno| *errno)?, at, source)).collect()
}

fn bind_one(top: &OwnedFd, at: &str, source: &OwnedFd) -> Result<Option<u64>, Errno> {
    let facts = fstat(source)?;
    let target = beneath(top, at, OFlag::O_PATH)?;
    mount(Some(path_of(source).as_str()), path_of(&target).as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let is_directory = facts.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
    Ok(is_directory.then_some(facts.st_dev))
}

/// In this order; `lazily` those that somebody is in, too. Answers with those that are still mounted, as somebody is in
/// them, also in the copy of a container. What is not mounted there is gone.
pub fn unmount(volume: &str, places: Vec<String>, lazily: bool) -> Result<Vec<String>, Errno> {
    let top = open_top(volume)?;
    let is_busy = |at: &String| unmount_one(&top, at, MntFlags::empty()) == Err(Errno::EBUSY);
    let busy: Vec<String> = places.into_iter().filter(is_busy).collect();
    if !lazily {
        return Ok(busy);
    }
    for at in busy {
        let _ = unmount_one(&top, &at, MntFlags::MNT_DETACH);
    }
    Ok(Vec::new())
}

/// By the directory that it is in: a descriptor of the mount itself would keep it busy.
fn unmount_one(top: &OwnedFd, at: &str, flags: MntFlags) -> Result<(), Errno> {
    let path = Path::new(at);
    let name = path.file_name().and_then(OsStr::to_str).ok_or(Errno::EINVAL)?;
    let directory = path.parent().and_then(Path::to_str).filter(|directory| !directory.is_empty()).unwrap_or(".");
    let directory = beneath(top, directory, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    umount2(format!("{}/{name}", path_of(&directory)).as_str(), flags | MntFlags::UMOUNT_NOFOLLOW)
}

fn open_top(volume: &str) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, volume, how)
}

fn beneath(top: &OwnedFd, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(top, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
}

fn path_of(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
