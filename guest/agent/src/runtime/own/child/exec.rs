//! One more process in a container.

use nix::errno::Errno;

use super::credentials::Credentials;
use super::program::{IfMissing, Program, enter_folder};
use super::terminal::{self, Terminal};
use super::{Given, resolve, set_oom_score, sys};
use crate::runtime::own::spec::Process;
use crate::runtime::own::wire::{Cause, Filter, Report, Trouble, during};

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
    let init = given.pidfd.as_ref().ok_or_else(|| Trouble::invalid("no container given"))?;
    set_oom_score(process.oom_score_adj)?;
    old_groups.iter().try_for_each(|path| enter_old_group(path))?;
    // a cgroup namespace joined now would hide the cgroup that the process is to be born in
    enter(init, namespaces & !libc::CLONE_NEWCGROUP)?;
    enter_folder(&process.cwd, IfMissing::Fail)?;
    let program = Program::find(process)?;
    let terminal = match process.terminal {
        true => {
            let root = resolve::root().map_err(during("open the root"))?;
            Some(terminal::open(&root, process)?)
        }
        false => None,
    };
    if let Some(Terminal { master, .. }) = &terminal {
        use std::os::fd::AsFd;
        given.report_terminal(master.as_fd()).map_err(during("hand over the terminal"))?;
    }
    // SAFETY: this process has one thread.
    match unsafe { sys::clone_sibling(0, &given.cgroup) }.map_err(during("clone"))? {
        Some(pid) => {
            given.report(&Report::Pid(pid));
            Ok(())
        }
        None => Err(inside(program, &credentials, namespaces, terminal.as_ref(), given)),
    }
}

fn inside(
    program: Program,
    credentials: &Credentials,
    namespaces: i32,
    terminal: Option<&Terminal>,
    given: &Given,
) -> Trouble {
    match (begin(namespaces, terminal, given), terminal) {
        (Err(trouble), _) => trouble,
        (Ok(()), Some(Terminal { slave, .. })) => {
            program.run(credentials, [slave, slave, slave], &given.channel, false)
        }
        (Ok(()), None) => program.run(credentials, given.stdio(), &given.channel, false),
    }
}

fn begin(namespaces: i32, terminal: Option<&Terminal>, given: &Given) -> Result<(), Trouble> {
    if let (true, Some(init)) = (namespaces & libc::CLONE_NEWCGROUP != 0, &given.pidfd) {
        enter(init, libc::CLONE_NEWCGROUP)?;
    }
    nix::unistd::setsid().map_err(during("setsid"))?;
    sys::own_keyring();
    terminal.map_or(Ok(()), |terminal| terminal::control(&terminal.slave)).map_err(during("take the terminal"))
}

/// What is cloned afterwards is in it too. A hierarchy that the container has no group in is passed over.
fn enter_old_group(path: &str) -> Result<(), Trouble> {
    match std::fs::write(format!("{path}/cgroup.procs"), "0") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(|error| {
            during(format!("enter {path}"))(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        }),
    }
}

fn enter(init: &std::os::fd::OwnedFd, namespaces: i32) -> Result<(), Trouble> {
    match sys::set_namespaces(init, namespaces) {
        Err(Errno::ESRCH) => Err(Trouble { cause: Cause::NotRunning, what: "the container is not running".to_owned() }),
        other => other.map_err(during("join the container's namespaces")),
    }
}
