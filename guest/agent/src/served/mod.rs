//! Ports of the pod that the host serves: listened on here, each connection taken up by the host when it likes. The host
//! may go and come again: who connects meanwhile waits for it, for a while.

mod listen;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::failure::{Failure, Kind};

/// Of all ports together, waiting and taken.
pub const MAX_CONNECTIONS: usize = 256;
const STAGE: &str = "serve port";
/// After an accept that has failed: for want of descriptors mostly, which come back.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub port: u16,
    /// Every address of the pod; else the loopback.
    pub any_address: bool,
    pub most_connections: usize,
    pub wait: Duration,
}

/// What counts for a connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _of_port: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Waiting {
    port: u16,
    peer: SocketAddr,
    stream: TcpStream,
    place: Place,
}

#[derive(Debug)]
struct Port {
    wanted: Wanted,
    room: Arc<Semaphore>,
    accepting: Vec<AbortHandle>,
    /// Number of the newest call about it.
    call: u64,
    /// A connection has come, or a call.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    ports: HashMap<u16, Port>,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
pub struct ServedPorts {
    state: Mutex<State>,
    room: Arc<Semaphore>,
}

/// One call of the host about one port.
#[derive(Debug)]
pub struct Call {
    ports: Arc<ServedPorts>,
    port: u16,
    number: u64,
    told: u64,
    changed: watch::Receiver<()>,
}

/// What is closed next is reset.
pub fn reset(stream: &TcpStream) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(&stream.as_fd(), sockopt::Linger, &at_once);
}

