//! One more process in a container.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::confinement::Confinement;
use super::credentials::Credentials;
use super::program::{IfMissing, Program, enter_directory};
use super::terminal::{self, Terminal};
use super::{Given, give_pipes, resolve, set_oom_score, sys};
use crate::runtime::own::spec::Process;
use crate::runtime::own::wire::{Cause, Filter, Report, Trouble, during};
use crate::runtime::users;

/// Everything that can be done outside is done here, before the process exists: it is born in the container's cgroup,
/// whose CPU quota would slow it down.
pub fn run(
    process: &Process,
    namespaces: i32,
    filter: Filter,
    old_groups: &[String],
    given: &Given,
) -> Result<(), Trouble> {
    let credentials = Credentials::of(process, filter)?;
    let confinement = Confinement::of(process)?;
    let init = given.pidfd.as_ref().ok_or_else(|| Trouble::invalid("no container given"))?;
    set_oom_score(process.oom_score_adj)?;
    give_pipes(given, &process.user, first_ids(init, namespaces)?)?;
    old_groups.iter().try_for_each(|path| enter_old_group(path))?;
    // a cgroup namespace joined now would hide the cgroup that the process is to be born in
    enter(init, namespaces & !libc::CLONE_NEWCGROUP)?;
    enter_directory(&process.cwd, IfMissing::Fail)?;
    let program = Program::find(process)?;
    // a terminal is made by whom it is to belong to: in a user namespace of its own that is not this process, yet
    let opens_later = namespaces & libc::CLONE_NEWUSER != 0;
    let terminal = if opens_later { None } else { open_terminal(process, given)? };
    // SAFETY: this process has one thread.
    match unsafe { sys::clone_sibling(0, &given.cgroup) }.map_err(during("clone"))? {
        Some(pid) => {
            given.report(&Report::Pid(pid));
            Ok(())
        }
        None => match begin(process, confinement.as_ref(), namespaces, terminal, given) {
            Err(trouble) => Err(trouble),
            Ok(Some(Terminal { slave, .. })) => {
                Err(program.run(&credentials, [&slave, &slave, &slave], &given.channel, false))
            }
            Ok(None) => Err(program.run(&credentials, given.stdio(), &given.channel, false)),
        },
    }
}

fn begin(
    process: &Process,
    confinement: Option<&Confinement>,
    namespaces: i32,
    terminal: Option<Terminal>,
    given: &Given,
) -> Result<Option<Terminal>, Trouble> {
    if let (true, Some(init)) = (namespaces & libc::CLONE_NEWCGROUP != 0, &given.pidfd) {
        enter(init, libc::CLONE_NEWCGROUP)?;
    }
    let terminal = if namespaces & libc::CLONE_NEWUSER == 0 {
        terminal
    } else {
        users::become_root().map_err(during("become root of the user namespace"))?;
        open_terminal(process, given)?
    };
    confinement.into_iter().try_for_each(Confinement::take_at_exec)?;
    nix::unistd::setsid().map_err(during("setsid"))?;
    sys::own_keyring();
    if let Some(Terminal { slave, .. }) = &terminal {
        terminal::control(slave).map_err(during("take the terminal"))?;
    }
    Ok(terminal)
}

/// None where the process wants none; the agent gets the other end.
fn open_terminal(process: &Process, given: &Given) -> Result<Option<Terminal>, Trouble> {
    if !process.terminal {
        return Ok(None);
    }
    let root = resolve::root().map_err(during("open the root"))?;
    let terminal = terminal::open(&root, process)?;
    given.report_terminal(terminal.master.as_fd()).map_err(during("hand over the terminal"))?;
    Ok(Some(terminal))
}

/// What is cloned afterwards is in it too. A hierarchy that the container has no group in is passed over.
pub fn enter_old_group(path: &str) -> Result<(), Trouble> {
    match std::fs::write(format!("{path}/cgroup.procs"), "0") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(|error| {
            during(format!("enter {path}"))(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        }),
    }
}

/// User and group outside that are 0 in the container.
fn first_ids(init: &OwnedFd, namespaces: i32) -> Result<(u32, u32), Trouble> {
    if namespaces & libc::CLONE_NEWUSER == 0 {
        return Ok((0, 0));
    }
    match users::first_ids(init) {
        Err(Errno::ENOENT | Errno::ESRCH) => Err(not_running()),
        other => other.map_err(during("look at the container's ids")),
    }
}

fn not_running() -> Trouble {
    Trouble { cause: Cause::NotRunning, what: "the container is not running".to_owned() }
}

pub fn enter(init: &OwnedFd, namespaces: i32) -> Result<(), Trouble> {
    match sys::set_namespaces(init, namespaces) {
        Err(Errno::ESRCH) => Err(not_running()),
        other => other.map_err(during("join the container's namespaces")),
    }
}
