use serde_json::Value;

use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::oom_score;
use crate::session::update::update;

const STAGE: &str = "update session";

pub async fn run(agent: &Agent, request: pb::UpdateSessionRequest) -> Result<pb::UpdateSessionResponse, Failure> {
    let session = agent.sessions.get(STAGE, &request.session_id)?;
    let _phase = session.phase.read().await;
    let parsed = serde_json::from_slice(&request.oci_resources);
    let resources: Value = parsed.map_err(|error| Failure::invalid(STAGE, format!("resources: {error}")))?;
    request.oom_score_adj.map_or(Ok(()), |score| oom_score::check(STAGE, score))?;
    update(&agent.sessions, &session, &resources).await?;
    if let Some(score) = request.oom_score_adj {
        oom_score::set(&session, score);
    }
    Ok(pb::UpdateSessionResponse {})
}
