//! One call of the program.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use super::{Program, errors};
use crate::failure::{Failure, Kind, while_doing};
use crate::runtime::Container;
use crate::server::supervisor::{Command, SpawnError};
use crate::session::stdio::Theirs;

/// A call takes half a second under emulation, and several on an overloaded machine.
const LIMIT: Duration = Duration::from_secs(60);
const MAX_LOG_BYTES: u64 = 16 * 1024;

pub struct Call<'a> {
    pub stage: &'static str,
    pub program: &'a Program,
    pub container: &'a Container,
    pub number: u64,
}

impl Call<'_> {
    /// A file of this call in the container's directory.
    pub fn file(&self, kind: &str) -> PathBuf {
        self.container.directory.join(self.name(kind))
    }

    /// Of that file.
    pub fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.number)
    }

    /// Runs to the end. What the program logged becomes the failure.
    pub async fn run(&self, arguments: &[String], stdio: Theirs) -> Result<(), Failure> {
        let log = self.file("log");
        let result = self.run_logging_to(&log, arguments, stdio).await;
        let _ = fs::remove_file(&log);
        result
    }

    async fn run_logging_to(&self, log: &std::path::Path, arguments: &[String], stdio: Theirs) -> Result<(), Failure> {
        let Program { path, arguments: common, search, .. } = self.program;
        let mut argv = vec![path.clone()];
        argv.extend_from_slice(common);
        argv.push(format!("--log={}", log.display()));
        argv.extend_from_slice(arguments);
        let command = Command { argv, env: vec![format!("PATH={search}")], cwd: "/".to_owned(), stdio };
        let child = self.program.supervisor.spawn(command).await.map_err(|error| match error {
            SpawnError::Exec(errno) => Failure::internal(self.stage, format!("execute {path}: {errno}")),
            other => Failure::internal(self.stage, other),
        })?;
        let Ok(exit) = timeout(LIMIT, child.exit).await else {
            let _ = kill(Pid::from_raw(child.pid), Signal::SIGKILL);
            return Err(Failure::internal(self.stage, format!("{path} did not end within {} s", LIMIT.as_secs())));
        };
        let exit = exit.map_err(while_doing(self.stage, format!("wait for {path}")))?;
        if exit.status == 0 {
            return Ok(());
        }
        let message = errors::last_message(&read_bounded(log));
        Err(errors::failure(self.stage, exit.status, message.as_deref()))
    }
}

fn read_bounded(path: &std::path::Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(MAX_LOG_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<errors::Cause> for Kind {
    fn from(cause: errors::Cause) -> Self {
        match cause {
            errors::Cause::ProgramMissing => Self::NotFound,
            errors::Cause::NotRunning => Self::State,
            errors::Cause::Other => Self::Internal,
        }
    }
}
