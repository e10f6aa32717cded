use super::names;
use crate::failure::Failure;
use crate::pb;
use crate::runtime::Reach;
use crate::server::service::Agent;

const STAGE: &str = "signal";
const LAST_SIGNAL: i32 = 64;

pub fn run(agent: &Agent, request: pb::SignalRequest) -> Result<pb::SignalResponse, Failure> {
    let (session, exec) = names(STAGE, request.process)?;
    let signal = i32::try_from(request.signal).ok().filter(|signal| (1..=LAST_SIGNAL).contains(signal));
    let signal = signal.ok_or_else(|| Failure::invalid(STAGE, format!("{} is not a signal", request.signal)))?;
    let process = agent.sessions.process(STAGE, &session, &exec)?;
    let reach = if request.all { Reach::All } else { Reach::One };
    agent.sessions.runtime.signal(&process, signal, reach)?;
    Ok(pb::SignalResponse {})
}
