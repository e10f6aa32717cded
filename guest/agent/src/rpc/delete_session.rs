use std::sync::Arc;

use super::{TELLING_LIMIT, telling_the_step};
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::delete::delete;
use crate::step::Step;

pub async fn run(agent: &Agent, request: pb::DeleteSessionRequest) -> Result<pb::DeleteSessionResponse, Failure> {
    let agent = agent.clone();
    let work = |step: Arc<Step>| async move { delete(&agent.sessions, &request.session_id, &step).await };
    telling_the_step("delete session", TELLING_LIMIT, work).await?;
    Ok(pb::DeleteSessionResponse {})
}
