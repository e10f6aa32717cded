//! Files of sessions: each call is passed on to a worker, and its answer back.

use std::pin::pin;

use prost::Message;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::status;
use crate::failure::{Failure, Kind as FailureKind};
use crate::files::frame::{Kind, MAX_DATA_BYTES};
use crate::files::lease::{self, Lease, MAX_WATCHES, STAGE};
use crate::files::staging::Staging;
use crate::pb;
use crate::server::service::Agent;

pub type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Messages on their way between a worker and HTTP/2.
const IN_FLIGHT: usize = 2;

pub async fn stat_file(agent: &Agent, request: pb::StatFileRequest) -> Result<pb::StatFileResponse, Failure> {
    one(agent, request.scope.as_ref(), Kind::Stat, &request).await
}

pub async fn make_directory(
    agent: &Agent,
    request: pb::MakeDirectoryRequest,
) -> Result<pb::MakeDirectoryResponse, Failure> {
    one(agent, request.scope.as_ref(), Kind::MakeDirectory, &request).await
}

pub async fn move_file(agent: &Agent, request: pb::MoveFileRequest) -> Result<pb::MoveFileResponse, Failure> {
    one(agent, request.scope.as_ref(), Kind::Move, &request).await
}

pub async fn remove_file(agent: &Agent, request: pb::RemoveFileRequest) -> Result<pb::RemoveFileResponse, Failure> {
    one(agent, request.scope.as_ref(), Kind::Remove, &request).await
}

pub async fn list_files(
    agent: &Agent,
    request: pb::ListFilesRequest,
) -> Result<Answers<pb::ListFilesResponse>, Failure> {
    let lease = begin(agent, request.scope.as_ref(), Kind::List, &request).await?;
    Ok(pass_on(lease, None, message))
}

pub async fn read_file(agent: &Agent, request: pb::ReadFileRequest) -> Result<Answers<pb::ReadFileResponse>, Failure> {
    let lease = begin(agent, request.scope.as_ref(), Kind::Read, &request).await?;
    Ok(pass_on(lease, None, |kind, payload| match kind {
        Kind::Data => Ok(pb::ReadFileResponse { entry: None, data: payload }),
        kind => message(kind, payload),
    }))
}

pub async fn watch_files(
    agent: &Agent,
    request: pb::WatchFilesRequest,
) -> Result<Answers<pb::WatchFilesResponse>, Failure> {
    let full = |_| Failure::new(FailureKind::Exhausted, STAGE, format!("there are {MAX_WATCHES} watches already"));
    let room = std::sync::Arc::clone(&agent.file_watches).try_acquire_owned().map_err(full)?;
    let lease = begin(agent, request.scope.as_ref(), Kind::Watch, &request).await?;
    Ok(pass_on(lease, Some(room), message))
}

/// A call that is lost drops the lease, and with it the worker's socket: what it has begun is undone.
pub async fn write_file(
    agent: &Agent,
    mut requests: Streaming<pb::WriteFileRequest>,
) -> Result<Answers<pb::WriteFileResponse>, Failure> {
    let first = requests.message().await.map_err(|error| Failure::invalid(STAGE, error.message()))?;
    let open = first.and_then(|request| request.open);
    let open = open.ok_or_else(|| Failure::invalid(STAGE, "the first message does not open a file"))?;
    let mut lease = begin(agent, open.scope.as_ref(), Kind::Write, &open).await?;
    let (sender, answers) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        let written = tokio::select! {
            written = write(&mut lease, requests, &sender) => written,
            // the client has gone
            () = sender.closed() => return,
        };
        let _ = sender.send(written.map_err(|failure| status(&failure))).await;
    });
    Ok(ReceiverStream::new(answers))
}

type WriteAnswers = mpsc::Sender<Result<pb::WriteFileResponse, Status>>;

