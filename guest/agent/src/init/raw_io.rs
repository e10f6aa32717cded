//! Nothing in a guest gets at its machine past the kernel: CAP_SYS_RAWIO is what `/dev/mem`, `/dev/port` and iopl(2) ask for,
//! and behind them are the registers of the devices that the host plays. PID 1 gives it up before there is anybody else,
//! and so does who the kernel starts by itself (`core_pattern`, `release_agent`): no container, privileged ones too, can have
//! it again.

use std::{fs, io};

use nix::errno::Errno;

use crate::runtime::own::capabilities::RAW_IO;
use crate::runtime::own::child::credentials::{own_sets, set_capabilities};

/// Numbers of the low and the high half of a set; what is missing in it goes, nothing comes back.
const STARTED_BY_THE_KERNEL: &str = "/proc/sys/kernel/usermodehelper/bset";

#[derive(Debug, thiserror::Error)]
pub enum RawIoError {
    #[error("give up raw I/O: {STARTED_BY_THE_KERNEL}: {0}")]
    Helpers(io::Error),
    #[error("give up raw I/O: {0}")]
    Own(Errno),
}

pub fn give_up() -> Result<(), RawIoError> {
    let (low, high) = (!u32::try_from(RAW_IO).unwrap_or_default(), u32::MAX);
    fs::write(STARTED_BY_THE_KERNEL, format!("{low} {high}")).map_err(RawIoError::Helpers)?;
    // SAFETY: a system call without pointers, about this process only.
    let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(RAW_IO.trailing_zeros()), 0, 0, 0) };
    Errno::result(dropped).map_err(RawIoError::Own)?;
    let sets = own_sets().map_err(RawIoError::Own)?;
    set_capabilities(&sets.without(RAW_IO)).map_err(RawIoError::Own)
}
