//! The server's side of the workers: each is lent to one call at a time, and kept for a moment after it. A call that does not
//! come to its end, for whatever reason, lets go of its worker, which undoes what it has begun and ends; one that hangs is
//! killed.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, RwLockReadGuard, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::frame::{self, HEAD_BYTES, Kind};
use super::worker::decode_fault;
use crate::failure::{Failure, Kind as FailureKind, while_doing};
use crate::pb;
use crate::runtime::FileWorker;
use crate::server::service::Agent;
use crate::server::supervisor::Exit;
use crate::session::create::wrong_phase;
use crate::session::entry::{Phase, Session};
use crate::session::process::{self, Process};

pub const STAGE: &str = "files";
/// In a guest.
pub const MAX_WORKERS: usize = 64;
/// Of the workers those that watch, which they do for as long as somebody wants to know.
pub const MAX_WATCHES: usize = 32;
/// Calls come in a row, mostly.
const KEPT: Duration = Duration::from_secs(10);
/// Whom a name means, and what they may, can change.
const OLDEST: Duration = Duration::from_secs(60);
/// To be let go of, remove what is half done, and end.
const END_LIMIT: Duration = Duration::from_secs(5);
const ROOM_LIMIT: Duration = Duration::from_secs(10);
const MAX_USER_BYTES: usize = 256;
const MAX_GROUPS: usize = 1024;
const MAX_CAPABILITIES: usize = 64;

/// Of one session.
pub struct Workers {
    idle: Mutex<Vec<Idle>>,
    /// The session has exited, or is being deleted.
    ended: watch::Sender<bool>,
    live: watch::Sender<usize>,
    /// There has been none, yet.
    first: AtomicBool,
}

struct Idle {
    worker: Worker,
    since: Instant,
}

struct Worker {
    /// Whose rights it has.
    of: Vec<u8>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    born: Instant,
    end: Option<End>,
}

/// What its end takes.
struct End {
    exit: oneshot::Receiver<Exit>,
    pidfd: Option<OwnedFd>,
    session: Arc<Session>,
    room: OwnedSemaphorePermit,
}

impl Drop for Worker {
    /// Closing the socket, which follows, ends it.
    fn drop(&mut self) {
        let Some(End { mut exit, pidfd, session, room }) = self.end.take() else { return };
        tokio::spawn(async move {
            if timeout(END_LIMIT, &mut exit).await.is_err() {
                if let Some(pidfd) = &pidfd {
                    let _ = process::send_signal(pidfd, libc::SIGKILL);
                }
                let _ = timeout(END_LIMIT, exit).await;
            }
            session.files.live.send_modify(|count| *count = count.saturating_sub(1));
            drop(room);
        });
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            ended: watch::Sender::new(false),
            live: watch::Sender::new(0),
            first: true.into(),
        }
    }
}

impl Workers {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends them all, and what they are at, and waits a moment for those that have something to undo.
    pub async fn end(&self) {
        self.ended.send_replace(true);
        self.idle().clear();
        let _ = timeout(Duration::from_secs(1), self.live.subscribe().wait_for(|count| *count == 0)).await;
    }

    fn take(&self, of: &[u8]) -> Option<Worker> {
        let mut idle = self.idle();
        idle.retain_mut(|one| {
            let ended = one.worker.end.as_mut().is_none_or(|end| end.exit.try_recv().is_ok());
            !ended && one.worker.born.elapsed() < OLDEST
        });
        let index = idle.iter().rposition(|one| one.worker.of == of)?;
        Some(idle.swap_remove(index).worker)
    }

    fn drop_old(&self) {
        self.idle().retain(|one| one.since.elapsed() < KEPT);
    }
}

pub struct Lease {
    worker: Worker,
    ended: watch::Receiver<bool>,
}

/// A worker with the scope's rights.
pub async fn take(agent: &Agent, scope: Option<&pb::FileScope>) -> Result<Lease, Failure> {
    let scope = scope.ok_or_else(|| Failure::invalid(STAGE, "no scope given"))?;
    if scope.user.len() > MAX_USER_BYTES
        || scope.groups.len() > MAX_GROUPS
        || scope.capabilities.len() > MAX_CAPABILITIES
    {
        return Err(Failure::invalid(STAGE, "the user is longer than users are"));
    }
    let session = agent.sessions.get(STAGE, &scope.session_id)?;
    let of =
        pb::FileScope { base: Vec::new(), root: Vec::new(), attributes: Vec::new(), ..scope.clone() }.encode_to_vec();
    let ended = session.files.ended.subscribe();
    if let Some(worker) = session.files.take(&of) {
        return Ok(Lease { worker, ended });
    }
    let worker = start(agent, &session, scope, of).await?;
    Ok(Lease { worker, ended })
}

/// Who ends the session waits for its lock: what is being started lets go of that at once.
async fn start(agent: &Agent, session: &Arc<Session>, scope: &pb::FileScope, of: Vec<u8>) -> Result<Worker, Failure> {
    let mut ended = session.files.ended.subscribe();
    tokio::select! {
        biased;
        () = end_of(&mut ended) => Err(exited()),
        started = launch(agent, session, scope, of) => started,
    }
}

