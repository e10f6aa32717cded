//! One connection to a port of the pod that the host serves.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::tcp_stream::{self, Forwarding, IN_FLIGHT};
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

const STAGE: &str = "take connection";

pub type Received = ReceiverStream<Result<pb::TakeConnectionResponse, Status>>;

pub async fn run(agent: &Agent, mut requests: Streaming<pb::TakeConnectionRequest>) -> Result<Received, Failure> {
    let first = requests.message().await.map_err(|error| Failure::invalid(STAGE, error.message()))?;
    let first = first.ok_or_else(|| Failure::invalid(STAGE, "no connection named"))?;
    let gone = || Failure::new(Kind::NotFound, STAGE, "no such connection waits");
    let (stream, place) = agent.served.take(first.connection_id).ok_or_else(gone)?;
    let (sender, received) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        tcp_stream::forward(stream, Forwarding { stage: STAGE, first: first.data, requests, sender }).await;
        drop(place);
    });
    Ok(ReceiverStream::new(received))
}
