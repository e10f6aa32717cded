//! The identity of the sandbox, which the Box gets after it has booted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use super::{entropy, shm, sysctl};
use crate::failure::{Failure, while_doing};
use crate::net::interface::{self, Interface};

const STAGE: &str = "configure sandbox";
const NS_PER_S: i64 = 1_000_000_000;

pub struct Sandbox {
    place: Place,
    state: Mutex<State>,
}

enum Place {
    Guest,
    /// Only what its namespaces hold may be set.
    Host {
        own_uts: bool,
    },
}

struct State {
    shm_mounted: bool,
}

pub struct Identity {
    /// Empty: stays.
    pub hostname: String,
    /// 0: stays.
    pub wall_clock_ns: i64,
    pub sysctls: BTreeMap<String, String>,
    /// 0: 64 MiB.
    pub shm_size_bytes: u64,
    pub interfaces: Vec<Interface>,
    /// Of the host; empty: none.
    pub entropy: Vec<u8>,
    /// Of the interfaces nothing stays.
    pub rehearsal: bool,
}

impl Sandbox {
    /// The guest that this process runs in.
    pub fn open() -> Self {
        Self { place: Place::Guest, state: Mutex::new(State { shm_mounted: false }) }
    }

    /// A pod of the host, in whose namespaces this process runs.
    pub fn on_host(own_uts: bool) -> Self {
        let state = State { shm_mounted: true };
        Self { place: Place::Host { own_uts }, state: Mutex::new(state) }
    }

    pub fn configure(&self, identity: &Identity) -> Result<(), Failure> {
        self.check(identity)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !identity.entropy.is_empty() {
            entropy::mix_in(STAGE, &identity.entropy)?;
        }
        if identity.wall_clock_ns != 0 {
            let now = TimeSpec::new(identity.wall_clock_ns / NS_PER_S, identity.wall_clock_ns % NS_PER_S);
            clock_settime(ClockId::CLOCK_REALTIME, now).map_err(while_doing(STAGE, "set the clock"))?;
        }
        if !identity.hostname.is_empty() {
            let set = nix::unistd::sethostname(&identity.hostname);
            set.map_err(while_doing(STAGE, format!("set the host name to {:?}", identity.hostname)))?;
        }
        if !state.shm_mounted {
            shm::mount_with(STAGE, identity.shm_size_bytes)?;
            state.shm_mounted = true;
        }
        for wanted in &identity.interfaces {
            interface::set_up(wanted).map_err(|error| Failure::new(error.kind(), STAGE, error))?;
        }
        for wanted in identity.interfaces.iter().filter(|_| identity.rehearsal) {
            interface::take_down(wanted).map_err(|error| Failure::new(error.kind(), STAGE, error))?;
        }
        for (name, value) in &identity.sysctls {
            sysctl::set(name, value).map_err(|error| Failure::invalid(STAGE, error))?;
        }
        Ok(())
    }

    fn check(&self, identity: &Identity) -> Result<(), Failure> {
        let Place::Host { own_uts } = self.place else { return Ok(()) };
        let of_host = [
            (identity.wall_clock_ns != 0, "the clock"),
            (!identity.hostname.is_empty() && !own_uts, "the host name"),
            (!identity.interfaces.is_empty(), "interfaces"),
            (identity.shm_size_bytes != 0, "/dev/shm"),
            (!identity.entropy.is_empty(), "the random numbers"),
        ];
        match of_host.iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(Failure::invalid(STAGE, format!("{what} of the host are not the pod's to set"))),
            None => Ok(()),
        }
    }
}
