//! The AppArmor profile of a container's program. It is asked for through the agent's own /proc: what a container has there is
//! its image's, or its user's, to make.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::runtime::own::spec::Process;
use crate::runtime::own::wire::{Trouble, during};

/// Since Linux 5.8; whatever other modules there are, this one is AppArmor's.
const AT_EXEC: &str = "self/attr/apparmor/exec";
const NOW: &str = "self/attr/apparmor/current";

pub struct Confinement {
    /// Of the pid namespace that the agent is in.
    proc: OwnedFd,
    profile: String,
}

impl Confinement {
    /// In the agent's own view. None where the process is to have no profile.
    pub fn of(process: &Process) -> Result<Option<Self>, Trouble> {
        let Some(profile) = process.apparmor_profile.clone().filter(|name| !name.is_empty()) else { return Ok(None) };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc = open("/proc", flags, Mode::empty()).map_err(during("open /proc"))?;
        Ok(Some(Self { proc, profile }))
    }

    /// In the process that is to execute the program, while no rights are given up: from then on it has the profile, whatever
    /// `no_new_privs` says (the agent has none that it could leave).
    pub fn take_at_exec(&self) -> Result<(), Trouble> {
        self.open(AT_EXEC, "exec")?.take()
    }

    /// For a process that executes nothing. The kernel lets only who has opened it write.
    pub fn open_now(&self) -> Result<Pending, Trouble> {
        self.open(NOW, "changeprofile")
    }

    fn open(&self, path: &str, verb: &'static str) -> Result<Pending, Trouble> {
        let what = format!("AppArmor profile {:?}", self.profile);
        let opened = openat(&self.proc, path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let attribute = opened.map_err(|errno| match errno {
            Errno::ENOENT => Trouble::invalid(format!("{what}: the kernel has no AppArmor")),
            other => during(format!("{what}: open {path}"))(other),
        })?;
        Ok(Pending { attribute, words: format!("{verb} {}", self.profile), what })
    }
}

/// A change of profile that is yet to be made.
pub struct Pending {
    attribute: OwnedFd,
    words: String,
    what: String,
}

impl Pending {
    pub fn take(self) -> Result<(), Trouble> {
        match nix::unistd::write(&self.attribute, self.words.as_bytes()) {
            Ok(written) if written == self.words.len() => Ok(()),
            Ok(_) => Err(Trouble::invalid(format!("{}: the kernel has taken half of the name", self.what))),
            Err(Errno::ENOENT) => {
                Err(Trouble::invalid(format!("{}: the kernel has no profile of that name", self.what)))
            }
            Err(errno) => Err(during(self.what)(errno)),
        }
    }
}
