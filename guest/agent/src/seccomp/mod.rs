//! `agent seccomp`: an OCI profile into BPF, on the host, once per profile. In the guest it would cost some 70 ms for
//! each start and exec.

mod compile;
mod libseccomp;
mod profile;

use std::io::{Read, Write};
use std::process::ExitCode;

use crate::console;

const MAX_PROFILE_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
enum SeccompError {
    #[error("read the profile: {0}")]
    Read(std::io::Error),
    #[error("the profile is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the profile: {0}")]
    Profile(#[from] profile::ProfileError),
    #[error("libseccomp: {0}")]
    Compile(#[from] libseccomp::LibError),
    #[error("write the filter: {0}")]
    Write(std::io::Error),
}

/// Profile on standard input, array of struct sock_filter on standard output.
pub fn run() -> ExitCode {
    match filter_input() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::say(&format!("seccomp: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn filter_input() -> Result<(), SeccompError> {
    let mut text = Vec::new();
    std::io::stdin().take(MAX_PROFILE_BYTES).read_to_end(&mut text).map_err(SeccompError::Read)?;
    let profile = profile::parse(&serde_json::from_slice(&text)?)?;
    let program = compile::compile(&profile)?;
    let mut out = std::io::stdout();
    out.write_all(&program).and_then(|()| out.flush()).map_err(SeccompError::Write)
}
