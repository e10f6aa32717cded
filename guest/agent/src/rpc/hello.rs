use crate::guest::facts;
use crate::server::service::Agent;
use crate::{clock, pb};

/// Version of the contract that this agent speaks.
const PROTOCOL: u32 = 1;

pub async fn run(agent: &Agent, request: pb::HelloRequest) -> pb::HelloResponse {
    if request.when_set_up {
        agent.supervisor.wait_until_set_up().await;
    }
    let set_up = agent.supervisor.is_set_up(); // before what depends on it
    pb::HelloResponse {
        protocol: PROTOCOL,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: facts::kernel_release(),
        clocksource: facts::clocksource(),
        agent_started_boottime_ns: agent.started_ns,
        now_boottime_ns: clock::boot_ns(),
        runtime: agent.sessions.runtime.name().to_owned(),
        huge_page_kib: agent.sessions.huge_pages.sizes().to_vec(),
        layered_roots: crate::session::roots::are_possible(),
        staged_writes: true,
        apparmor: crate::guest::apparmor::is_on(),
        set_up,
    }
}
