use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tonic::Streaming;

use super::names;
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;
use crate::session::process::Process;

const STAGE: &str = "input";
const MAX_DATA_BYTES: usize = 32 * 1024;

pub async fn run(agent: &Agent, mut requests: Streaming<pb::InputRequest>) -> Result<pb::InputResponse, Failure> {
    let mut process: Option<Arc<Process>> = None;
    loop {
        let request = match requests.message().await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(pb::InputResponse {}),
            Err(error) => return Err(Failure::invalid(STAGE, error.message())),
        };
        let process = match &process {
            Some(process) => process,
            None => {
                let (session, exec) = names(STAGE, request.process)?;
                process.insert(agent.sessions.process(STAGE, &session, &exec)?)
            }
        };
        if request.data.len() > MAX_DATA_BYTES {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_DATA_BYTES} bytes in one message")));
        }
        feed(process, &request.data).await?;
        if request.close {
            process.stdin.lock().await.take();
        }
    }
}

async fn feed(process: &Process, mut data: &[u8]) -> Result<(), Failure> {
    let closed = || Failure::new(Kind::State, STAGE, "the process takes no input (any more)");
    let stdin = process.stdin.lock().await.as_ref().map(Arc::clone).ok_or_else(closed)?;
    let mut exit = process.exit.clone();
    while !data.is_empty() {
        let written = tokio::select! {
            written = write(&stdin, data) => written,
            () = exit.wait() => return Err(Failure::new(Kind::State, STAGE, "the process has exited")),
        };
        match written {
            Ok(count) => data = data.get(count..).unwrap_or_default(),
            Err(_) => return Err(closed()), // nobody reads it
        }
    }
    Ok(())
}

async fn write(stdin: &AsyncFd<OwnedFd>, data: &[u8]) -> io::Result<usize> {
    loop {
        let mut guard = stdin.writable().await?;
        if let Ok(written) = guard.try_io(|stdin| Ok(nix::unistd::write(stdin.get_ref(), data)?)) {
            return written;
        }
    }
}
