//! System calls that libraries do not wrap, or not as they are needed between clone and exec.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use crate::runtime::own::options::Change;

/// CLONE_INTO_CGROUP of linux/sched.h, which is too large for libc's type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Like fork, but the child is a sibling of this process, born in that cgroup and in new namespaces as `flags` say.
/// None in the child.
///
/// # Safety
/// This process has one thread.
pub unsafe fn clone_sibling(flags: i32, cgroup: &impl AsFd) -> Result<Option<i32>, Errno> {
    // SAFETY: all bits zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from((libc::CLONE_PARENT | flags).cast_unsigned()) | CLONE_INTO_CGROUP;
    arguments.cgroup = u64::from(cgroup.as_fd().as_raw_fd().unsigned_abs());
    // SAFETY: no stack is given, so the child goes on with a copy of this one; with one thread no lock is held by another.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(None),
        pid => i32::try_from(pid).map(Some).map_err(|_| Errno::ERANGE),
    }
}

/// Closes all descriptors above 2 but these.
pub fn close_others(kept: &[RawFd]) {
    let mut sorted: Vec<RawFd> = kept.to_vec();
    sorted.sort_unstable();
    let mut from = 3;
    for fd in sorted.into_iter().chain([RawFd::MAX]) {
        if from < fd {
            // SAFETY: descriptors of this range belong to nobody in this process, which is a fork made for one purpose.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = from.max(fd.saturating_add(1));
    }
}

fn descriptor(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let raw = RawFd::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A detached copy of the mount at `path` below `from` (of `from` itself when it is empty).
pub fn clone_tree(from: &impl AsFd, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.cast_unsigned();
    if recursive {
        flags |= libc::AT_RECURSIVE.cast_unsigned();
    }
    // SAFETY: the path lives until the call returns.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, from.as_fd().as_raw_fd(), path.as_ptr(), flags) })
}

pub fn clone_tree_at(path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    clone_tree(&AT_FDCWD, path, recursive)
}

/// Attaches a detached mount on what `target` is open on.
pub fn attach(tree: &impl AsFd, target: &impl AsFd) -> Result<(), Errno> {
    const BOTH_EMPTY: libc::c_uint = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let (tree, target) = (tree.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    // SAFETY: both paths are empty constants.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), target, c"".as_ptr(), BOTH_EMPTY) };
    Errno::result(result).map(drop)
}

/// Changes attributes, and the propagation where it is not 0, of a mount, with all below it when `recursive`.
pub fn set_attributes(
    mount: &impl AsFd,
    change: Change,
    propagation: u64,
    id_map: Option<&OwnedFd>,
    recursive: bool,
) -> Result<(), Errno> {
    let mut attributes = libc::mount_attr { attr_set: change.set, attr_clr: change.clear, propagation, userns_fd: 0 };
    if let Some(namespace) = id_map {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = u64::from(namespace.as_raw_fd().unsigned_abs());
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_fd().as_raw_fd(), size_of::<libc::mount_attr>());
    // SAFETY: path and attributes live until the call returns; their size is given.
    let result =
        unsafe { libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attributes, size) };
    Errno::result(result).map(drop)
}

/// A file system that is being configured.
pub struct Context(OwnedFd);

impl Context {
    pub fn open(kind: &CStr) -> Result<Self, Errno> {
        const CLOEXEC: libc::c_uint = 1; // FSOPEN_CLOEXEC
        // SAFETY: the name lives until the call returns.
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) }).map(Self)
    }

    pub fn set(&self, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
        const FLAG: libc::c_uint = 0; // FSCONFIG_SET_FLAG
        const STRING: libc::c_uint = 1; // FSCONFIG_SET_STRING
        let command = if value.is_some() { STRING } else { FLAG };
        self.configure(command, Some(key), value)
    }

    /// The mount, with these attributes (MOUNT_ATTR_*).
    pub fn mount(self, attributes: u64) -> Result<OwnedFd, Errno> {
        const CREATE: libc::c_uint = 6; // FSCONFIG_CMD_CREATE
        const CLOEXEC: libc::c_uint = 1; // FSMOUNT_CLOEXEC
        self.configure(CREATE, None, None)?;
        // SAFETY: a system call without pointers.
        descriptor(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), CLOEXEC, attributes) })
    }

    fn configure(&self, command: libc::c_uint, key: Option<&CStr>, value: Option<&CStr>) -> Result<(), Errno> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: key and value live until the call returns.
        let result =
            unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, pointer(key), pointer(value), 0) };
        Errno::result(result).map(drop)
    }
}

/// pivot_root(2) onto the current directory: the old root ends up on top of the new one.
pub fn pivot_here() -> Result<(), Errno> {
    // SAFETY: both paths are constants.
    Errno::result(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

pub fn set_namespaces(fd: &impl AsFd, kinds: i32) -> Result<(), Errno> {
    // SAFETY: a system call without pointers.
    Errno::result(unsafe { libc::setns(fd.as_fd().as_raw_fd(), kinds) }).map(drop)
}

pub fn unshare(kinds: i32) -> Result<(), Errno> {
    // SAFETY: a system call without pointers.
    Errno::result(unsafe { libc::unshare(kinds) }).map(drop)
}

/// A session keyring of its own, so that it has none of the agent's or of another container's. A kernel without keys
/// has nothing to keep apart.
pub fn own_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: no name is given: an anonymous keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
}

pub fn text(words: &str) -> Result<CString, Errno> {
    CString::new(words).map_err(|_| Errno::EINVAL)
}
