//! The gRPC server, child of PID 1: one tokio thread.

mod channel;
mod connection;
pub mod service;
pub mod supervisor;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::console;
use crate::init::host::Options;
use crate::runtime::guest::Choice;
use service::Agent;

/// Where connections come from, in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// The virtio port named `agent` (qemu).
    VirtioPort,
    /// vsock port 1025 (krun).
    Vsock,
}

/// Where the server listens.
#[derive(Debug)]
pub enum Listen {
    /// In a guest; None: find out which channel it has.
    Guest(Option<ChannelKind>),
    /// A socket of the host, for tests and the native handler.
    Unix(PathBuf),
}

/// What runs the sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeName {
    /// Cgroups and namespaces of a guest.
    Guest(Choice),
    /// No isolation at all: for tests of the API on a host.
    Plain,
    /// A pod of the host.
    Runc(Options),
}

impl RuntimeName {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            name => Choice::parse(name).map(Self::Guest),
        }
    }
}

#[derive(Debug)]
pub struct Start {
    pub listen: Listen,
    pub runtime: RuntimeName,
    /// CLOCK_BOOTTIME at which the agent began.
    pub started_ns: u64,
}

/// Serves until the process is ended from outside. Returns the exit code after a failure.
pub fn run(link: OwnedFd, start: Start) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console::say(&format!("start the event loop: {error}"));
            return 1;
        }
    };
    let ended = runtime.block_on(async {
        let agent = Agent::new(link, &start)?;
        channel::serve(start.listen, agent).await
    });
    if let Err(error) = ended {
        console::say(&format!("serve: {error}"));
    }
    1
}
