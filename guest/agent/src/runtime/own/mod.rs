//! The agent's own runtime. PID 1 forks for each container and exec; what is made then is in `child`, and says over a
//! socket how far it is (`wire`). This side keeps the limits and the cgroups, and what execs take from their container.

pub mod child;

pub mod capabilities;
mod channel;
mod device_cgroup;
mod device_program;
mod id_map;
pub mod options;
mod rlimits;
mod spec;
mod wire;

use std::collections::HashMap;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use serde_json::Value;

use super::{Container, CreateSpec, ExecSpec, FileWorker, Launched, Reach, Runtime};
use crate::cgroup::{Cgroup, limits};
use crate::failure::{Failure, while_doing};
use crate::server::supervisor::Supervisor;
use crate::session::process::Process;
use crate::session::stdio::Theirs;
use channel::Channel;
use spec::Spec;
pub use wire::Filter;
use wire::{Job, Verb};

pub struct Own {
    supervisor: Arc<Supervisor>,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// What is kept of a container.
struct Known {
    /// Of its init.
    pidfd: OwnedFd,
    /// That differ from the agent's, as CLONE_NEW* bits.
    namespaces: i32,
    filter: Filter,
    /// Of AppArmor.
    profile: Option<String>,
    /// To an init that waits for the word to go.
    waiting: tokio::sync::Mutex<Option<Channel>>,
}

/// What execs take from their container.
pub struct Joined {
    /// That differ from the agent's, as CLONE_NEW* bits.
    pub namespaces: i32,
    pub filter: Filter,
    /// Of AppArmor, as the spec's process names it.
    pub profile: Option<String>,
}

impl Own {
    pub fn new(supervisor: Arc<Supervisor>) -> Self {
        Self { supervisor, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over, for execs, a container that another runtime has made.
    pub fn know(&self, stage: &'static str, id: &str, pid: i32, joined: Joined) -> Result<(), Failure> {
        let Joined { namespaces, filter, profile } = joined;
        let pidfd = open_pidfd(pid).map_err(while_doing(stage, "open init"))?;
        let known = Known { pidfd, namespaces, filter, profile, waiting: None.into() };
        self.known().insert(id.to_owned(), Arc::new(known));
        Ok(())
    }

    pub fn forget(&self, id: &str) {
        self.known().remove(id);
    }

    fn find(&self, stage: &'static str, container: &Container) -> Result<Arc<Known>, Failure> {
        let found = self.known().get(&container.id).map(Arc::clone);
        found.ok_or_else(|| Failure::internal(stage, format!("container {} is not known", container.id)))
    }

    /// Sends the job to PID 1; what it makes reports over the channel.
    async fn launch(&self, request: Request<'_>) -> Result<Channel, Failure> {
        let Request { stage, job, stdio, cgroup, pidfd } = request;
        let failed = |what| while_doing(stage, what);
        let (ours, theirs) = crate::link::packet::pair().map_err(failed("make a channel"))?;
        let cgroup = cgroup.open().map_err(while_doing(stage, "open the cgroup"))?;
        let job = job.into_memfd().map_err(failed("write the job"))?;
        let mut descriptors = vec![job];
        descriptors.extend(stdio);
        descriptors.extend([theirs, cgroup]);
        descriptors.extend(pidfd);
        let channel = Channel::new(stage, ours)?;
        self.supervisor.launch(descriptors).await.map_err(while_doing(stage, "fork"))?;
        Ok(channel)
    }

    /// Everything but what would be in the way of init's own work.
    async fn make(
        &self,
        cgroup: &Cgroup,
        container: &Container,
        spec: &Spec,
        create: CreateSpec,
        stdio: Theirs,
    ) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let program = match &spec.linux.resources.devices {
            rules if rules.is_empty() => None,
            rules => Some(device_program::program(rules).map_err(|error| Failure::invalid(STAGE, error))?),
        };
        let (now, after) = split_resources(create.spec.pointer("/linux/resources"));
        self.supervisor.wait_until_set_up().await;
        cgroup.create().map_err(while_doing(STAGE, "make the cgroup"))?;
        limits::apply(cgroup, &now).map_err(|error| limit_failure(STAGE, &error))?;
        let filter = Filter { bpf: create.seccomp_bpf, flags: create.seccomp_flags };
        let json = create.spec.to_string().into_bytes();
        let job = Job { verb: Verb::Create, namespaces: 0, filter: filter.clone(), old_groups: vec![], json };
        let before = self.supervisor.mark();
        let request = Request { stage: STAGE, job, stdio, cgroup, pidfd: None };
        let mut channel = self.launch(request).await?;
        let made = channel.wait_until_ready().await?;
        let exit = self.supervisor.claim(made.pid, before);
        limits::apply(cgroup, &after).map_err(|error| limit_failure(STAGE, &error))?;
        if let Some(program) = program {
            let directory = cgroup.open().map_err(while_doing(STAGE, "open the cgroup"))?;
            device_cgroup::attach(&directory, &program).map_err(while_doing(STAGE, "set the device rules"))?;
        }
        let known = Known {
            pidfd: open_pidfd(made.pid).map_err(while_doing(STAGE, "open init"))?,
            namespaces: spec.linux.namespaces.iter().fold(0, |bits, one| bits | one.kind.flag()),
            filter,
            profile: spec.process.apparmor_profile.clone(),
            waiting: Some(channel).into(),
        };
        self.known().insert(container.id.clone(), Arc::new(known));
        Ok(Launched { pid: made.pid, exit, terminal: made.terminal })
    }
}

struct Request<'a> {
    stage: &'static str,
    job: Job,
    stdio: Theirs,
    /// Where what is made is born.
    cgroup: &'a Cgroup,
    /// Of the container that is joined.
    pidfd: Option<OwnedFd>,
}

#[tonic::async_trait]
impl Runtime for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let spec = spec::parse(&create.spec).map_err(|error| Failure::invalid(STAGE, format!("the spec: {error}")))?;
        let cgroup = cgroup_of(STAGE, container)?;
        self.make(cgroup, container, &spec, create, stdio).await
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        const STAGE: &str = "start session";
        let known = self.find(STAGE, container)?;
        let channel = known.waiting.lock().await.take();
        let channel = channel.ok_or_else(|| Failure::internal(STAGE, "init does not wait"))?;
        channel.go().await
    }

    async fn exec(&self, container: &Container, exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "start exec";
        let known = self.find(STAGE, container)?;
        spec::parse_process(&exec.process).map_err(|error| Failure::invalid(STAGE, format!("the process: {error}")))?;
        let cgroup = exec.cgroup.as_ref().map_or_else(|| cgroup_of(STAGE, container), Ok)?;
        let pidfd = known.pidfd.try_clone().map_err(while_doing(STAGE, "duplicate the container's pidfd"))?;
        let json = exec.process.to_string().into_bytes();
        let old_groups = container.cgroup.as_ref().map(Cgroup::old_paths).unwrap_or_default();
        let job =
            Job { verb: Verb::Exec, namespaces: known.namespaces, filter: known.filter.clone(), old_groups, json };
        let before = self.supervisor.mark();
        let request = Request { stage: STAGE, job, stdio, cgroup, pidfd: Some(pidfd) };
        let made = self.launch(request).await?.wait_until_executed().await?;
        Ok(Launched { pid: made.pid, exit: self.supervisor.claim(made.pid, before), terminal: made.terminal })
    }

    async fn files(&self, container: &Container, mut worker: FileWorker, socket: OwnedFd) -> Result<Launched, Failure> {
        const STAGE: &str = crate::files::lease::STAGE;
        let known = self.find(STAGE, container)?;
        let cgroup = cgroup_of(STAGE, container)?;
        let pidfd = known.pidfd.try_clone().map_err(while_doing(STAGE, "duplicate the container's pidfd"))?;
        let null = || std::fs::File::open("/dev/null").map(OwnedFd::from).map_err(while_doing(STAGE, "open /dev/null"));
        let stdio = [socket, null()?, null()?];
        // what the container's programs may not write nobody writes in their place
        if let (Some(profile), Some(process)) = (&known.profile, worker.process.as_object_mut()) {
            process.insert("apparmorProfile".to_owned(), Value::from(profile.as_str()));
        }
        let json = serde_json::to_vec(&worker).map_err(while_doing(STAGE, "write the job"))?;
        let old_groups = container.cgroup.as_ref().map(Cgroup::old_paths).unwrap_or_default();
        let filter = Filter::default();
        let job = Job { verb: Verb::Files, namespaces: known.namespaces, filter, old_groups, json };
        let before = self.supervisor.mark();
        let request = Request { stage: STAGE, job, stdio, cgroup, pidfd: Some(pidfd) };
        let made = self.launch(request).await?.wait_until_executed().await?;
        Ok(Launched { pid: made.pid, exit: self.supervisor.claim(made.pid, before), terminal: None })
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        super::signal_by_cgroup(process, signal, reach)
    }

    /// Its processes and its cgroup are the session's to end.
    async fn delete(&self, container: &Container) -> Result<(), Failure> {
        self.forget(&container.id);
        Ok(())
    }
}

