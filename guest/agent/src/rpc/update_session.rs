use serde_json::Value;

use crate::cgroup::limits::{LimitError, apply};
use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

const STAGE: &str = "update session";

pub async fn run(agent: &Agent, request: pb::UpdateSessionRequest) -> Result<pb::UpdateSessionResponse, Failure> {
    let session = agent.sessions.get(STAGE, &request.session_id)?;
    let _phase = session.phase.read().await;
    let cgroup = session.container.cgroup.as_ref();
    let cgroup = cgroup.ok_or_else(|| Failure::new(Kind::Unimplemented, STAGE, "this runtime has no cgroups"))?;
    let parsed = serde_json::from_slice(&request.oci_resources);
    let resources: Value = parsed.map_err(|error| Failure::invalid(STAGE, format!("resources: {error}")))?;
    apply(cgroup, &resources).map_err(|error| match error {
        LimitError::Invalid(_) => Failure::invalid(STAGE, error),
        LimitError::Write { .. } => Failure::internal(STAGE, error),
    })?;
    Ok(pb::UpdateSessionResponse {})
}
