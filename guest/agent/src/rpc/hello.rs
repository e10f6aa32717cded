use crate::guest::facts;
use crate::server::service::Agent;
use crate::{clock, pb};

/// Version of the contract that this agent speaks.
const PROTOCOL: u32 = 1;

pub fn run(agent: &Agent) -> pb::HelloResponse {
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
    }
}
