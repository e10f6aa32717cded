//! Containers on a host, where nothing but the kernel's namespaces stands between them and it: made by runc. Execs, which
//! must be quick, are the agent's own.

mod allowed;
mod config;
mod gate;
pub mod pause;
pub mod read_only;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use allowed::Allowed;
use pause::Pause;

use super::own::child::sys::Context;
use super::own::{Filter, Joined, Own};
use super::program::Program;
use super::{Container, CreateSpec, ExecSpec, FileWorker, Launched, Reach, Runtime, users, wants_terminal};
use crate::cgroup::Parent;
use crate::failure::{Failure, while_doing};
use crate::guest::apparmor;
use crate::init::host::Options;
use crate::server::supervisor::Supervisor;
use crate::session::process::Process;
use crate::session::stdio::Theirs;

/// For hooks and for what runc itself looks up.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Runc {
    program: Program,
    own: Own,
    groups: Parent,
    pause: Pause,
    allowed: Allowed,
    /// The pod's user namespace.
    users: Option<OwnedFd>,
    /// All mounts of sysfs in a network namespace are of one file system, which is read-only for good where the first of
    /// them was: a privileged container could not write to its own. This one, which is nowhere, is the first.
    _writable_sys: Option<OwnedFd>,
}

impl Runc {
    /// `state` for runc's records.
    pub fn new(supervisor: Arc<Supervisor>, options: &Options, state: PathBuf, groups: Parent) -> io::Result<Self> {
        let own = Own::new(Arc::clone(&supervisor));
        let arguments = vec![format!("--root={}", state.display()), "--log-format=json".to_owned()];
        let path = options.runc.clone();
        let program = Program { supervisor, path, arguments, state, search: SEARCH, calls: 0.into() };
        let users = if options.has_users { Some(users::of_network()?) } else { None };
        let pause = Pause::new(users.is_some());
        let _writable_sys = Context::open(c"sysfs").and_then(|context| context.mount(0)).ok();
        Ok(Self { program, own, groups, pause, allowed: Allowed::here(), users, _writable_sys })
    }

    /// The spec of a container of a pod with a user namespace. runc gives the pipes to the process's user; that takes pipes
    /// of a user whom the namespace has.
    fn join_users(&self, spec: &mut Value, stdio: &Theirs) -> Result<(), Failure> {
        let path = self.users.as_ref().map(|users| format!("/proc/{}/fd/{}", std::process::id(), users.as_raw_fd()));
        if config::join_users(spec, path.as_deref())? {
            let (uid, gid) = config::first_ids(spec)?;
            users::give(stdio, uid, gid).map_err(while_doing("create session", "give the pipes to the container"))?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Runtime for Runc {
    fn name(&self) -> &'static str {
        "runc"
    }

    fn takes_profile(&self) -> bool {
        true
    }

    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let CreateSpec { mut spec, seccomp_bpf: bpf, seccomp_flags: flags } = create;
        if config::shares_pids(&spec) {
            config::join_pids(&mut spec, self.pause.pid(&self.program.supervisor).await?);
        }
        self.join_users(&mut spec, &stdio)?;
        let terminal = wants_terminal(spec.get("process"));
        let profile = apparmor::profile(&spec).map(str::to_owned);
        let joined = Joined { namespaces: config::namespaces(&spec)?, filter: Filter { bpf, flags }, profile };
        let config = config::of(spec, &self.groups.cgroups_path(&container.id), &self.allowed)?;
        let launched = self.program.create(container, config, terminal, stdio).await?;
        self.own.know(STAGE, &container.id, launched.pid, joined)?;
        Ok(launched)
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        if gate::open(&self.program.state.join(&container.id)).await {
            return Ok(());
        }
        // it knows why, or another way
        self.program.run("start session", container, &["start".to_owned(), container.id.clone()]).await
    }

    async fn exec(&self, container: &Container, mut exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        self.allowed.clamp(&mut exec.process);
        self.own.exec(container, exec, stdio).await
    }

    async fn files(&self, container: &Container, mut worker: FileWorker, socket: OwnedFd) -> Result<Launched, Failure> {
        self.allowed.clamp(&mut worker.process);
        self.own.files(container, worker, socket).await
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        super::signal_by_cgroup(process, signal, reach)
    }

    async fn update(&self, container: &Container, resources: &Value) -> Result<(), Failure> {
        const STAGE: &str = "update session";
        let file = container.directory.join("resources.json");
        fs::write(&file, resources.to_string()).map_err(while_doing(STAGE, "write the resources"))?;
        let verb = ["update".to_owned(), format!("--resources={}", file.display()), container.id.clone()];
        self.program.run(STAGE, container, &verb).await
    }

    /// Its processes and its cgroups are the session's to end; then all that runc has of it is a directory. There are no hooks.
    async fn delete(&self, container: &Container) -> Result<(), Failure> {
        self.own.forget(&container.id);
        match fs::remove_dir_all(self.program.state.join(&container.id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::internal("delete session", format!("remove runc's record: {error}")))
            }
            _ => Ok(()),
        }
    }
}
