use crate::failure::{Failure, Kind};
use crate::guest::sandbox::Identity;
use crate::net::interface::{Interface, Route};
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
        interfaces: request.interfaces.into_iter().map(interface).collect(),
    })?;
    Ok(pb::ConfigureSandboxResponse {})
}

fn interface(message: pb::Interface) -> Interface {
    let routes = message.routes.into_iter();
    Interface {
        name: message.name,
        mac: message.mac,
        mtu: message.mtu,
        addresses: message.addresses,
        routes: routes.map(|route| Route { destination: route.destination, gateway: route.gateway }).collect(),
    }
}
