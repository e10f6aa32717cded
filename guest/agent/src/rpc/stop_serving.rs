//! A port of the pod is the host's no more.

use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;

pub fn run(agent: &Agent, request: &pb::StopServingRequest) -> Result<pb::StopServingResponse, Failure> {
    let invalid = |_| Failure::invalid("stop serving", format!("{} is not a port", request.port));
    agent.served.stop(u16::try_from(request.port).map_err(invalid)?);
    Ok(pb::StopServingResponse {})
}