async fn launch(agent: &Agent, session: &Arc<Session>, scope: &pb::FileScope, of: Vec<u8>) -> Result<Worker, Failure> {
    drop(started(session).await?);
    // Without the lock: there is room when other sessions' calls have ended.
    let room = room(agent, session).await?;
    let (_phase, init) = started(session).await?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(while_doing(STAGE, "make a socket"))?;
    let made = agent.sessions.runtime.files(&session.container, file_worker(scope), theirs.into()).await?;
    session.files.live.send_modify(|count| *count += 1);
    let end = End { exit: made.exit, pidfd: process::open_pidfd(made.pid).ok(), session: Arc::clone(session), room };
    if session.files.first.swap(false, Ordering::Relaxed) {
        end_with_init(session, init.exit.clone());
    }
    let connect = |stream: std::os::unix::net::UnixStream| {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let (reader, writer) = connect(ours).map_err(while_doing(STAGE, "watch the socket"))?.into_split();
    Ok(Worker { of, reader, writer, born: Instant::now(), end: Some(end) })
}

/// Its lock and its init, where it has been started and has not exited.
async fn started(session: &Session) -> Result<(RwLockReadGuard<'_, Phase>, Arc<Process>), Failure> {
    let phase = session.phase.read().await;
    if *phase != Phase::Started {
        return Err(wrong_phase(STAGE, session, *phase));
    }
    let init = session.process(STAGE, "")?;
    if init.exit.now().is_some() || *session.files.ended.borrow() {
        return Err(exited());
    }
    Ok((phase, init))
}

/// For one more worker; those that only wait make some.
async fn room(agent: &Agent, session: &Session) -> Result<OwnedSemaphorePermit, Failure> {
    if agent.file_workers.available_permits() == 0 {
        session.files.idle().clear();
    }
    match timeout(ROOM_LIMIT, Arc::clone(&agent.file_workers).acquire_owned()).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(Failure::new(FailureKind::Exhausted, STAGE, format!("there are {MAX_WORKERS} calls at once"))),
    }
}

fn end_with_init(session: &Arc<Session>, mut exit: process::ExitWatch) {
    let session = Arc::clone(session);
    tokio::spawn(async move {
        exit.wait().await;
        session.files.end().await;
    });
}

/// Of the session.
pub async fn end_of(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

pub fn exited() -> Failure {
    Failure::new(FailureKind::State, STAGE, "the container has exited")
}

fn file_worker(scope: &pb::FileScope) -> FileWorker {
    let capabilities = &scope.capabilities;
    let process = serde_json::json!({
        "args": ["files"],
        "cwd": "/",
        "user": { "uid": scope.uid, "gid": scope.gid, "additionalGids": scope.groups },
        "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        "noNewPrivileges": true,
        "oomScoreAdj": scope.oom_score_adj,
    });
    FileWorker { user: scope.user.clone(), process }
}

impl Lease {
    pub async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Failure> {
        send(&mut self.worker.writer, kind, payload).await
    }

    /// The next part of an answer; None: the call has ended well.
    pub async fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, Failure> {
        tokio::select! {
            part = next(&mut self.worker.reader) => part,
            () = end_of(&mut self.ended) => Err(exited()),
        }
    }

    /// The one message that answers a call, which it ends.
    pub async fn answer<A: Message + Default>(mut self) -> Result<A, Failure> {
        let answer = match self.next().await? {
            Some((Kind::Answer, payload)) => decode(&payload)?,
            _ => return Err(unexpected()),
        };
        match self.next().await? {
            None => self.give_back(),
            Some(_) => return Err(unexpected()),
        }
        Ok(answer)
    }

    /// Sends and receives side by side.
    pub fn halves(&mut self) -> (&mut OwnedReadHalf, &mut OwnedWriteHalf, &mut watch::Receiver<bool>) {
        (&mut self.worker.reader, &mut self.worker.writer, &mut self.ended)
    }

    /// After the end of a call that has ended well.
    pub fn give_back(self) {
        let Some(session) = self.worker.end.as_ref().map(|end| Arc::clone(&end.session)) else { return };
        if *self.ended.borrow() {
            return;
        }
        session.files.idle().push(Idle { worker: self.worker, since: Instant::now() });
        let session = Arc::downgrade(&session);
        tokio::spawn(async move {
            sleep(KEPT).await;
            if let Some(session) = session.upgrade() {
                session.files.drop_old();
            }
        });
    }
}

pub async fn send(writer: &mut OwnedWriteHalf, kind: Kind, payload: &[u8]) -> Result<(), Failure> {
    let lost = while_doing(STAGE, "tell the worker");
    let sent = async {
        writer.write_all(&frame::head(kind, payload.len())).await?;
        writer.write_all(payload).await
    };
    sent.await.map_err(lost)
}

/// Not to be given up in the middle.
pub async fn next(reader: &mut OwnedReadHalf) -> Result<Option<(Kind, Vec<u8>)>, Failure> {
    let received = async {
        let mut head = [0; HEAD_BYTES];
        reader.read_exact(&mut head).await?;
        let (kind, length) = frame::read_head(head)?;
        let mut payload = Vec::with_capacity(length);
        reader.take(u64::try_from(length).unwrap_or_default()).read_to_end(&mut payload).await?;
        if payload.len() == length { Ok((kind, payload)) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    };
    let received: std::io::Result<(Kind, Vec<u8>)> = received.await;
    match received.map_err(while_doing(STAGE, "the worker has ended before the call"))? {
        (Kind::Done, _) => Ok(None),
        (Kind::Failed, fault) => {
            let (kind, what) = decode_fault(&fault);
            Err(Failure::new(kind, STAGE, what))
        }
        (kind @ (Kind::Answer | Kind::Data), payload) => Ok(Some((kind, payload))),
        _ => Err(unexpected()),
    }
}

pub fn decode<A: Message + Default>(payload: &[u8]) -> Result<A, Failure> {
    A::decode(payload).map_err(while_doing(STAGE, "the worker's answer is not one"))
}

pub fn unexpected() -> Failure {
    Failure::internal(STAGE, "the worker's answer is not one")
}

#[cfg(test)]
mod tests;
