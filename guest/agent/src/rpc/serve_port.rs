//! Listens on a port of the pod, and tells of who connects.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::status;
use crate::failure::Failure;
use crate::pb;
use crate::served::{Call, MAX_CONNECTIONS, Wanted};
use crate::server::service::Agent;

const STAGE: &str = "serve port";
const MAX_WAIT_MS: u32 = 600_000;

type Message = Result<pb::ServePortResponse, Status>;
pub type Told = ReceiverStream<Message>;

pub fn run(agent: &Agent, request: &pb::ServePortRequest) -> Result<Told, Failure> {
    let call = agent.served.serve(wanted(request)?)?;
    // What has not been sent waits in the table, where it can be taken back.
    let (sender, told) = mpsc::channel(1);
    tokio::spawn(tell(call, sender));
    Ok(ReceiverStream::new(told))
}

fn wanted(request: &pb::ServePortRequest) -> Result<Wanted, Failure> {
    let pb::ServePortRequest { port, any_address, most_connections, wait_ms } = *request;
    let checked = u16::try_from(port).ok().filter(|port| *port != 0);
    let port = checked.ok_or_else(|| Failure::invalid(STAGE, format!("{port} is not a port")))?;
    let most = usize::try_from(most_connections).ok().filter(|most| (1..=MAX_CONNECTIONS).contains(most));
    let most_connections =
        most.ok_or_else(|| Failure::invalid(STAGE, format!("{most_connections} connections are not allowed")))?;
    if wait_ms > MAX_WAIT_MS {
        return Err(Failure::invalid(STAGE, format!("{wait_ms} ms is too long to wait")));
    }
    Ok(Wanted { port, any_address, most_connections, wait: Duration::from_millis(wait_ms.into()) })
}

async fn tell(mut call: Call, sender: mpsc::Sender<Message>) {
    let listened = pb::ServePortResponse { connection_id: 0, peer: String::new() };
    if sender.send(Ok(listened)).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            next = call.next() => next,
            () = sender.closed() => return,
        };
        let is_over = next.is_err();
        let message = next.map(|(connection_id, peer)| pb::ServePortResponse { connection_id, peer: peer.to_string() });
        if sender.send(message.map_err(|failure| status(&failure))).await.is_err() || is_over {
            return;
        }
    }
}
