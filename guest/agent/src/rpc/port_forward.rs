//! One TCP connection between the host's client and a server on the pod's loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::tcp_stream::{self, Forwarding, IN_FLIGHT};
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

pub const MAX_CONNECTIONS: usize = 256;
const STAGE: &str = "port forward";
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
    let stream = dial(port).await?;
    let (sender, received) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        tcp_stream::forward(stream, Forwarding { stage: STAGE, first: first.data, requests, sender }).await;
        drop(room);
    });
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
