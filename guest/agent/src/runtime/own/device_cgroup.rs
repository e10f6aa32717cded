//! Puts a program of device rules on a cgroup. Source: bpf(2).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::device_program::Instruction;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// BPF_F_ALLOW_MULTI.
const ALLOW_MULTI: u32 = 2;
const LICENSE: &std::ffi::CStr = c"Apache-2.0";

/// The members of union bpf_attr that loading uses; the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// The program stays with the cgroup until that is removed.
pub fn attach(cgroup: &impl AsFd, program: &[Instruction]) -> Result<(), Errno> {
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
    };
    let loaded = call(PROG_LOAD, &load)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let attach = Attach {
        target: cgroup.as_fd().as_raw_fd().unsigned_abs(),
        program: loaded.as_raw_fd().unsigned_abs(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    call(PROG_ATTACH, &attach).map(drop)
}

fn call<T>(command: libc::c_int, attributes: &T) -> Result<RawFd, Errno> {
    // SAFETY: the attributes, and the arrays they point to, live until the call returns; their size is given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    RawFd::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)
}
