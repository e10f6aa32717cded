//! A process that works on a container's files (`crate::files`). It executes nothing: what it is to do is this program's, and
//! a container may have no program at all. It is in no pid namespace of the container's, which therefore can't see it, and
//! whose links in /proc are about nobody.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

use super::confinement::Confinement;
use super::credentials::Credentials;
use super::exec::{enter, enter_old_group};
use super::{Given, set_oom_score, sys};
use crate::files::people::{Identity, People};
use crate::files::worker;
use crate::runtime::own::spec::{Capabilities, Process, User};
use crate::runtime::own::wire::{Filter, Trouble, during};
use crate::runtime::users;

/// Of the container: the user that has its capabilities.
const ROOT: u32 = 0;

pub fn run(process: Process, user: &str, namespaces: i32, old_groups: &[String], given: &Given) -> Result<(), Trouble> {
    let init = given.pidfd.as_ref().ok_or_else(|| Trouble::invalid("no container given"))?;
    let confinement = Confinement::of(&process)?;
    set_oom_score(process.oom_score_adj)?;
    old_groups.iter().try_for_each(|path| enter_old_group(path))?;
    enter(init, namespaces & !(libc::CLONE_NEWCGROUP | libc::CLONE_NEWPID))?;
    // SAFETY: this process has one thread.
    match unsafe { sys::clone_sibling(0, &given.cgroup) }.map_err(during("clone"))? {
        Some(pid) => {
            given.report(&super::Report::Pid(pid));
            Ok(())
        }
        None => begin(process, confinement.as_ref(), user, namespaces, given),
    }
}

/// Returns only on failure.
fn begin(
    process: Process,
    confinement: Option<&Confinement>,
    user: &str,
    namespaces: i32,
    given: &Given,
) -> Result<(), Trouble> {
    if namespaces & libc::CLONE_NEWUSER != 0 {
        users::become_root().map_err(during("become root of the user namespace"))?;
    }
    nix::unistd::setsid().map_err(during("setsid"))?;
    sys::own_keyring();
    nix::unistd::chdir(c"/").map_err(during("chdir"))?;
    let people = People::read();
    let process = as_user(process, user, &people)?;
    let uid = process.user.uid;
    // opened while it may be, taken when nothing is left that a profile could forbid
    let profile = confinement.map(Confinement::open_now).transpose()?;
    Credentials::of(&process, Filter::default())?.take()?;
    profile.into_iter().try_for_each(|profile| profile.take())?;
    // new credentials may have made it visible again
    nix::sys::prctl::set_dumpable(false).map_err(during("hide from containers"))?;
    let socket = keep_socket(given).map_err(during("place the socket"))?;
    worker::serve(socket, &people, &people.home(uid))
}

/// With the rights of that user: root's are the container's, others have none.
fn as_user(process: Process, user: &str, people: &People) -> Result<Process, Trouble> {
    let found = if user.is_empty() {
        let User { uid, gid, additional_gids, .. } = process.user;
        Identity { uid, gid, groups: additional_gids }
    } else {
        let unknown = || Trouble::invalid(format!("there is no user or group {user:?} in the container"));
        people.find(user).ok_or_else(unknown)?
    };
    let Identity { uid, gid, groups } = found;
    let capabilities = if uid == ROOT {
        process.capabilities
    } else {
        // what a program with set-uid could get from the bounding set is nothing to one that executes none
        Capabilities::default()
    };
    Ok(Process { user: User { uid, gid, umask: None, additional_gids: groups }, capabilities, ..process })
}

/// As descriptor 3, alone: closing the channel says that it is ready.
fn keep_socket(given: &Given) -> Result<OwnedFd, Errno> {
    let [socket, null, _] = given.stdio();
    for target in 0..=2 {
        // SAFETY: a system call without pointers; the numbers 0 to 2 belong to nobody in this process.
        Errno::result(unsafe { libc::dup2(null.as_raw_fd(), target) })?;
    }
    let socket = socket.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    sys::close_others(&[socket.as_raw_fd()]);
    Ok(socket)
}
