//! Control groups: the sessions' below one parent, one sub-group for each exec. Version 2 in a guest; on a host that has
//! the old hierarchies too (hybrid), a session has a group in each, and what kills and tracks is still version 2.

pub mod limits;
mod parent;
pub mod stats;

pub use parent::Parent;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::kernel_file;

const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);
/// Signalling can race with fork; a group that keeps growing is left to SIGKILL, which can't.
const SIGNAL_ROUNDS: u32 = 3;
/// A container can make as many sub-groups, and as deep, as it likes.
const MAX_DEPTH: u32 = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    old: Vec<OldGroup>,
}

/// A group of cgroup v1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OldGroup {
    /// As mounted: "cpu", "cpuacct", "name=systemd".
    controllers: Vec<String>,
    path: PathBuf,
}

impl Cgroup {
    /// A sub-group, in version 2 alone.
    pub fn child(&self, name: &str) -> Self {
        Self { path: self.path.join(name), old: Vec::new() }
    }

    pub fn create(&self) -> io::Result<()> {
        fs::create_dir(&self.path)
    }

    /// Groups that a process enters by itself before it is born in the one of version 2.
    pub fn old_paths(&self) -> Vec<String> {
        self.old.iter().map(|group| group.path.display().to_string()).collect()
    }

    /// A file of a controller, where that is one of an old hierarchy.
    fn read_old(&self, controller: &str, file: &str) -> Option<String> {
        let has = |group: &&OldGroup| group.controllers.iter().any(|one| one == controller);
        let group = self.old.iter().find(has)?;
        Some(kernel_file::read(group.path.join(file)).unwrap_or_default())
    }

    /// For what is to be born in it, and for its device rules.
    pub fn open(&self) -> io::Result<OwnedFd> {
        fs::File::open(&self.path).map(OwnedFd::from)
    }

    pub fn read(&self, file: &str) -> io::Result<String> {
        kernel_file::read(self.path.join(file))
    }

    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.path.join(file)).and_then(|mut opened| {
            use std::io::Write;
            opened.write_all(value.as_bytes())
        })
    }

    /// SIGKILL to everything in it and below, atomically. Success when the group is gone.
    pub fn kill_all(&self) -> io::Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Another signal to everything in it and below.
    pub fn signal_all(&self, signal: i32) -> Result<(), Errno> {
        if signal == libc::SIGKILL {
            return self.kill_all().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
        }
        let signal = nix::sys::signal::Signal::try_from(signal)?;
        let mut told = std::collections::HashSet::new();
        for _ in 0..SIGNAL_ROUNDS {
            let fresh: Vec<i32> = self.pids(0).into_iter().filter(|pid| told.insert(*pid)).collect();
            if fresh.is_empty() {
                break;
            }
            for pid in fresh {
                match kill(Pid::from_raw(pid), signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(())
    }

    /// Moves everything in it and below to the group above it. Best effort: what is left keeps the group from its removal.
    pub fn join_parent(&self) {
        let Some(parent) = self.path.parent().map(Self::at) else { return };
        for _ in 0..SIGNAL_ROUNDS {
            let pids = self.pids(0);
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                let _ = parent.write("cgroup.procs", &pid.to_string());
            }
        }
    }

    /// memory.events (v1: memory.oom_control) oom_kill; 0 when it can't be read.
    pub fn oom_kills(&self) -> u64 {
        let text = self.read_old("memory", "memory.oom_control").or_else(|| self.read("memory.events").ok());
        stats::keyed(&text.unwrap_or_default(), "oom_kill")
    }

    /// Removes the group and those below. Processes that are still dying are waited for, about 2 s.
    pub async fn remove(&self) -> io::Result<()> {
        let mut last = Ok(());
        for _ in 0..REMOVE_TRIES {
            last = self.remove_now();
            if last.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(REMOVE_PAUSE).await;
        }
        last
    }

    fn remove_now(&self) -> io::Result<()> {
        remove_tree(&self.path, 0)?;
        self.old.iter().try_for_each(|group| remove_tree(&group.path, 0))
    }

    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), old: Vec::new() }
    }

    /// All that run in it and below.
    pub fn processes(&self) -> Vec<i32> {
        self.pids(0)
    }

    fn pids(&self, depth: u32) -> Vec<i32> {
        let own = self.read("cgroup.procs").unwrap_or_default();
        // 0 is a process that this namespace can't see
        let mut pids: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect();
        if depth < MAX_DEPTH {
            pids.extend(subdirectories(&self.path).flat_map(|path| Self::at(&path).pids(depth + 1)));
        }
        pids
    }
}

fn subdirectories(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).ok().into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn remove_tree(path: &Path, depth: u32) -> io::Result<()> {
    if depth < MAX_DEPTH {
        for child in subdirectories(path) {
            remove_tree(&child, depth + 1)?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