fn cgroup_of<'a>(stage: &'static str, container: &'a Container) -> Result<&'a Cgroup, Failure> {
    container.cgroup.as_ref().ok_or_else(|| Failure::internal(stage, "this runtime needs cgroups"))
}

/// What is set before init is born, and what only after it has made the container: the CPU quota.
fn split_resources(resources: Option<&Value>) -> (Value, Value) {
    let mut now = resources.filter(|value| value.is_object()).cloned().unwrap_or_else(|| serde_json::json!({}));
    let mut after = serde_json::Map::new();
    if let Some(cpu) = now.get_mut("cpu").and_then(Value::as_object_mut) {
        for name in ["quota", "period"] {
            after.extend(cpu.remove(name).map(|value| (name.to_owned(), value)));
        }
    }
    (now, serde_json::json!({ "cpu": after }))
}

fn limit_failure(stage: &'static str, error: &limits::LimitError) -> Failure {
    match error {
        limits::LimitError::Invalid(_) => Failure::invalid(stage, error),
        limits::LimitError::Write { .. } => Failure::internal(stage, error),
    }
}

fn open_pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: a system call without pointers.
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::split_resources;
    use serde_json::json;

    #[test]
    fn the_cpu_quota_comes_after_the_rest() {
        let resources = json!({"cpu": {"quota": 1, "period": 2, "shares": 3}, "memory": {"limit": 4}});
        let (now, after) = split_resources(Some(&resources));
        assert_eq!(now, json!({"cpu": {"shares": 3}, "memory": {"limit": 4}}));
        assert_eq!(after, json!({"cpu": {"quota": 1, "period": 2}}));
        assert_eq!(split_resources(None), (json!({}), json!({"cpu": {}})));
    }
}
