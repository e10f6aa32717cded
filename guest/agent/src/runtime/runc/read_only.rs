//! A pod of the host shares its kernel with its containers, and one of them may come to hold the agent's own file: the kernel
//! looks `#!/proc/self/exe` up in the process that executes such a script, which is the agent's child until then. So the
//! file that it finds there is on a mount of its own, which is nowhere in the tree, and read-only: its bytes, its mode and
//! its owner stay what they are, also when no process runs it any more (CVE-2019-5736 was runc's).

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::runtime::own::child::sys::{clone_tree_at, set_attributes};
use crate::runtime::own::options::Change;

/// Executes this program anew where it can't be written to; returns in that one.
pub fn ensure() -> Result<(), Errno> {
    let here =
        File::open("/proc/self/exe").map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    if fstatvfs(&here)?.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(());
    }
    let tree = clone_tree_at(c"/proc/self/exe", false)?;
    set_attributes(&tree, Change { set: libc::MOUNT_ATTR_RDONLY, clear: 0 }, 0, None, false)?;
    let arguments = std::env::args_os().map(|word| text(word.into_vec())).collect::<Result<Vec<_>, _>>()?;
    let environment = std::env::vars_os()
        .map(|(name, value)| text([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()))
        .collect::<Result<Vec<_>, _>>()?;
    let (argv, env) = (pointers(&arguments), pointers(&environment));
    // SAFETY: the path is a constant; arguments and environment are C strings that live in this frame; both arrays end with null.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            tree.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(Errno::last())
}

fn text(bytes: Vec<u8>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect()
}
