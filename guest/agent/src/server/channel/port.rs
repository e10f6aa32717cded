//! The virtio port: opened once and never closed, as closing loses the next client's first bytes.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;

use super::super::connection;
use super::super::service::Agent;
use super::handshake;
use super::stream::{ChannelStream, hung_up};

const DISCARD_BYTES: usize = 32 * 1024;

pub async fn serve(device: &Path, agent: Agent) -> io::Result<()> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(device);
    let port = OwnedFd::from(opened.map_err(|error| io::Error::other(format!("open {}: {error}", device.display())))?);
    let watch = HostWatch::new(&port)?;
    loop {
        watch.connected(&port).await?;
        let mut stream = ChannelStream::new(port.try_clone()?)?;
        let drained = stream.drained();
        if handshake::answer(&mut stream).await.is_ok() {
            connection::serve(stream, agent.clone()).await;
        }
        if !drained.load(Ordering::Relaxed) {
            discard(ChannelStream::new(port.try_clone()?)?).await;
        }
    }
}

/// Reads until the port says that the host has gone, so that the next connection starts with its own first byte.
async fn discard(mut stream: ChannelStream) {
    let mut buffer = vec![0; DISCARD_BYTES];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
    }
}

/// Waits for "host connected". Edge-triggered, because poll(2) reports POLLHUP at once for as long as nobody is
/// connected, and so spins.
struct HostWatch {
    epoll: AsyncFd<OwnedFd>,
}

impl HostWatch {
    fn new(port: &OwnedFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(port.as_fd(), EpollEvent::new(interest, 0))?;
        Ok(Self { epoll: crate::poll::watched_for_reading(nix::unistd::dup(epoll.0.as_fd())?)? })
    }

    async fn connected(&self, port: &OwnedFd) -> io::Result<()> {
        while hung_up(port) {
            let mut guard = self.epoll.readable().await?;
            self.take_event();
            guard.clear_ready();
        }
        Ok(())
    }

    fn take_event(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }];
        // SAFETY: the array has room for the one event asked for.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 1, 0) };
    }
}
