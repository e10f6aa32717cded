//! The virtio port: opened once and never closed, as closing loses the next client's first bytes.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::connection;
use super::super::service::Agent;
use super::handshake::{LINE_BYTES, Nonce};
use super::port_stream::{CHUNK_BYTES, Newcomer, PortStream};
use super::stream::{ChannelStream, hung_up};

pub async fn serve(device: &Path, agent: Agent) -> io::Result<()> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(device);
    let port = OwnedFd::from(opened.map_err(|error| io::Error::other(format!("open {}: {error}", device.display())))?);
    let mut newcomer = None;
    loop {
        let nonce = match newcomer.take() {
            Some(nonce) => nonce,
            None => greeted(&port).await?,
        };
        newcomer = converse(&port, newest(&port, nonce), &agent).await?;
    }
}

/// Waits for a host that greets. What comes before was meant for a conversation that is over.
async fn greeted(port: &OwnedFd) -> io::Result<Nonce> {
    loop {
        connected(port).await?;
        if let Some(nonce) = greeting_in(&mut ChannelStream::new(port.try_clone()?)?).await? {
            return Ok(nonce);
        }
    }
}

/// None when the host has gone.
async fn greeting_in(stream: &mut ChannelStream) -> io::Result<Option<Nonce>> {
    let mut chunk = [0; CHUNK_BYTES];
    let mut tail = Vec::with_capacity(LINE_BYTES + CHUNK_BYTES);
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Ok(None);
        }
        tail.extend_from_slice(chunk.get(..count).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(LINE_BYTES));
        if let Some(nonce) = Nonce::at_end(&tail) {
            return Ok(Some(nonce));
        }
    }
}

/// A daemon that was not answered in time has hung up and greeted again: only the last one still waits.
fn newest(port: &OwnedFd, greeted: Nonce) -> Nonce {
    let mut chunk = [0; CHUNK_BYTES];
    let mut nonce = greeted;
    while let Ok(count @ 1..) = nix::unistd::read(port, &mut chunk) {
        nonce = chunk.get(..count).and_then(Nonce::at_end).unwrap_or(nonce);
    }
    nonce
}

/// Answers and serves, until the host hangs up or somebody else greets: who that is. A greeting can be read before the
/// guest is told that the host is there, as that comes by another queue: it is answered then. Should its host have gone
/// for good, the next one passes over an answer that is not its own.
async fn converse(port: &OwnedFd, nonce: Nonce, agent: &Agent) -> io::Result<Option<Nonce>> {
    let newcomer = Newcomer::default();
    let mut stream = PortStream::new(ChannelStream::new(port.try_clone()?)?, newcomer.clone());
    match stream.write_all(nonce.answer().as_bytes()).await {
        Ok(()) => connection::serve(stream, agent.clone()).await,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            drop(stream);
            connected(port).await?;
            return Ok(Some(nonce));
        }
        Err(_) => {}
    }
    Ok(newcomer.take())
}

/// Waits for "host connected". Nobody else may watch the port meanwhile, nor may this watch go on when somebody else
/// does: whoever polls the port takes a buffer off its ring, and where that is before the interrupt is handled, the
/// driver wakes nobody for it.
async fn connected(port: &OwnedFd) -> io::Result<()> {
    if !hung_up(port) {
        return Ok(());
    }
    let watch = HostWatch::new(port)?;
    while hung_up(port) {
        watch.event().await?;
    }
    Ok(())
}

/// Edge-triggered, because poll(2) reports POLLHUP at once for as long as nobody is
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

    async fn event(&self) -> io::Result<()> {
        let mut guard = self.epoll.readable().await?;
        self.take_event();
        guard.clear_ready();
        Ok(())
    }

    fn take_event(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }];
        // SAFETY: the array has room for the one event asked for.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 1, 0) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A descriptor as the port's, and the host's end.
    fn pair() -> (OwnedFd, UnixStream) {
        let (port, host) = UnixStream::pair().unwrap();
        port.set_nonblocking(true).unwrap();
        (port.into(), host)
    }

    fn greeting(digit: char) -> String {
        format!("HOST {}\n", digit.to_string().repeat(24))
    }

    fn nonce(digit: char) -> Nonce {
        Nonce::of_line(greeting(digit).as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn finds_the_greeting_after_what_another_daemon_has_left() {
        let (port, mut host) = pair();
        let mut stream = ChannelStream::new(port).unwrap();
        host.write_all(&[b'H'; 3 * CHUNK_BYTES + 7]).unwrap();
        host.write_all(greeting('a').as_bytes()).unwrap();
        assert_eq!(greeting_in(&mut stream).await.unwrap(), Some(nonce('a')));
        drop(host);
        assert_eq!(greeting_in(&mut stream).await.unwrap(), None);
    }

    /// In how many lists of watched descriptors of this process the file behind `descriptor` stands.
    fn watches(descriptor: &OwnedFd) -> usize {
        let inode = format!(" ino:{:x} ", nix::sys::stat::fstat(descriptor).unwrap().st_ino);
        std::fs::read_dir("/proc/self/fdinfo")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
            .map(|info| info.lines().filter(|line| line.starts_with("tfd:") && line.contains(&inode)).count())
            .sum()
    }

    #[tokio::test]
    async fn is_watched_once_whoever_waits() {
        let (once, _other) = pair();
        let _stream = ChannelStream::new(once.try_clone().unwrap()).unwrap();
        let (port, mut host) = pair();
        assert_eq!(watches(&port), 0);
        {
            let greeted = greeted(&port);
            tokio::pin!(greeted);
            assert!(tokio::time::timeout(std::time::Duration::from_millis(20), &mut greeted).await.is_err());
            assert_eq!(watches(&port), watches(&once), "while a greeting is waited for");
            host.write_all(greeting('a').as_bytes()).unwrap();
            assert_eq!(greeted.await.unwrap(), nonce('a'));
        }
        assert_eq!(watches(&port), 0, "by nobody who waits no more");
        drop(host);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), connected(&port)).await.is_err());
        assert_eq!(watches(&port), 0, "the watch for a host ends with the wait");
    }

    #[test]
    fn answers_the_last_of_those_who_have_greeted() {
        let (port, mut host) = pair();
        assert_eq!(newest(&port, nonce('a')), nonce('a'));
        host.write_all(greeting('b').as_bytes()).unwrap();
        host.write_all(greeting('c').as_bytes()).unwrap();
        assert_eq!(newest(&port, nonce('a')), nonce('c'));
        drop(host);
        assert_eq!(newest(&port, nonce('c')), nonce('c'));
    }
}
