//! The second part: a container's init, in its own namespaces and cgroup, until it becomes the program.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, fchdir, sethostname, setsid};

use super::confinement::Confinement;
use super::credentials::Credentials;
use super::mounts::{self, Prepared};
use super::program::{IfMissing, Program, enter_directory};
use super::terminal::{self, Terminal};
use super::{Given, devices, sys};
use crate::guest::sysctl;
use crate::runtime::own::spec::Spec;
use crate::runtime::own::wire::{Trouble, during};
use crate::runtime::users;

pub enum CgroupNamespace {
    Inherit,
    New,
    Join(OwnedFd),
}

pub struct Inside<'a> {
    pub spec: &'a Spec,
    pub credentials: &'a Credentials,
    pub confinement: Option<Confinement>,
    pub given: &'a Given,
    /// Detached copy of the root's mount.
    pub root: OwnedFd,
    /// Says that the user namespace has its ids.
    pub wait_for_maps: Option<OwnedFd>,
    /// Namespaces that it makes as root of its user namespace, as CLONE_NEW* bits.
    pub owned: i32,
    pub cgroup_namespace: CgroupNamespace,
}

impl Inside<'_> {
    /// Returns only on failure.
    pub fn run(self, prepared: Vec<Prepared>) -> Trouble {
        let terminal = match self.set_up(prepared) {
            Ok(terminal) => terminal,
            Err(trouble) => return trouble,
        };
        let program = match Program::find(&self.spec.process) {
            Ok(program) => program,
            Err(trouble) => return trouble,
        };
        let stdio = match &terminal {
            Some(Terminal { slave, .. }) => [slave, slave, slave],
            None => self.given.stdio(),
        };
        program.run(self.credentials, stdio, &self.given.channel, true)
    }

    fn set_up(&self, prepared: Vec<Prepared>) -> Result<Option<Terminal>, Trouble> {
        self.become_root_of_namespace()?;
        self.confinement.iter().try_for_each(Confinement::take_at_exec)?;
        setsid().map_err(during("setsid"))?;
        sys::own_keyring();
        match &self.cgroup_namespace {
            CgroupNamespace::Inherit => Ok(()),
            CgroupNamespace::New => sys::unshare(libc::CLONE_NEWCGROUP),
            CgroupNamespace::Join(fd) => sys::set_namespaces(fd, libc::CLONE_NEWCGROUP),
        }
        .map_err(during("enter the cgroup namespace"))?;
        self.mount_all(prepared)?;
        self.name_host()?;
        let terminal = self.open_terminal()?;
        let linux = &self.spec.linux;
        linux.masked_paths.iter().try_for_each(|path| mounts::mask(&self.root, path))?;
        linux.readonly_paths.iter().try_for_each(|path| mounts::protect(&self.root, path))?;
        self.enter_root().map_err(during("enter the root"))?;
        mounts::set_root_propagation(&self.root, linux.rootfs_propagation.as_deref())?;
        enter_directory(&self.spec.process.cwd, IfMissing::Make)?;
        if self.spec.root.readonly {
            mounts::make_read_only(&self.root).map_err(during("make the root read-only"))?;
        }
        Ok(terminal)
    }

    /// User 0 of a new user namespace, once that one has ids.
    fn become_root_of_namespace(&self) -> Result<(), Trouble> {
        let Some(pipe) = &self.wait_for_maps else { return Ok(()) };
        let mut mapped = [0];
        match nix::unistd::read(pipe, &mut mapped) {
            Ok(1) => {}
            _ => return Err(Trouble::invalid("the user namespace has no ids")), // said by who writes them
        }
        users::become_root().map_err(during("become root of the user namespace"))?;
        sys::unshare(self.owned).map_err(during("make namespaces of the user namespace's own"))
    }

    fn mount_all(&self, prepared: Vec<Prepared>) -> Result<(), Trouble> {
        let Self { spec, root, .. } = self;
        mounts::set_apart(spec.linux.rootfs_propagation.as_deref())?;
        mounts::attach_root(root, &spec.root.path)?;
        for (wanted, prepared) in spec.mounts.iter().zip(prepared) {
            mounts::attach(root, wanted, prepared)?;
        }
        // through the guest's own /proc, which shows this process's namespaces and is nobody's to replace
        for (name, value) in &spec.linux.sysctl {
            sysctl::set(name, value).map_err(|error| Trouble::invalid(error.to_string()))?;
        }
        devices::make_all(root, &spec.linux)
    }

    fn name_host(&self) -> Result<(), Trouble> {
        if let Some(name) = &self.spec.hostname {
            sethostname(name).map_err(during("set the host name"))?;
        }
        if let Some(name) = &self.spec.domainname {
            // SAFETY: the name lives until the call returns, and its length is given.
            let set = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
            Errno::result(set).map_err(during("set the domain name"))?;
        }
        Ok(())
    }

    fn open_terminal(&self) -> Result<Option<Terminal>, Trouble> {
        if !self.spec.process.terminal {
            return Ok(None);
        }
        let terminal = terminal::open(&self.root, &self.spec.process)?;
        self.given.report_terminal(terminal.master.as_fd()).map_err(during("hand over the terminal"))?;
        devices::bind_console(&self.root, &terminal.slave).map_err(during("make /dev/console"))?;
        terminal::control(&terminal.slave).map_err(during("take the terminal"))?;
        Ok(Some(terminal))
    }

    /// The old root goes, with everything that was mounted in it.
    fn enter_root(&self) -> Result<(), Errno> {
        fchdir(&self.root)?;
        sys::pivot_here()?;
        // the old root is on top now; nothing of its end may go back to the agent
        mount(None::<&str>, ".", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>)?;
        umount2(".", MntFlags::MNT_DETACH)?;
        chdir("/")
    }
}
