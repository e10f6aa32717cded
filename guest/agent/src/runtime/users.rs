//! User namespaces: that of a pod of the host, which owns its network namespace, and what belongs to users in one.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Gid, Uid, fchown, setgroups, setresgid, setresuid};

/// NS_GET_USERNS of linux/nsfs.h.
const GET_USER_NAMESPACE: libc::Ioctl = 0xb701;

/// Of the network namespace that this process is in.
pub fn of_network() -> Result<OwnedFd, Errno> {
    let network = File::open("/proc/thread-self/ns/net").map_err(|error| errno_of(&error))?;
    // SAFETY: the ioctl takes no argument.
    let raw: RawFd = Errno::result(unsafe { libc::ioctl(network.as_raw_fd(), GET_USER_NAMESPACE) })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// For a process of one thread. What is made then is the namespace's.
pub fn enter(namespace: &OwnedFd) -> Result<(), Errno> {
    setns(namespace, CloneFlags::CLONE_NEWUSER)?;
    become_root()
}

/// Of the user namespace that this process is in, with all its capabilities.
pub fn become_root() -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// First ids of the outside (user, group) that ids of a process's user namespace are from 0 on; 0 without a namespace.
pub fn first_ids(pidfd: &OwnedFd) -> Result<(u32, u32), Errno> {
    let facts = read(&format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = facts.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
    let pid = pid.ok_or(Errno::ESRCH)?;
    let first = |file: &str| first_id(&read(&format!("/proc/{pid}/{file}"))?).ok_or(Errno::EINVAL);
    Ok((first("uid_map")?, first("gid_map")?))
}

/// Of /proc/PID/uid_map, whose lines are: first id inside, first id outside, count.
fn first_id(map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "0").then(|| words.next()?.parse().ok())?
    })
}

/// A program opens its pipes by name (/dev/stdout) as its own user; they must be that one's.
pub fn give(pipes: &[OwnedFd; 3], uid: u32, gid: u32) -> Result<(), Errno> {
    for pipe in pipes {
        // what else there is, /dev/null, is everybody's
        if fstat(pipe)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits() {
            fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<String, Errno> {
    std::fs::read_to_string(path).map_err(|error| errno_of(&error))
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_a_map_begins() {
        assert_eq!(first_id("         0     131072      65536\n"), Some(131_072));
        assert_eq!(first_id("         5          1          1\n         0        100         5\n"), Some(100));
        assert_eq!(first_id("         1        100         5\n"), None);
        assert_eq!(first_id(""), None);
    }
}