impl ServedPorts {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), room: Arc::new(Semaphore::new(MAX_CONNECTIONS)) })
    }

    /// Listens on the port, or goes on to. Must be called on the event loop.
    pub fn serve(self: &Arc<Self>, wanted: Wanted) -> Result<Call, Failure> {
        let mut state = self.state();
        let known = state.ports.get(&wanted.port).is_some_and(|port| port.wanted.any_address == wanted.any_address);
        if !known {
            state.drop_port(wanted.port);
            let listeners =
                listen::listen(wanted.port, wanted.any_address).map_err(|error| refused(wanted.port, &error))?;
            let accepting = listeners.into_iter().map(|one| self.accept(wanted.port, one)).collect();
            let room = Arc::new(Semaphore::new(wanted.most_connections));
            let port = Port { wanted, room, accepting, call: 0, changed: watch::Sender::new(()) };
            state.ports.insert(wanted.port, port);
        }
        let Some(port) = state.ports.get_mut(&wanted.port) else {
            return Err(Failure::internal(STAGE, "the port has gone"));
        };
        if port.wanted.most_connections != wanted.most_connections {
            port.room = Arc::new(Semaphore::new(wanted.most_connections));
        }
        port.wanted = wanted;
        port.call += 1;
        port.changed.send_replace(());
        let (number, changed) = (port.call, port.changed.subscribe());
        Ok(Call { ports: Arc::clone(self), port: wanted.port, number, told: 0, changed })
    }

    /// A connection that waits; it is the caller's from then on.
    pub fn take(&self, id: u64) -> Option<(TcpStream, Place)> {
        self.state().waiting.remove(&id).map(|Waiting { stream, place, .. }| (stream, place))
    }

    pub fn stop(&self, port: u16) {
        self.state().drop_port(port);
    }

    fn accept(self: &Arc<Self>, port: u16, listener: TcpListener) -> AbortHandle {
        let ports = Arc::clone(self);
        let work = async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => ports.came(port, stream, peer),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        tokio::spawn(work).abort_handle()
    }

    fn came(self: &Arc<Self>, number: u16, stream: TcpStream, peer: SocketAddr) {
        let mut state = self.state();
        let id = state.last_id + 1;
        let Some(port) = state.ports.get(&number) else { return reset(&stream) };
        let of_port = Arc::clone(&port.room).try_acquire_owned();
        let of_all = Arc::clone(&self.room).try_acquire_owned();
        let (Ok(of_port), Ok(of_all)) = (of_port, of_all) else { return reset(&stream) };
        let place = Place { _of_port: of_port, _of_all: of_all };
        let _ = stream.set_nodelay(true);
        let (wait, changed) = (port.wanted.wait, port.changed.clone());
        state.last_id = id;
        state.waiting.insert(id, Waiting { port: number, peer, stream, place });
        changed.send_replace(());
        drop(state);
        let ports = Arc::clone(self);
        tokio::spawn(async move {
            sleep(wait).await;
            if let Some((stream, _place)) = ports.take(id) {
                reset(&stream);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_port(&mut self, number: u16) {
        let Some(port) = self.ports.remove(&number) else { return };
        for one in &port.accepting {
            one.abort();
        }
        self.waiting.retain(|_, waiting| {
            let stays = waiting.port != number;
            if !stays {
                reset(&waiting.stream);
            }
            stays
        });
    }
}

impl Call {
    /// The next connection that waits, by its id, and who it is of. Fails when another call has taken this one's place.
    pub async fn next(&mut self) -> Result<(u64, SocketAddr), Failure> {
        loop {
            self.changed.borrow_and_update();
            if let Some(found) = self.look()? {
                self.told = found.0;
                return Ok(found);
            }
            self.changed.changed().await.map_err(|_| over())?;
        }
    }

    fn look(&self) -> Result<Option<(u64, SocketAddr)>, Failure> {
        let state = self.ports.state();
        if state.ports.get(&self.port).is_none_or(|port| port.call != self.number) {
            return Err(over());
        }
        let next = state.waiting.range(self.told + 1..).find(|(_, waiting)| waiting.port == self.port);
        Ok(next.map(|(id, waiting)| (*id, waiting.peer)))
    }
}

fn over() -> Failure {
    Failure::new(Kind::Aborted, STAGE, "another call has the port, or it is served no more")
}

fn refused(port: u16, error: &io::Error) -> Failure {
    let (kind, what) = match error.kind() {
        io::ErrorKind::AddrInUse => (Kind::Exists, format!("port {port} is in use in the pod")),
        _ => (Kind::Internal, format!("listen on port {port}: {error}")),
    };
    Failure::new(kind, STAGE, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn wanted(port: u16) -> Wanted {
        Wanted { port, any_address: false, most_connections: 2, wait: WAIT }
    }

    async fn connect(port: u16) -> TcpStream {
        TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    }

    /// What a client reads to the end of its connection.
    async fn end_of(mut client: TcpStream) -> io::ErrorKind {
        match client.read(&mut [0; 16]).await {
            Ok(_) => io::ErrorKind::UnexpectedEof,
            Err(error) => error.kind(),
        }
    }

    #[tokio::test]
    async fn tells_of_who_connects_and_gives_the_connection_once() {
        let (ports, port) = (ServedPorts::new(), free_port());
        let mut call = ports.serve(wanted(port)).unwrap();
        let mut client = connect(port).await;
        let (id, peer) = call.next().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let (mut stream, _place) = ports.take(id).unwrap();
        assert!(ports.take(id).is_none());
        stream.write_all(b"hello").await.unwrap();
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
    }

    #[tokio::test]
    async fn takes_both_loopbacks_and_no_port_that_somebody_has() {
        let (ports, port) = (ServedPorts::new(), free_port());
        let mut call = ports.serve(wanted(port)).unwrap();
        let _client = TcpStream::connect(("::1", port)).await.unwrap();
        assert!(call.next().await.unwrap().1.is_ipv6());
        let other = ServedPorts::new();
        for any_address in [false, true] {
            let failure = other.serve(Wanted { any_address, ..wanted(port) }).unwrap_err();
            assert_eq!((failure.kind, failure.what), (Kind::Exists, format!("port {port} is in use in the pod")));
        }
    }

    #[tokio::test]
    async fn resets_what_is_too_much_until_there_is_room_again() {
        let (ports, port) = (ServedPorts::new(), free_port());
        let mut call = ports.serve(wanted(port)).unwrap();
        let _first = connect(port).await;
        let (first, _) = call.next().await.unwrap();
        let taken = ports.take(first).unwrap();
        let _second = connect(port).await;
        let (second, _) = call.next().await.unwrap();
        assert_eq!(end_of(connect(port).await).await, io::ErrorKind::ConnectionReset);
        drop(taken);
        let _third = connect(port).await;
        assert!(call.next().await.unwrap().0 > second);
    }

    #[tokio::test]
    async fn a_new_call_ends_the_one_before_and_is_told_of_all_that_wait() {
        let (ports, port) = (ServedPorts::new(), free_port());
        let mut old = ports.serve(wanted(port)).unwrap();
        let _client = connect(port).await;
        let (id, _) = old.next().await.unwrap();
        let mut new = ports.serve(wanted(port)).unwrap();
        assert_eq!(old.next().await.unwrap_err().kind, Kind::Aborted);
        assert_eq!(new.next().await.unwrap().0, id);
    }

    #[tokio::test]
    async fn listens_without_a_host_and_resets_who_waits_too_long() {
        let (ports, port) = (ServedPorts::new(), free_port());
        drop(ports.serve(Wanted { wait: Duration::from_millis(20), ..wanted(port) }).unwrap());
        assert_eq!(end_of(connect(port).await).await, io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_port_that_is_served_no_more_resets_who_waits_and_refuses_who_comes() {
        let (ports, port) = (ServedPorts::new(), free_port());
        let mut call = ports.serve(wanted(port)).unwrap();
        let client = connect(port).await;
        call.next().await.unwrap();
        ports.stop(port);
        assert_eq!(end_of(client).await, io::ErrorKind::ConnectionReset);
        assert_eq!(call.next().await.unwrap_err().kind, Kind::Aborted);
        tokio::task::yield_now().await;
        assert_eq!(TcpStream::connect(("127.0.0.1", port)).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
