//! A pod of the host: what sets it apart is made here, before anything of it runs. Its network namespace, PID namespace and
//! cgroup are the starter's to choose.

use nix::sched::{CloneFlags, unshare};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Path of the program.
    pub runc: String,
    /// Parent of the sessions' cgroups, below the root of each hierarchy; exists.
    pub cgroup: String,
    new: CloneFlags,
}

impl Options {
    pub fn parse(words: &[&str]) -> Option<Self> {
        let (mut runc, mut cgroup, mut new) = (None, None, CloneFlags::empty());
        for pair in words.chunks(2) {
            match pair {
                ["--runc", path] => runc = Some((*path).to_owned()),
                ["--cgroup", path] if path.starts_with('/') => cgroup = Some((*path).to_owned()),
                ["--new", kinds] => new = kinds.split(',').try_fold(new, |all, kind| Some(all | flag(kind)?))?,
                _ => return None,
            }
        }
        Some(Self { runc: runc?, cgroup: cgroup?, new })
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
    unshare(options.new).map_err(|errno| format!("make namespaces: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_words() {
        let options = Options::parse(&["--runc", "/x", "--cgroup", "/a/b", "--new", "ipc,uts"]).unwrap();
        assert_eq!((options.runc.as_str(), options.cgroup.as_str()), ("/x", "/a/b"));
        assert!(options.has_own_uts() && options.new.contains(CloneFlags::CLONE_NEWIPC));
        assert!(!Options::parse(&["--runc", "/x", "--cgroup", "/a"]).unwrap().has_own_uts());
    }

    #[test]
    fn takes_nothing_else() {
        for words in [
            &["--runc", "/x"][..],
            &["--cgroup", "/a"],
            &["--runc", "/x", "--cgroup", "a"],
            &["--runc", "/x", "--cgroup", "/a", "--new", "net"],
            &["--runc", "/x", "--cgroup", "/a", "more"],
        ] {
            assert_eq!(Options::parse(words), None);
        }
    }
}
