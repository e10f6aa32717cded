//! A TCP connection of the pod and a stream of gRPC, one the other's two directions.

use std::fmt::Display;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::status;
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::served::reset;

const MAX_DATA_BYTES: usize = 32 * 1024;
/// Messages on their way between the socket and HTTP/2.
pub const IN_FLIGHT: usize = 2;

/// What comes from the host, after the first message.
pub trait Request: Send + 'static {
    /// A call that the host has given up looks as one whose requests have ended (tonic takes RST_STREAM so).
    const SAYS_END: bool;
    fn is_end(&self) -> bool;
    fn into_data(self) -> Vec<u8>;
}

/// What goes to the host.
pub trait Response: Send + 'static {
    fn of(data: Vec<u8>, end: bool) -> Self;
}

impl Request for pb::PortForwardRequest {
    const SAYS_END: bool = false;

    fn is_end(&self) -> bool {
        false
    }

    fn into_data(self) -> Vec<u8> {
        self.data
    }
}

impl Response for pb::PortForwardResponse {
    fn of(data: Vec<u8>, end: bool) -> Self {
        Self { data, end }
    }
}

impl Request for pb::TakeConnectionRequest {
    const SAYS_END: bool = true;

    fn is_end(&self) -> bool {
        self.end
    }

    fn into_data(self) -> Vec<u8> {
        self.data
    }
}

impl Response for pb::TakeConnectionResponse {
    fn of(data: Vec<u8>, end: bool) -> Self {
        Self { data, end }
    }
}

pub struct Forwarding<Q, A> {
    pub stage: &'static str,
    /// Bytes of the first message.
    pub first: Vec<u8>,
    pub requests: Streaming<Q>,
    pub sender: mpsc::Sender<Result<A, Status>>,
}

/// Both directions, each to its own end. A broken connection, or a client that has gone, ends both at once, with a reset:
/// whoever reads it must not take what has come for all there is.
pub async fn forward<Q: Request, A: Response>(stream: TcpStream, forwarding: Forwarding<Q, A>) {
    let Forwarding { stage, first, requests, sender } = forwarding;
    let (mut from_pod, mut to_pod) = stream.into_split();
    let ended = tokio::select! {
        ended = async {
            tokio::try_join!(receive(stage, &mut from_pod, &sender), send(stage, &mut to_pod, first, requests))
        } => ended.map(drop),
        () = sender.closed() => Err(broken(stage, "the client has gone")),
    };
    if let Err(failure) = ended {
        to_pod.forget(); // it would say that all has been sent
        reset(from_pod.as_ref());
        drop(from_pod);
        // Without room for it the host, which reads nothing, sees an end without `end`.
        let _ = sender.try_send(Err(status(&failure)));
    }
}

async fn receive<A: Response>(
    stage: &'static str,
    from_pod: &mut OwnedReadHalf,
    sender: &mpsc::Sender<Result<A, Status>>,
) -> Result<(), Failure> {
    let gone = |_| broken(stage, "the client has gone");
    sender.send(Ok(A::of(Vec::new(), false))).await.map_err(gone)?;
    loop {
        let mut data = Vec::with_capacity(MAX_DATA_BYTES);
        let count = from_pod.read_buf(&mut data).await.map_err(|error| broken(stage, error))?;
        data.shrink_to_fit();
        sender.send(Ok(A::of(data, count == 0))).await.map_err(gone)?;
        if count == 0 {
            return Ok(());
        }
    }
}

async fn send<Q: Request>(
    stage: &'static str,
    to_pod: &mut OwnedWriteHalf,
    first: Vec<u8>,
    mut requests: Streaming<Q>,
) -> Result<(), Failure> {
    let mut data = first;
    loop {
        if data.len() > MAX_DATA_BYTES {
            return Err(Failure::invalid(stage, format!("more than {MAX_DATA_BYTES} bytes in one message")));
        }
        to_pod.write_all(&data).await.map_err(|error| broken(stage, error))?;
        match requests.message().await {
            Ok(Some(request)) if request.is_end() => {
                return to_pod.shutdown().await.map_err(|error| broken(stage, error));
            }
            Ok(Some(request)) => data = request.into_data(),
            Ok(None) if Q::SAYS_END => return Err(broken(stage, "the call has ended before the connection")),
            Ok(None) => return to_pod.shutdown().await.map_err(|error| broken(stage, error)),
            Err(error) => return Err(broken(stage, error.message())),
        }
    }
}

fn broken(stage: &'static str, why: impl Display) -> Failure {
    Failure::new(Kind::Aborted, stage, why)
}
