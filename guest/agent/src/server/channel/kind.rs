//! Finds the channel of this guest.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::ChannelKind;

const PORTS: &str = "/sys/class/virtio-ports";
const PORT_NAME: &str = "agent";
/// The ports of a device are announced one by one after it was found: the agent may be there first.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
const LOOKS: u32 = 5_000;

pub enum Found {
    /// The device file.
    VirtioPort(PathBuf),
    Vsock,
}

/// A port named `agent` wins; else a guest with a vsock address of its own has that.
pub async fn find(told: Option<ChannelKind>) -> io::Result<Found> {
    for _ in 0..LOOKS {
        if told == Some(ChannelKind::Vsock) {
            return Ok(Found::Vsock);
        }
        if let Some(device) = agent_port() {
            return Ok(Found::VirtioPort(device));
        }
        if told.is_none() && has_vsock_address() {
            return Ok(Found::Vsock);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "this guest has neither a virtio port named agent nor vsock"))
}

fn agent_port() -> Option<PathBuf> {
    let ports = fs::read_dir(PORTS).ok()?;
    ports.flatten().find_map(|port| {
        let name = fs::read_to_string(port.path().join("name")).ok()?;
        (name.trim() == PORT_NAME).then(|| Path::new("/dev").join(port.file_name()))
    })
}

nix::ioctl_read_bad!(local_cid, IOCTL_VM_SOCKETS_GET_LOCAL_CID, u32);
/// linux/vm_sockets.h: _IO(7, 0xb9).
const IOCTL_VM_SOCKETS_GET_LOCAL_CID: libc::c_ulong = 0x7b9;
/// Smallest CID of a guest; below are the hypervisor, the loopback and the host.
const FIRST_GUEST_CID: u32 = 3;

fn has_vsock_address() -> bool {
    let Ok(device) = fs::File::open("/dev/vsock") else {
        return false;
    };
    let mut cid = 0;
    // SAFETY: the call writes one u32 to the pointer, which is valid for it.
    let answered = unsafe { local_cid(device.as_raw_fd(), &raw mut cid) };
    answered.is_ok() && (FIRST_GUEST_CID..u32::MAX).contains(&cid)
}
