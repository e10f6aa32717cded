use super::to_the_end;
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::start::start;

pub async fn run(agent: &Agent, request: pb::StartSessionRequest) -> Result<pb::StartSessionResponse, Failure> {
    let agent = agent.clone();
    let work = async move { start(&agent.sessions, &request.session_id).await };
    let started_at_ns = to_the_end("start session", work).await?;
    Ok(pb::StartSessionResponse { started_at_ns })
}
