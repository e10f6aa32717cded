//! Where sessions' groups are made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cgroup, OldGroup};

/// Of a guest, whose root group hands all controllers down to it.
const OF_GUEST: (&str, &str) = ("/sys/fs/cgroup", "/a3s");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Below the root of each hierarchy, with a leading slash.
    path: String,
    /// Mount point of cgroup v2.
    unified: PathBuf,
    old: Vec<Hierarchy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    controllers: Vec<String>,
    mount_point: PathBuf,
}

impl Parent {
    pub fn of_guest() -> Self {
        let (unified, path) = OF_GUEST;
        Self { path: path.to_owned(), unified: unified.into(), old: Vec::new() }
    }

    /// The host has made the groups of this path. An error when cgroup v2 is nowhere mounted.
    pub fn on_host(path: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        parse(&mounts, path).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "cgroup v2 is not mounted"))
    }

    pub fn session(&self, id: &str) -> Cgroup {
        let below = |root: &Path| root.join(self.path.trim_start_matches('/')).join(id);
        let old =
            self.old.iter().map(|one| OldGroup { controllers: one.controllers.clone(), path: below(&one.mount_point) });
        Cgroup { path: below(&self.unified), old: old.collect() }
    }

    /// The session's group, as OCI's cgroupsPath.
    pub fn cgroups_path(&self, id: &str) -> String {
        format!("{}/{id}", self.path)
    }
}

/// From proc_pid_mountinfo(5).
fn parse(mounts: &str, path: &str) -> Option<Parent> {
    let mut unified = None;
    let mut old = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(target) = before.split(' ').nth(4) else { continue };
        let mut after = after.split(' ');
        let kind = after.next();
        let options = after.nth(1).unwrap_or_default();
        match kind {
            Some("cgroup2") => unified = unified.or(Some(PathBuf::from(target))),
            Some("cgroup") => {
                let controllers = options.split(',').filter(|option| *option != "rw").map(str::to_owned).collect();
                old.push(Hierarchy { controllers, mount_point: target.into() });
            }
            _ => {}
        }
    }
    Some(Parent { path: path.to_owned(), unified: unified?, old })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 29 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        31 29 0:27 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,name=systemd\n\
        32 29 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_session_has_a_group_in_each_hierarchy() {
        let group = parse(HYBRID, "/kubepods/pod1/ab").unwrap().session("cd");
        assert_eq!(group.path, Path::new("/sys/fs/cgroup/unified/kubepods/pod1/ab/cd"));
        let expected = ["/sys/fs/cgroup/cpu/kubepods/pod1/ab/cd", "/sys/fs/cgroup/systemd/kubepods/pod1/ab/cd"];
        assert_eq!(group.old_paths(), expected);
        assert_eq!(group.child("exec-1").old_paths(), Vec::<String>::new());
    }

    #[test]
    fn cgroup_v1_alone_is_not_enough() {
        assert_eq!(parse("30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "/x"), None);
    }

    #[test]
    fn a_guests_sessions_are_below_the_agents_own_group() {
        let parent = Parent::of_guest();
        assert_eq!(parent.session("ab").path, Path::new("/sys/fs/cgroup/a3s/ab"));
        assert_eq!(parent.cgroups_path("ab"), "/a3s/ab");
    }
}
