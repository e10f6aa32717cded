use super::to_the_end;
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::exec::forget;

pub async fn run(agent: &Agent, request: pb::ForgetExecRequest) -> Result<pb::ForgetExecResponse, Failure> {
    let agent = agent.clone();
    let work = async move { forget(&agent.sessions, &request.session_id, &request.exec_id).await };
    to_the_end("forget exec", work).await?;
    Ok(pb::ForgetExecResponse {})
}
