//! One conversation over a virtio port, which ends by itself when the next one begins.
//!
//! The port has no connections, and a busy guest may not see the moment in which nobody was connected: the greeting of
//! the next daemon would then be read as HTTP/2 of the one before. A greeting comes alone, as its sender waits for the
//! answer, and the port driver gives what was written at once in one read: so it is told from all else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake::Nonce;
use super::stream::ChannelStream;

/// One buffer of the port driver.
pub const CHUNK_BYTES: usize = 4096;

/// Who has greeted in the middle of a conversation.
#[derive(Clone, Default)]
pub struct Newcomer(Arc<Mutex<Option<Nonce>>>);

impl Newcomer {
    pub fn take(&self) -> Option<Nonce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, nonce: Nonce) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce);
    }
}

pub struct PortStream {
    inner: ChannelStream,
    chunk: Box<[u8; CHUNK_BYTES]>,
    /// What of the chunk has not been given on yet.
    rest: std::ops::Range<usize>,
    newcomer: Newcomer,
    over: bool,
}

impl PortStream {
    pub fn new(inner: ChannelStream, newcomer: Newcomer) -> Self {
        Self { inner, chunk: Box::new([0; CHUNK_BYTES]), rest: 0..0, newcomer, over: false }
    }

    /// Ready with what there is in `rest`; nothing at the end.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.over || !self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut buffer = ReadBuf::new(&mut *self.chunk);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        if let Some(nonce) = Nonce::of_line(buffer.filled()) {
            self.newcomer.set(nonce);
            self.over = true;
        } else {
            self.rest = 0..buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for PortStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_chunk(context))?;
        let count = this.rest.len().min(buffer.remaining());
        let end = this.rest.start + count;
        buffer.put_slice(this.chunk.get(this.rest.start..end).unwrap_or_default());
        this.rest.start = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut this.inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    /// The port stays open, whoever speaks over it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const GREETING: &[u8] = b"HOST 0123456789abcdef01234567\n";

    /// A conversation, who greets in it, and its other end.
    fn conversation() -> (PortStream, Newcomer, UnixStream) {
        let (ours, host) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let newcomer = Newcomer::default();
        (PortStream::new(ChannelStream::new(ours.into()).unwrap(), newcomer.clone()), newcomer, host)
    }

    #[tokio::test]
    async fn gives_every_byte_however_little_is_asked_for() {
        let (mut stream, newcomer, mut host) = conversation();
        io::Write::write_all(&mut host, b"PRI * HTTP/2.0\r\nHOST 1").unwrap();
        drop(host);
        let mut read = Vec::new();
        let mut one = [0; 3];
        loop {
            match stream.read(&mut one).await.unwrap() {
                0 => break,
                count => read.extend_from_slice(&one[..count]),
            }
        }
        assert_eq!(read, b"PRI * HTTP/2.0\r\nHOST 1");
        assert!(newcomer.take().is_none());
    }

    #[tokio::test]
    async fn ends_when_somebody_else_greets_and_writes_no_more() {
        let (mut stream, newcomer, mut host) = conversation();
        io::Write::write_all(&mut host, GREETING).unwrap();
        let mut few = [0; 4];
        assert_eq!(stream.read(&mut few).await.unwrap(), 0);
        assert_eq!(stream.read(&mut few).await.unwrap(), 0);
        assert_eq!(stream.write(b"GOAWAY").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(newcomer.take().unwrap().answer(), "AGENT 0123456789abcdef01234567\n");
    }
}
