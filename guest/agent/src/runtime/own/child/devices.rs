//! Nodes and links in /dev. Source: OCI runtime spec config-linux.md, "Default Devices".

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::resolve::{self, Kind};
use super::sys;
use crate::runtime::own::options::Change;
use crate::runtime::own::spec::{Device, Linux};
use crate::runtime::own::wire::{Trouble, during};

const STANDARD: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

const DEFAULT_MODE: u32 = 0o666;

/// What is there already stays: the container may have brought its own /dev.
pub fn make_all(root: &OwnedFd, linux: &Linux) -> Result<(), Trouble> {
    for (path, major, minor) in STANDARD {
        let node = Device {
            path: path.to_owned(),
            kind: "c".to_owned(),
            major,
            minor,
            file_mode: Some(DEFAULT_MODE),
            uid: 0,
            gid: 0,
        };
        make(root, &node)?;
    }
    linux.devices.iter().try_for_each(|device| make(root, device))?;
    for (path, target) in LINKS {
        link(root, path, target).map_err(during(format!("make {path}")))?;
    }
    Ok(())
}

fn make(root: &OwnedFd, device: &Device) -> Result<(), Trouble> {
    let doing = || format!("make device {}", device.path);
    let kind = match device.kind.as_str() {
        "c" | "u" => SFlag::S_IFCHR,
        "b" => SFlag::S_IFBLK,
        "p" => SFlag::S_IFIFO,
        other => return Err(Trouble::invalid(format!("device {}: {other:?} is not a type", device.path))),
    };
    let (directory, name) = resolve::parent(root, &device.path).map_err(during(doing()))?;
    let mode = Mode::from_bits_truncate(device.file_mode.unwrap_or(DEFAULT_MODE));
    let number = makedev(u64::from(device.major), u64::from(device.minor));
    match mknodat(&directory, name.as_str(), kind, mode, number) {
        Ok(()) if device.uid == 0 && device.gid == 0 => Ok(()),
        Ok(()) => {
            let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            fchownat(&directory, name.as_str(), Some(uid), Some(gid), flags).map_err(during(doing()))
        }
        Err(Errno::EEXIST) => Ok(()),
        // a user namespace makes no nodes, but may have the guest's
        Err(Errno::EPERM) => bind_from_guest(root, &device.path).map_err(during(doing())),
        Err(errno) => Err(during(doing())(errno)),
    }
}

fn bind_from_guest(root: &OwnedFd, path: &str) -> Result<(), Errno> {
    let tree = sys::clone_tree_at(&sys::text(path)?, false)?;
    let quiet = Change { set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, clear: 0 };
    sys::set_attributes(&tree, quiet, libc::MS_PRIVATE, None, false)?;
    sys::attach(&tree, &resolve::make(root, path, Kind::File)?)
}

fn link(root: &OwnedFd, path: &str, target: &str) -> Result<(), Errno> {
    let (directory, name) = resolve::parent(root, path)?;
    match symlinkat(target, &directory, name.as_str()) {
        Err(Errno::EEXIST | Errno::EROFS) => Ok(()),
        other => other,
    }
}

/// The terminal under the name that login programs know.
pub fn bind_console(root: &OwnedFd, slave: &OwnedFd) -> Result<(), Errno> {
    let target = match resolve::open_without_links(root, "/dev/console", OFlag::O_PATH) {
        Err(Errno::ENOENT) => resolve::make(root, "/dev/console", Kind::File)?,
        other => other?,
    };
    sys::attach(&sys::clone_tree(slave, c"", false)?, &target)
}
