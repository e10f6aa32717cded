//! One TCP connection between the host's client and a server on the pod's loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::status;
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

pub const MAX_CONNECTIONS: usize = 256;
const STAGE: &str = "port forward";
const MAX_DATA_BYTES: usize = 32 * 1024;
/// Messages on their way between the socket and HTTP/2.
const IN_FLIGHT: usize = 2;
/// The loopback answers at once, unless the server's backlog is full.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

type Message = Result<pb::PortForwardResponse, Status>;
pub type Received = ReceiverStream<Message>;

pub async fn run(agent: &Agent, mut requests: Streaming<pb::PortForwardRequest>) -> Result<Received, Failure> {
    let first = requests.message().await.map_err(|error| Failure::invalid(STAGE, error.message()))?;
    let first = first.ok_or_else(|| Failure::invalid(STAGE, "no port named"))?;
    let port = u16::try_from(first.port).ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| Failure::invalid(STAGE, format!("{} is not a port", first.port)))?;
    let full = |_| Failure::new(Kind::State, STAGE, format!("there are {MAX_CONNECTIONS} connections already"));
    let room = Arc::clone(&agent.connections).try_acquire_owned().map_err(full)?;
    let (from_pod, to_pod) = dial(port).await?.into_split();
    let (sender, received) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(forward(from_pod, to_pod, first.data, requests, sender, room));
    Ok(ReceiverStream::new(received))
}

async fn dial(port: u16) -> Result<TcpStream, Failure> {
    let failed = |error: &io::Error| Failure::new(Kind::State, STAGE, format!("connect to port {port}: {error}"));
    let first = match connect(Ipv4Addr::LOCALHOST.into(), port).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    // The first failure is the one that people expect; there may be no IPv6 at all.
    let stream = connect(Ipv6Addr::LOCALHOST.into(), port).await.map_err(|_| failed(&first))?;
    Ok(stream)
}

async fn connect(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = timeout(DIAL_LIMIT, TcpStream::connect((address, port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Both directions, each to its own end. A broken connection, or a client that has gone, ends both at once.
async fn forward(
    from_pod: OwnedReadHalf,
    to_pod: OwnedWriteHalf,
    first: Vec<u8>,
    requests: Streaming<pb::PortForwardRequest>,
    sender: mpsc::Sender<Message>,
    _room: OwnedSemaphorePermit,
) {
    let ended = tokio::select! {
        ended = async { tokio::try_join!(receive(from_pod, &sender), send(to_pod, first, requests)) } => ended.map(drop),
        () = sender.closed() => return,
    };
    if let Err(failure) = ended {
        let _ = sender.send(Err(status(&failure))).await;
    }
}

async fn receive(mut from_pod: OwnedReadHalf, sender: &mpsc::Sender<Message>) -> Result<(), Failure> {
    let gone = |_| broken("the client has gone");
    let message = |data, end| Ok(pb::PortForwardResponse { data, end });
    sender.send(message(Vec::new(), false)).await.map_err(gone)?;
    loop {
        let mut data = Vec::with_capacity(MAX_DATA_BYTES);
        let count = from_pod.read_buf(&mut data).await.map_err(broken)?;
        data.shrink_to_fit();
        sender.send(message(data, count == 0)).await.map_err(gone)?;
        if count == 0 {
            return Ok(());
        }
    }
}

async fn send(
    mut to_pod: OwnedWriteHalf,
    first: Vec<u8>,
    mut requests: Streaming<pb::PortForwardRequest>,
) -> Result<(), Failure> {
    let mut data = first;
    loop {
        if data.len() > MAX_DATA_BYTES {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_DATA_BYTES} bytes in one message")));
        }
        to_pod.write_all(&data).await.map_err(broken)?;
        match requests.message().await {
            Ok(Some(request)) => data = request.data,
            Ok(None) => return to_pod.shutdown().await.map_err(broken),
            Err(error) => return Err(broken(error.message())),
        }
    }
}

fn broken(why: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Aborted, STAGE, why)
}
