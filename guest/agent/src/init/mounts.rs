//! The file systems of the guest's own. The root (`root`) is read-only and has empty directories for them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::layout;

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("mount {kind} on {target}: {errno}")]
    Mount { kind: &'static str, target: &'static str, errno: Errno },
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: std::io::Error },
}

struct Entry {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    options: &'static str,
}

const NOSUID_NODEV_NOEXEC: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const NOSUID_NODEV: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

const FIRST: [Entry; 2] = [
    Entry { kind: "proc", target: "/proc", flags: NOSUID_NODEV_NOEXEC, options: "" },
    Entry { kind: "devtmpfs", target: "/dev", flags: MsFlags::MS_NOSUID, options: "mode=755" },
];

/// `/run` is where sessions live, `/sys` leads to the channel, as `/dev` does.
const FOR_THE_SERVER: [Entry; 2] = [
    Entry { kind: "sysfs", target: "/sys", flags: NOSUID_NODEV_NOEXEC, options: "" },
    Entry { kind: "tmpfs", target: "/run", flags: NOSUID_NODEV, options: "mode=755,size=128m" },
];

const FOR_CONTAINERS: [Entry; 5] = [
    Entry {
        kind: "cgroup2",
        target: CGROUP_ROOT,
        flags: NOSUID_NODEV_NOEXEC,
        options: "nsdelegate,memory_recursiveprot",
    },
    Entry {
        kind: "devpts",
        target: "/dev/pts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        options: "gid=5,mode=620,ptmxmode=666",
    },
    // programs in volumes may be executed; nobody but the agent gets here by this path
    Entry { kind: "tmpfs", target: layout::MIRRORS, flags: NOSUID_NODEV, options: "mode=700,size=64m" },
    Entry { kind: "tmpfs", target: "/dev/shm", flags: NOSUID_NODEV, options: "mode=1777,size=64m" },
    Entry { kind: "tmpfs", target: "/tmp", flags: NOSUID_NODEV, options: "mode=1777,size=64m" },
];

/// What the command line is read from, and where the console is.
pub fn first() -> Result<(), MountError> {
    FIRST.iter().try_for_each(attach)
}

/// A failure is told and not fatal: whether a Box can do without is the host's to see.
pub fn for_the_server() -> Vec<MountError> {
    FOR_THE_SERVER.iter().filter_map(|entry| attach(entry).err()).collect()
}

/// Told and not fatal, too.
pub fn for_containers() -> Vec<MountError> {
    let mut errors: Vec<MountError> = FOR_CONTAINERS.iter().filter_map(|entry| attach(entry).err()).collect();
    errors.extend(make_directory("/run/crun", 0o700).err());
    errors.extend(delegate_controllers().err());
    errors
}

fn attach(entry: &Entry) -> Result<(), MountError> {
    if !Path::new(entry.target).is_dir() {
        make_directory(entry.target, 0o755)?;
    }
    match mount(Some(entry.kind), entry.target, Some(entry.kind), entry.flags, Some(entry.options)) {
        // devtmpfs: the kernel may have mounted it by itself
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(MountError::Mount { kind: entry.kind, target: entry.target, errno }),
    }
}

fn make_directory(path: &str, mode: u32) -> Result<(), MountError> {
    let made = fs::DirBuilder::new().mode(mode).create(path);
    match made {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(MountError::File { what: "make directory", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Sessions live in CGROUP_ROOT/a3s/<id>, so every controller must be handed down twice.
fn delegate_controllers() -> Result<(), MountError> {
    let list = format!("{CGROUP_ROOT}/cgroup.controllers");
    let available =
        fs::read_to_string(&list).map_err(|source| MountError::File { what: "read", path: list, source })?;
    let words: Vec<String> = available.split_ascii_whitespace().map(|name| format!("+{name}")).collect();
    let parent = format!("{CGROUP_ROOT}/a3s");
    hand_down(CGROUP_ROOT, &words)?;
    make_directory(&parent, 0o755)?;
    hand_down(&parent, &words)
}

fn hand_down(directory: &str, words: &[String]) -> Result<(), MountError> {
    let path = format!("{directory}/cgroup.subtree_control");
    fs::write(&path, words.join(" ")).map_err(|source| MountError::File { what: "write", path, source })
}
