use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

pub fn run(agent: &Agent) -> Result<pb::DropCachesResponse, Failure> {
    let sandbox = agent.sandbox.as_ref();
    sandbox.ok_or_else(|| Failure::new(Kind::Unimplemented, "drop caches", "not on a host"))?.drop_caches()?;
    Ok(pb::DropCachesResponse {})
}
