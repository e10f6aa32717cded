use super::to_the_end;
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::delete::delete;

pub async fn run(agent: &Agent, request: pb::DeleteSessionRequest) -> Result<pb::DeleteSessionResponse, Failure> {
    let agent = agent.clone();
    to_the_end("delete session", async move { delete(&agent.sessions, &request.session_id).await }).await?;
    Ok(pb::DeleteSessionResponse {})
}
