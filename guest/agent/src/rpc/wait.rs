use super::{exit_message, names};
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

const STAGE: &str = "wait";

pub async fn run(agent: &Agent, request: pb::WaitRequest) -> Result<pb::WaitResponse, Failure> {
    let (session, exec) = names(STAGE, request.process)?;
    let mut exit = agent.sessions.process(STAGE, &session, &exec)?.exit.clone();
    let status = exit.status().await;
    let status = status.ok_or_else(|| Failure::new(Kind::NotFound, STAGE, "the process's exit was lost"))?;
    Ok(pb::WaitResponse { exit: Some(exit_message(status)) })
}
