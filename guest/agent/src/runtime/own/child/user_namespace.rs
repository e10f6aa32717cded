//! User namespaces: the container's own, and those that only say how a mount's ids are mapped.

use std::fs;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::unistd::{ForkResult, fork, pipe2};

use super::sys;
use crate::runtime::own::id_map;
use crate::runtime::own::spec::IdMapping;
use crate::runtime::own::wire::{Trouble, during};

/// Gives the process, which must be in a new user namespace, its ids.
pub fn map_ids(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), Trouble> {
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let text = id_map::text(mappings).map_err(Trouble::invalid)?;
        fs::write(format!("/proc/{pid}/{file}"), text).map_err(|error| {
            during(format!("write {file}"))(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        })?;
    }
    Ok(())
}

/// A namespace for MOUNT_ATTR_IDMAP, made by a process that lives only as long as it takes to open it.
pub fn for_mount(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, Trouble> {
    let (wait, go) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(during("make a pipe"))?;
    let (made, tell) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(during("make a pipe"))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(during("fork"))? {
        ForkResult::Child => {
            drop(go);
            let unshared = sys::unshare(libc::CLONE_NEWUSER).is_ok();
            let _ = nix::unistd::write(&tell, &[u8::from(unshared)]);
            let _ = nix::unistd::read(&wait, &mut [0]);
            // SAFETY: ends the process without running what belongs to its parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(wait);
            let mut unshared = [0];
            let _ = nix::unistd::read(&made, &mut unshared);
            let opened = match unshared {
                [1] => map_ids(child.as_raw(), uids, gids).and_then(|()| {
                    fs::File::open(format!("/proc/{child}/ns/user")).map(OwnedFd::from).map_err(|error| {
                        during("open the ids of a mount")(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
                    })
                }),
                _ => Err(Trouble::invalid("this kernel makes no user namespace for the ids of a mount")),
            };
            drop(go);
            let _ = nix::sys::wait::waitpid(child, None);
            opened
        }
    }
}
