//! crun, one call of the program for each step. Init and execs become children of PID 1, which is the reaper of all
//! orphans.

mod call;
mod config;
mod console;
mod errors;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Container, CreateSpec, ExecSpec, Launched, Reach, Runtime, wants_terminal};
use crate::failure::{Failure, while_doing};
use crate::server::supervisor::Supervisor;
use crate::session::process::Process;
use crate::session::stdio::{self, Theirs};
use call::Call;
use console::ConsoleSocket;

pub struct Crun {
    supervisor: Arc<Supervisor>,
    /// Makes names of files in a container's folder unique.
    calls: AtomicU64,
}

impl Crun {
    pub fn new(supervisor: Arc<Supervisor>) -> Self {
        Self { supervisor, calls: AtomicU64::new(0) }
    }

    fn call<'a>(&'a self, stage: &'static str, container: &'a Container) -> Call<'a> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Call { stage, supervisor: &self.supervisor, container, number }
    }

    /// A call that leaves a process behind: its pid, exit and terminal.
    async fn launch(
        &self,
        call: Call<'_>,
        verb: &[String],
        terminal: bool,
        stdio: Theirs,
    ) -> Result<Launched, Failure> {
        let pid_file = call.file("pid");
        let console = if terminal { Some(ConsoleSocket::listen(call.stage, call.file("tty"))?) } else { None };
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

#[tonic::async_trait]
impl Runtime for Crun {
    fn name(&self) -> &'static str {
        "crun"
    }

    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let terminal = wants_terminal(create.spec.get("process"));
        let config = config::of(container, create)?;
        let path = container.folder.join("config.json");
        fs::write(&path, config).map_err(while_doing(STAGE, "write config.json"))?;
        let verb = ["create".to_owned(), format!("--bundle={}", container.folder.display()), container.id.clone()];
        let launched = self.launch(self.call(STAGE, container), &verb, terminal, stdio).await;
        if launched.is_err() {
            let _ = self.delete(container).await;
        }
        launched
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        let call = self.call("start session", container);
        let stdio = stdio::nothing().map_err(while_doing(call.stage, "open /dev/null"))?;
        call.run(&["start".to_owned(), container.id.clone()], stdio).await
    }

    async fn exec(&self, container: &Container, exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        let call = self.call("start exec", container);
        let terminal = wants_terminal(Some(&exec.process));
        let file = call.file("process");
        fs::write(&file, exec.process.to_string()).map_err(while_doing(call.stage, "write the process"))?;
        let mut verb = vec!["exec".to_owned(), "--detach".to_owned(), format!("--process={}", file.display())];
        if exec.cgroup.is_some() {
            verb.push(format!("--cgroup={}", crate::session::exec::cgroup_name(&exec.exec_id)));
        }
        verb.push(container.id.clone());
        let launched = self.launch(call, &verb, terminal, stdio).await;
        let _ = fs::remove_file(&file);
        launched
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        super::signal_by_cgroup(process, signal, reach)
    }

    async fn delete(&self, container: &Container) -> Result<(), Failure> {
        let call = self.call("delete session", container);
        if !Path::new(call::STATE).join(&container.id).exists() {
            return Ok(());
        }
        let stdio = stdio::nothing().map_err(while_doing(call.stage, "open /dev/null"))?;
        call.run(&["delete".to_owned(), "--force".to_owned(), container.id.clone()], stdio).await
    }
}

fn read_pid(stage: &'static str, path: &Path) -> Result<i32, Failure> {
    let text = fs::read_to_string(path).map_err(while_doing(stage, "read the pid file"))?;
    text.trim().parse().map_err(while_doing(stage, "parse the pid file"))
}
