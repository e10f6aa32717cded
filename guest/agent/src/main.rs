//! The agent of a Box: PID 1, the gRPC server for its sessions, and (on the host) the compiler of seccomp filters.
//! One binary, so that a Box pages in one file and host and guest can't disagree about a filter.

mod cgroup;
mod clock;
mod console;
mod failure;
mod files;
mod guest;
mod hold;
mod init;
mod kernel_file;
mod layout;
mod link;
mod net;
mod poll;
mod rpc;
mod runtime;
mod seccomp;
mod served;
mod server;
mod session;
mod step;

use std::process::ExitCode;

/// Messages and service of proto/agent/v1, made by build.rs.
mod pb {
    #![allow(clippy::all, clippy::pedantic, clippy::restriction)]
    tonic::include_proto!("agent.v1");
}

const USAGE: &str = "usage: agent host PATH --runc PROGRAM --cgroup GROUP [--new ipc,uts] [--users of-network]
                                                  a pod of the host, served on a socket
       agent serve-unix PATH [--runtime own|crun|plain]   serve the agent's API on a socket of the host
       agent hold [PROGRAM …]                     number 1 of a container that stays whatever runs in it
       agent seccomp                              OCI linux.seccomp (stdin) to BPF (stdout)
       agent --version
As PID 1 it takes no arguments: see a3s.channel and a3s.bare on the kernel's command line.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Before all: in a container it is number 1, too.
    if let ["hold", program @ ..] = words.as_slice() {
        return hold::run(program);
    }
    if std::process::id() == 1 {
        return init::run_as_pid_1();
    }
    match words.as_slice() {
        ["serve-unix", path] => init::run_on_host(path, server::RuntimeName::Plain),
        ["serve-unix", path, "--runtime", name] => match server::RuntimeName::parse(name) {
            Some(runtime) => init::run_on_host(path, runtime),
            None => usage(),
        },
        ["host", path, options @ ..] => {
            init::host::Options::parse(options).map_or_else(usage, |options| init::run_pod_on_host(path, options))
        }
        ["pause", options @ ..] => runtime::runc::pause::run(options),
        ["seccomp"] => seccomp::run(),
        ["plain-init", gate, program @ ..] => runtime::plain::init(gate, program),
        ["--version"] => {
            console::print(&format!("agent {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    console::say(USAGE);
    ExitCode::from(2)
}
