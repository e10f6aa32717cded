//! One connection as a byte stream, over any descriptor that epoll takes: a socket, or a virtio port.
//!
//! A virtio port has no connections, only a "host connected" bit, and reports POLLHUP while nobody is connected. An
//! AsyncFd that has seen a hang-up stays ready for ever. From then on EAGAIN means that nobody is connected, where that
//! is still so: waiting again would spin. Else it was the end of an earlier connection that was seen late, which says
//! nothing about this one: the descriptor is registered afresh.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The port driver cuts longer writes.
const MAX_WRITE_BYTES: usize = 32 * 1024;

pub struct ChannelStream {
    descriptor: AsyncFd<OwnedFd>,
}

impl ChannelStream {
    /// `descriptor` must be non-blocking.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self { descriptor: crate::poll::watched(descriptor)? })
    }

    /// After a hang-up that is over. Who waits on the old registration is woken, and waits on the new one.
    fn register_afresh(&mut self, context: &Context<'_>) -> io::Result<()> {
        let again = self.descriptor.get_ref().try_clone()?;
        self.descriptor = crate::poll::watched(again)?;
        context.waker().wake_by_ref();
        Ok(())
    }

    fn read_once(&self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let count = nix::unistd::read(self.descriptor.get_ref(), buffer.initialize_unfilled())?;
        buffer.advance(count);
        Ok(count)
    }

    fn write_once(&self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..MAX_WRITE_BYTES).unwrap_or(bytes);
        Ok(nix::unistd::write(self.descriptor.get_ref(), piece)?)
    }
}

pub fn hung_up(descriptor: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)];
    let asked = poll(&mut polled, PollTimeout::ZERO);
    let reported = polled.iter().filter_map(PollFd::revents).any(|events| events.contains(PollFlags::POLLHUP));
    asked.is_ok() && reported
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.descriptor.poll_read_ready(context))?;
            let closed = guard.ready().is_read_closed();
            match self.read_once(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !closed {
                        guard.clear_ready();
                    } else if hung_up(self.descriptor.get_ref()) {
                        return Poll::Ready(Ok(()));
                    } else {
                        self.register_afresh(context)?;
                    }
                }
                other => return Poll::Ready(other.map(drop)),
            }
        }
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.descriptor.poll_write_ready(context))?;
            let closed = guard.ready().is_write_closed();
            match self.write_once(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !closed {
                        guard.clear_ready();
                    } else if hung_up(self.descriptor.get_ref()) {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    } else {
                        self.register_afresh(context)?;
                    }
                }
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // a port is no socket, and has nothing to shut down
        // SAFETY: a system call on a descriptor that this stream owns.
        unsafe { libc::shutdown(self.descriptor.as_raw_fd(), libc::SHUT_WR) };
        Poll::Ready(Ok(()))
    }
}
