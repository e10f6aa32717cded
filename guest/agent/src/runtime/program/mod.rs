//! A program that runs OCI containers, one call of it for each step: crun in a guest, runc on a host. What it makes becomes
//! a child of the first process, which is the reaper of all orphans.

mod call;
mod console;
mod errors;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Container, Launched};
use crate::failure::{Failure, while_doing};
use crate::server::supervisor::Supervisor;
use crate::session::stdio::{self, Theirs};
pub use call::Call;
use console::ConsoleSocket;

pub struct Program {
    pub supervisor: Arc<Supervisor>,
    pub path: String,
    /// Before the verb.
    pub arguments: Vec<String>,
    /// Its own records.
    pub state: PathBuf,
    /// PATH of its environment.
    pub search: &'static str,
    /// Makes names of files in a container's directory unique.
    pub calls: AtomicU64,
}

impl Program {
    pub fn call<'a>(&'a self, stage: &'static str, container: &'a Container) -> Call<'a> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Call { stage, program: self, container, number }
    }

    /// `create` with the bundle in the container's directory, whose config.json this writes.
    pub async fn create(
        &self,
        container: &Container,
        config: Vec<u8>,
        terminal: bool,
        stdio: Theirs,
    ) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let path = container.directory.join("config.json");
        fs::write(&path, config).map_err(while_doing(STAGE, "write config.json"))?;
        let verb = ["create".to_owned(), format!("--bundle={}", container.directory.display()), container.id.clone()];
        let launched = self.launch(self.call(STAGE, container), &verb, terminal, stdio).await;
        if launched.is_err() {
            let _ = self.delete(container).await;
        }
        launched
    }

    /// A call without stdio.
    pub async fn run(&self, stage: &'static str, container: &Container, arguments: &[String]) -> Result<(), Failure> {
        let stdio = stdio::nothing().map_err(while_doing(stage, "open /dev/null"))?;
        self.call(stage, container).run(arguments, stdio).await
    }

    /// Success for a container that it does not know.
    pub async fn delete(&self, container: &Container) -> Result<(), Failure> {
        if !self.state.join(&container.id).exists() {
            return Ok(());
        }
        let verb = ["delete".to_owned(), "--force".to_owned(), container.id.clone()];
        self.run("delete session", container, &verb).await
    }

    /// A call that leaves a process behind: its pid, exit and terminal.
    pub async fn launch(
        &self,
        call: Call<'_>,
        verb: &[String],
        terminal: bool,
        stdio: Theirs,
    ) -> Result<Launched, Failure> {
        let pid_file = call.file("pid");
        let console = if terminal {
            Some(ConsoleSocket::listen(call.stage, &call.container.directory, &call.name("tty"))?)
        } else {
            None
        };
        let mut arguments: Vec<String> = verb.to_vec();
        let at = 1.min(arguments.len());
        let mut options = vec![format!("--pid-file={}", pid_file.display())];
        options.extend(console.iter().map(|console| format!("--console-socket={}", console.path().display())));
        arguments.splice(at..at, options);
        let before = self.supervisor.mark();
        let ran = call.run(&arguments, stdio).await;
        let pid = read_pid(call.stage, &pid_file);
        let _ = fs::remove_file(&pid_file);
        ran?;
        let pid = pid?;
        let exit = self.supervisor.claim(pid, before);
        let terminal = match console {
            Some(console) => Some(console.master(call.stage).await?),
            None => None,
        };
        Ok(Launched { pid, exit, terminal })
    }
}

fn read_pid(stage: &'static str, path: &Path) -> Result<i32, Failure> {
    let text = fs::read_to_string(path).map_err(while_doing(stage, "read the pid file"))?;
    text.trim().parse().map_err(while_doing(stage, "parse the pid file"))
}
