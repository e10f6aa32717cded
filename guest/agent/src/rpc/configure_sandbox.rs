use crate::failure::{Failure, Kind};
use crate::guest::sandbox::Identity;
use crate::net::interface::Interface;
use crate::net::route::Route;
use crate::pb;
use crate::server::service::Agent;

const STAGE: &str = "configure sandbox";

pub fn run(agent: &Agent, request: pb::ConfigureSandboxRequest) -> Result<pb::ConfigureSandboxResponse, Failure> {
    let sandbox = agent.sandbox.as_ref();
    let sandbox = sandbox.ok_or_else(|| Failure::new(Kind::Unimplemented, STAGE, "not on a host"))?;
    sandbox.configure(&Identity {
        hostname: request.hostname,
        wall_clock_ns: request.wall_clock_ns,
        sysctls: request.sysctls.into_iter().collect(),
        shm_size_bytes: request.shm_size_bytes,
        entropy: request.entropy,
        rehearsal: request.rehearsal,
        interfaces: request.interfaces.into_iter().map(interface).collect(),
    })?;
    Ok(pb::ConfigureSandboxResponse {})
}

fn interface(message: pb::Interface) -> Interface {
    Interface {
        name: message.name,
        mac: message.mac,
        device_mac: message.device_mac,
        mtu: message.mtu,
        promiscuous: message.promiscuous,
        all_multicast: message.all_multicast,
        transmit_queue: message.transmit_queue,
        addresses: message.addresses,
        routes: message.routes.into_iter().map(route).collect(),
        neighbours: message.neighbours.into_iter().map(|entry| (entry.address, entry.mac)).collect(),
    }
}

fn route(message: pb::Route) -> Route {
    Route {
        destination: message.destination,
        gateway: message.gateway,
        source: message.source,
        metric: message.metric,
        mtu: message.mtu,
        on_link: message.on_link,
    }
}
