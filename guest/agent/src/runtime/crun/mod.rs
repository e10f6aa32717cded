//! crun, for all of a container's life.

mod config;

use std::fs;
use std::sync::Arc;

use super::program::Program;
use super::{Container, CreateSpec, ExecSpec, Launched, Reach, Runtime, wants_terminal};
use crate::failure::{Failure, while_doing};
use crate::layout::PROGRAMS;
use crate::runtime::own::capabilities;
use crate::server::supervisor::Supervisor;
use crate::session::process::Process;
use crate::session::stdio::Theirs;

const STATE: &str = "/run/crun";

pub struct Crun(Program);

impl Crun {
    pub fn new(supervisor: Arc<Supervisor>) -> Self {
        let arguments = ["--root", STATE, "--cgroup-manager=cgroupfs", "--log-format=json"].map(str::to_owned).to_vec();
        let (path, state, search, calls) = (format!("{PROGRAMS}/crun"), STATE.into(), PROGRAMS, 0.into());
        Self(Program { supervisor, path, arguments, state, search, calls })
    }
}

#[tonic::async_trait]
impl Runtime for Crun {
    fn name(&self) -> &'static str {
        "crun"
    }

    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        let terminal = wants_terminal(create.spec.get("process"));
        let config = config::of(container, create)?;
        self.0.create(container, config, terminal, stdio).await
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        self.0.run("start session", container, &["start".to_owned(), container.id.clone()]).await
    }

    async fn exec(&self, container: &Container, mut exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        let call = self.0.call("start exec", container);
        capabilities::leave_out(&mut exec.process, capabilities::RAW_IO);
        let terminal = wants_terminal(Some(&exec.process));
        let file = call.file("process");
        fs::write(&file, exec.process.to_string()).map_err(while_doing(call.stage, "write the process"))?;
        let mut verb = vec!["exec".to_owned(), "--detach".to_owned(), format!("--process={}", file.display())];
        if exec.cgroup.is_some() {
            verb.push(format!("--cgroup={}", crate::session::exec::cgroup_name(&exec.exec_id)));
        }
        verb.push(container.id.clone());
        let launched = self.0.launch(call, &verb, terminal, stdio).await;
        let _ = fs::remove_file(&file);
        launched
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        super::signal_by_cgroup(process, signal, reach)
    }

    async fn delete(&self, container: &Container) -> Result<(), Failure> {
        self.0.delete(container).await
    }
}
