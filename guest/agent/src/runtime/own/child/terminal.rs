//! A terminal of the container's own devpts.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::fstatfs;
use nix::unistd::{Gid, Uid, fchown};

use super::resolve;
use crate::runtime::own::spec::{ConsoleSize, Process};
use crate::runtime::own::wire::{Trouble, during};

/// DEVPTS_SUPER_MAGIC of linux/magic.h.
const DEVPTS: i64 = 0x1cd1;

pub struct Terminal {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// What is at /dev/pts/ptmx is the container's to say; what is not of a devpts is refused, and the other end is asked
/// of the kernel, not looked up.
pub fn open(root: &impl AsFd, process: &Process) -> Result<Terminal, Trouble> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let master = resolve::open_without_links(root, "/dev/pts/ptmx", flags).map_err(during("open /dev/pts/ptmx"))?;
    let of = fstatfs(&master).map_err(during("look at /dev/pts/ptmx"))?.filesystem_type().0;
    if of != DEVPTS {
        return Err(Trouble::invalid("/dev/pts is not a devpts"));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: the ioctl reads one int.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })
        .map_err(during("unlock the terminal"))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the ioctl takes its flags by value.
    let slave = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) });
    let slave: RawFd = slave.map_err(during("open the terminal"))?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    fchown(&slave, Some(Uid::from_raw(process.user.uid)), None::<Gid>).map_err(during("give the terminal away"))?;
    if let Some(size) = process.console_size {
        resize(&master, size).map_err(during("size the terminal"))?;
    }
    Ok(Terminal { master, slave })
}

fn resize(master: &OwnedFd, size: ConsoleSize) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one winsize.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Makes it the controlling terminal of this session, whose leader this process is.
pub fn control(slave: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: the ioctl takes its argument by value.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}