/// The last answer.
async fn write(
    lease: &mut Lease,
    mut requests: Streaming<pb::WriteFileRequest>,
    answers: &WriteAnswers,
) -> Result<pb::WriteFileResponse, Failure> {
    let (reader, writer, ended) = lease.halves();
    let mut answer = pin!(lease::next(reader));
    let mut incoming = Incoming { writer, staging: None, taken: 0, answers };
    let mut whole = false;
    let answered = loop {
        tokio::select! {
            biased;
            answered = &mut answer => break answered,
            () = lease::end_of(ended) => return Err(lease::exited()),
            request = requests.message(), if !whole => match request {
                Ok(Some(request)) => whole = incoming.pass_on(request).await?,
                Ok(None) | Err(_) => return Err(Failure::new(FailureKind::Aborted, STAGE, "the file has no end")),
            },
        }
    };
    match answered? {
        Some((Kind::Answer, payload)) => lease::decode(&payload),
        _ => Err(lease::unexpected()),
    }
}

/// A file on its way to the worker that writes it.
struct Incoming<'a> {
    writer: &'a mut OwnedWriteHalf,
    staging: Option<Staging>,
    /// Of the parts that were staged.
    taken: u32,
    answers: &'a WriteAnswers,
}

impl Incoming<'_> {
    /// Whether the worker wants no more: it was the last part, or the worker has ended, and said why.
    async fn pass_on(&mut self, request: pb::WriteFileRequest) -> Result<bool, Failure> {
        if request.data.len() > MAX_DATA_BYTES {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_DATA_BYTES} bytes at once")));
        }
        if !request.staging.is_empty() {
            self.stage(&request.staging).await?;
        }
        if let Some(part) = request.staged
            && !self.take(&part).await?
        {
            return Ok(true);
        }
        if !self.send(&request.data).await {
            return Ok(true);
        }
        if request.end {
            let _ = lease::send(self.writer, Kind::End, &[]).await;
        }
        Ok(request.end)
    }

    async fn stage(&mut self, path: &str) -> Result<(), Failure> {
        if self.staging.is_some() {
            return Err(Failure::invalid(STAGE, "parts are staged in one place already"));
        }
        self.staging = Some(Staging::open(path).await?);
        Ok(())
    }

    /// Whether the worker has it.
    async fn take(&mut self, part: &pb::StagedPart) -> Result<bool, Failure> {
        let staging = self.staging.as_ref();
        let staging = staging.ok_or_else(|| Failure::invalid(STAGE, "a part is staged before its place is known"))?;
        let data = staging.read(part).await?;
        self.taken += 1;
        let taken = pb::WriteFileResponse { entry: None, taken: self.taken };
        let _ = self.answers.send(Ok(taken)).await;
        Ok(self.send(&data).await)
    }

    /// False: the worker has ended.
    async fn send(&mut self, data: &[u8]) -> bool {
        for part in data.chunks(MAX_DATA_BYTES) {
            if lease::send(self.writer, Kind::Data, part).await.is_err() {
                return false;
            }
        }
        true
    }
}

async fn begin(
    agent: &Agent,
    scope: Option<&pb::FileScope>,
    kind: Kind,
    request: &impl Message,
) -> Result<Lease, Failure> {
    let mut lease = lease::take(agent, scope).await?;
    lease.send(kind, &request.encode_to_vec()).await?;
    Ok(lease)
}

async fn one<A: Message + Default>(
    agent: &Agent,
    scope: Option<&pb::FileScope>,
    kind: Kind,
    request: &impl Message,
) -> Result<A, Failure> {
    begin(agent, scope, kind, request).await?.answer().await
}

fn message<A: Message + Default>(kind: Kind, payload: Vec<u8>) -> Result<A, Failure> {
    if kind == Kind::Answer { lease::decode(&payload) } else { Err(lease::unexpected()) }
}

fn pass_on<A: Send + 'static>(
    mut lease: Lease,
    room: Option<OwnedSemaphorePermit>,
    part: impl Fn(Kind, Vec<u8>) -> Result<A, Failure> + Send + 'static,
) -> Answers<A> {
    let (sender, answers) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        let _room = room;
        loop {
            let next = tokio::select! {
                next = lease.next() => next,
                // the client has gone
                () = sender.closed() => return,
            };
            let answer = match next {
                Ok(None) => return lease.give_back(),
                Ok(Some((kind, payload))) => part(kind, payload),
                Err(failure) => Err(failure),
            };
            let failed = answer.is_err();
            if sender.send(answer.map_err(|failure| status(&failure))).await.is_err() || failed {
                return;
            }
        }
    });
    ReceiverStream::new(answers)
}
