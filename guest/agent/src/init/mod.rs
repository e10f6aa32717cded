//! PID 1: small, single-threaded, no tokio. It sets the guest up, starts the server as its child, starts programs for
//! the server and reaps everything. `run_on_host` is the same pair of processes without the guest around it.

mod bare;
mod end;
pub mod host;
mod limits;
mod mounts;
mod node_settings;
mod raw_io;
mod reap;
mod root;
mod settings;
mod spawn;
mod stdio;
mod watch;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fork};

use crate::link::packet;
use crate::server::{self, Listen, RuntimeName};
use crate::{clock, console};

/// What the first process is, and so what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// PID 1 of a Box: the end is a reboot, which ends the VMM.
    Guest,
    /// A process on the host: the end kills its children and exits.
    Host,
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{what}: {errno}")]
    System { what: &'static str, errno: Errno },
}

/// proc(5), oom_score_adj.
const NEVER_KILLED: &str = "-1000";

fn during(what: &'static str) -> impl FnOnce(Errno) -> InitError {
    move |errno| InitError::System { what, errno }
}

/// Entry of PID 1. Returns only when even the reboot failed.
pub fn run_as_pid_1() -> ExitCode {
    let started_ns = clock::boot_ns();
    if let Err(error) = root::into_memory() {
        console::say(&error.to_string());
    }
    if let Err(error) = mounts::first() {
        console::say(&error.to_string());
    }
    if let Err(error) = stdio::open_console() {
        console::say(&format!("open the console: {error}"));
    }
    let settings = settings::read();
    if settings.bare {
        return bare::run();
    }
    mounts::for_the_server().iter().for_each(|error| console::say(&error.to_string()));
    if let Err(error) = raw_io::give_up() {
        console::say(&error.to_string());
    }
    limits::raise();
    let start = server::Start {
        listen: Listen::Guest(settings.channel),
        runtime: RuntimeName::Guest(settings.runtime),
        started_ns,
    };
    finish(run(Place::Guest, start), Place::Guest)
}

/// Entry of `agent serve-unix`.
pub fn run_on_host(path: &str, runtime: RuntimeName) -> ExitCode {
    serve_on_host(path, runtime)
}

/// Entry of `agent host`: what a native pod has in place of a Box. What its end leaves behind is in the pod's cgroup.
pub fn run_pod_on_host(path: &str, options: host::Options) -> ExitCode {
    if let Err(errno) = crate::runtime::runc::read_only::ensure() {
        console::say(&format!("run where containers can't write to this program: {errno}"));
        return ExitCode::FAILURE;
    }
    if let Err(error) = host::set_apart(&options) {
        console::say(&error);
        return ExitCode::FAILURE;
    }
    limits::raise();
    serve_on_host(path, RuntimeName::Runc(options))
}

fn serve_on_host(path: &str, runtime: RuntimeName) -> ExitCode {
    let start = server::Start { listen: Listen::Unix(path.into()), runtime, started_ns: clock::boot_ns() };
    if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
        console::say(&format!("become sub-reaper: {errno}"));
        return ExitCode::FAILURE;
    }
    finish(run(Place::Host, start), Place::Host)
}

fn run(place: Place, start: server::Start) -> Result<(), InitError> {
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    watched.add(Signal::SIGTERM);
    watched.add(Signal::SIGINT);
    watched.thread_block().map_err(during("block signals"))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&watched, flags).map_err(during("signalfd"))?;
    let (ours, theirs) = packet::pair().map_err(during("socketpair"))?;
    let server = start_server(place, theirs, &ours, &signals, start)?;
    if place == Place::Guest {
        set_up_the_rest();
    }
    watch::run(place, &ours, &signals, server).map_err(during("wait for events"))
}

/// What only containers need, done while the server starts and waits for its host, and only then: the server's answer
/// is what a Box's start waits for. Requests of the server wait until this is finished, so no container can be earlier.
fn set_up_the_rest() {
    limits::step_back(true);
    mounts::for_containers().iter().for_each(|error| console::say(&error.to_string()));
    node_settings::make().iter().for_each(|error| console::say(&error.to_string()));
    if let Err(error) = crate::session::roots::prepare() {
        console::say(&format!("roots of layers: {error}"));
    }
    if let Err(errno) = crate::net::loopback::up() {
        console::say(&format!("loopback up: {errno}"));
    }
    limits::step_back(false);
}

/// Forks the server. Nothing is executed: the pages are there already, and reading the binary again over the share
/// would cost start-up time.
fn start_server(
    place: Place,
    theirs: OwnedFd,
    ours: &OwnedFd,
    signals: &SignalFd,
    start: server::Start,
) -> Result<Pid, InitError> {
    // SAFETY: this process has one thread, so the child may allocate and lock as it likes.
    match unsafe { fork() }.map_err(during("fork the server"))? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _ = SigSet::all().thread_unblock();
            close_in_child(ours.as_fd());
            close_in_child(signals.as_fd());
            match place {
                // a pod that is out of memory loses one of its own processes, never the agent
                Place::Guest => drop(std::fs::write("/proc/self/oom_score_adj", NEVER_KILLED)),
                Place::Host => drop(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)),
            }
            let code = server::run(theirs, start);
            std::process::exit(code)
        }
    }
}

/// Closes the child's copy of a descriptor that its parent goes on to own.
fn close_in_child(descriptor: std::os::fd::BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let _ = nix::unistd::close(descriptor.as_raw_fd());
}

fn finish(result: Result<(), InitError>, place: Place) -> ExitCode {
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::say(&error.to_string());
            ExitCode::FAILURE
        }
    };
    end::end(place);
    code
}
