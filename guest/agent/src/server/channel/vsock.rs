//! vsock under krun: the agent listens on port 1025 and tells the host so on port 1026.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, connect, getpeername, listen, socket,
};
use tokio::io::AsyncWriteExt;

use super::super::service::Agent;
use super::stream::ChannelStream;
use crate::console;

const HOST_CID: u32 = libc::VMADDR_CID_HOST;
const AGENT_PORT: u32 = 1025;
const READY_PORT: u32 = 1026;
const READY_TRIES: u32 = 50;
const READY_LIMIT: Duration = Duration::from_secs(1);
const READY_PAUSE: Duration = Duration::from_millis(100);

pub async fn serve(agent: Agent) -> io::Result<()> {
    let listener = new_socket()?;
    bind(listener.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, AGENT_PORT))?;
    listen(&listener, Backlog::new(8)?)?;
    let listener = crate::poll::watched_for_reading(listener)?;
    tokio::spawn(tell_ready());
    loop {
        let mut guard = listener.readable().await?;
        let Ok(accepted) = guard.try_io(|listener| accept(listener.get_ref())) else {
            continue;
        };
        match accepted {
            Ok(Some(descriptor)) => drop(tokio::spawn(super::serve_accepted(descriptor, agent.clone()))),
            Ok(None) => {}
            Err(error) => console::say(&format!("accept on vsock: {error}")),
        }
    }
}

/// One connection of the host's. Containers can reach the port too, by the guest's own CID or the loopback: they are
/// hung up on.
fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let raw = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // SAFETY: accept4 has just made this descriptor for us alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    let peer: VsockAddr = getpeername(descriptor.as_raw_fd())?;
    Ok((peer.cid() == HOST_CID).then_some(descriptor))
}

/// Says that dialling makes sense now. Each try has a limit of its own: a connect that meets no socket on the host may
/// never be answered.
async fn tell_ready() {
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..READY_TRIES {
        match tokio::time::timeout(READY_LIMIT, send_ready()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
    console::say(&format!("tell the host that the agent is ready: {last}"));
}

async fn send_ready() -> io::Result<()> {
    let descriptor = new_socket()?;
    match connect(descriptor.as_raw_fd(), &VsockAddr::new(HOST_CID, READY_PORT)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut stream = ChannelStream::new(descriptor)?;
    stream.write_all(b"READY\n").await?;
    stream.shutdown().await
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Vsock, SockType::Stream, flags, None)
}
