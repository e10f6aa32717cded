use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{names, status};
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::pb::output_request::Kind as RequestKind;
use crate::server::service::Agent;
use crate::session::output::{Chunk, Next, Output, ReaderId, Stream};

const STAGE: &str = "output";
/// Chunks on their way between the buffer and HTTP/2.
const IN_FLIGHT: usize = 2;

pub type Chunks = ReceiverStream<Result<pb::OutputChunk, Status>>;

pub async fn run(agent: &Agent, mut requests: Streaming<pb::OutputRequest>) -> Result<Chunks, Failure> {
    let first = requests.message().await.map_err(|error| Failure::invalid(STAGE, error.message()))?;
    let Some(pb::OutputRequest { kind: Some(RequestKind::Open(open)) }) = first else {
        return Err(Failure::invalid(STAGE, "the first message is not an OutputOpen"));
    };
    let (session, exec) = names(STAGE, open.process)?;
    let output = Arc::clone(&agent.sessions.process(STAGE, &session, &exec)?.output);
    let reader = output.attach();
    output.acknowledge(open.after);
    let (sender, chunks) = mpsc::channel(IN_FLIGHT);
    let acknowledging = tokio::spawn(acknowledge(requests, Arc::clone(&output)));
    let sending = Sending { output, reader, sent: open.after, acknowledge: open.auto_acknowledge };
    tokio::spawn(async move {
        sending.run(sender).await;
        // else the client, which may go on acknowledging, would hold the call open
        acknowledging.abort();
    });
    Ok(ReceiverStream::new(chunks))
}

async fn acknowledge(mut requests: Streaming<pb::OutputRequest>, output: Arc<Output>) {
    while let Ok(Some(request)) = requests.message().await {
        if let Some(RequestKind::Acknowledge(sequence)) = request.kind {
            output.acknowledge(sequence);
        }
    }
}

struct Sending {
    output: Arc<Output>,
    reader: ReaderId,
    sent: u64,
    acknowledge: bool,
}

impl Sending {
    async fn run(mut self, sender: mpsc::Sender<Result<pb::OutputChunk, Status>>) {
        loop {
            let changed = self.output.changed();
            let failure = match self.output.next(self.reader, self.sent) {
                Next::Send(chunk) => {
                    let sequence = chunk.sequence;
                    if sender.send(Ok(message(chunk))).await.is_err() {
                        return;
                    }
                    self.sent = sequence;
                    if self.acknowledge {
                        self.output.acknowledge(sequence);
                    }
                    continue;
                }
                Next::Wait => {
                    tokio::select! {
                        () = changed => {}
                        () = sender.closed() => return,
                    }
                    continue;
                }
                Next::Done => return,
                Next::Replaced => Failure::new(Kind::Aborted, STAGE, "another stream was opened for this process"),
                Next::Closed => Failure::new(Kind::NotFound, STAGE, "the process was removed"),
            };
            let _ = sender.send(Err(status(&failure))).await;
            return;
        }
    }
}

fn message(chunk: Chunk) -> pb::OutputChunk {
    let Chunk { sequence, time_ns, content } = chunk;
    let end = content.is_none();
    let (stream, data) = match content {
        None => (pb::Stream::Unspecified, Vec::new()),
        Some((Stream::Stdout, data)) => (pb::Stream::Stdout, data),
        Some((Stream::Stderr, data)) => (pb::Stream::Stderr, data),
    };
    pb::OutputChunk { sequence, stream: stream.into(), time_ns, data, end }
}
