use crate::failure::{Failure, Kind};
use crate::pb;
use crate::server::service::Agent;

pub async fn run(agent: &Agent) -> Result<pb::DropCachesResponse, Failure> {
    if agent.sandbox.is_none() {
        return Err(Failure::new(Kind::Unimplemented, "drop caches", "not on a host"));
    }
    agent.caches.drop_unused().await?;
    Ok(pb::DropCachesResponse {})
}
