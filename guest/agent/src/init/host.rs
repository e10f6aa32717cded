//! A pod of the host: what sets it apart is made here, before anything of it runs. Its network namespace, PID namespace and
//! cgroup are the starter's to choose.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::runtime::users;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Path of the program.
    pub runc: String,
    /// Parent of the sessions' cgroups, below the root of each hierarchy; exists.
    pub cgroup: String,
    new: CloneFlags,
    /// The pod has a user namespace, which owns its network namespace.
    pub has_users: bool,
}

impl Options {
    pub fn parse(words: &[&str]) -> Option<Self> {
        let (mut runc, mut cgroup, mut new, mut has_users) = (None, None, CloneFlags::empty(), false);
        for pair in words.chunks(2) {
            match pair {
                ["--runc", path] => runc = Some((*path).to_owned()),
                ["--cgroup", path] if path.starts_with('/') => cgroup = Some((*path).to_owned()),
                ["--new", kinds] => new = kinds.split(',').try_fold(new, |all, kind| Some(all | flag(kind)?))?,
                ["--users", "of-network"] => has_users = true,
                _ => return None,
            }
        }
        Some(Self { runc: runc?, cgroup: cgroup?, new, has_users })
    }

    /// The host name is the pod's own.
    pub fn has_own_uts(&self) -> bool {
        self.new.contains(CloneFlags::CLONE_NEWUTS)
    }
}

fn flag(kind: &str) -> Option<CloneFlags> {
    match kind {
        "ipc" => Some(CloneFlags::CLONE_NEWIPC),
        "uts" => Some(CloneFlags::CLONE_NEWUTS),
        _ => None,
    }
}

/// The mounts stay those of the host: what is mounted there reaches containers, and the other way round, as far as their
/// mounts are to propagate.
pub fn set_apart(options: &Options) -> Result<(), String> {
    let made = if options.has_users {
        users::of_network().and_then(|owner| join_new(&owner, options.new))
    } else {
        unshare(options.new)
    };
    made.map_err(|errno| format!("make namespaces: {errno}"))
}

/// New namespaces that belong to a user namespace, into which this process does not go itself: it is root of the host still.
fn join_new(owner: &OwnedFd, kinds: CloneFlags) -> Result<(), Errno> {
    let (made, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(go);
            let errno = users::enter(owner).and_then(|()| unshare(kinds)).err().map_or(0, |errno| errno as i32);
            let _ = nix::unistd::write(&tell, &errno.to_ne_bytes());
            let _ = nix::unistd::read(&wait, &mut [0]);
            // SAFETY: ends the process without running what belongs to its parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((tell, wait));
            let joined = wait_for(&made).and_then(|()| join(child, kinds));
            drop(go);
            let _ = waitpid(child, None);
            joined
        }
    }
}

fn wait_for(made: &OwnedFd) -> Result<(), Errno> {
    let mut answer = [0; size_of::<i32>()];
    match nix::unistd::read(made, &mut answer)? {
        count if count == answer.len() => match i32::from_ne_bytes(answer) {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        },
        _ => Err(Errno::ESRCH),
    }
}

fn join(child: Pid, kinds: CloneFlags) -> Result<(), Errno> {
    for (name, kind) in [("ipc", CloneFlags::CLONE_NEWIPC), ("uts", CloneFlags::CLONE_NEWUTS)] {
        if kinds.contains(kind) {
            let opened = File::open(format!("/proc/{child}/ns/{name}"));
            let opened = opened.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            setns(opened, kind)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_words() {
        let options = Options::parse(&["--runc", "/x", "--cgroup", "/a/b", "--new", "ipc,uts"]).unwrap();
        assert_eq!((options.runc.as_str(), options.cgroup.as_str()), ("/x", "/a/b"));
        assert!(options.has_own_uts() && options.new.contains(CloneFlags::CLONE_NEWIPC));
        let fewer = Options::parse(&["--runc", "/x", "--cgroup", "/a"]).unwrap();
        assert!(!fewer.has_own_uts() && !fewer.has_users);
        let more = Options::parse(&["--runc", "/x", "--cgroup", "/a", "--users", "of-network"]).unwrap();
        assert!(more.has_users);
    }

    #[test]
    fn takes_nothing_else() {
        for words in [
            &["--runc", "/x"][..],
            &["--cgroup", "/a"],
            &["--runc", "/x", "--cgroup", "a"],
            &["--runc", "/x", "--cgroup", "/a", "--new", "net"],
            &["--runc", "/x", "--cgroup", "/a", "--users", "own"],
            &["--runc", "/x", "--cgroup", "/a", "more"],
        ] {
            assert_eq!(Options::parse(words), None);
        }
    }
}
