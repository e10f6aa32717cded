//! Workers of a runtime that never gets them started.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

use super::take;
use crate::failure::{Failure, Kind};
use crate::guest::caches::Caches;
use crate::guest::huge_pages::HugePages;
use crate::link::packet;
use crate::pb;
use crate::runtime::{Container, CreateSpec, ExecSpec, FileWorker, Launched, Reach, Runtime};
use crate::served::ServedPorts;
use crate::server::service::{Agent, Parts};
use crate::server::supervisor::{Exit, Supervisor};
use crate::session::delete::delete;
use crate::session::entry::{Phase, Session};
use crate::session::process::Process;
use crate::session::stdio::{self, Theirs};
use crate::session::table::Table;
use crate::step::Step;

/// Longer than a session without a process takes to go, and less than a worker has to be started.
const SOON: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Stuck {
    asked: Notify,
    init: Mutex<Option<oneshot::Sender<Exit>>>,
}

#[tonic::async_trait]
impl Runtime for Arc<Stuck> {
    fn name(&self) -> &'static str {
        "stuck"
    }

    async fn create(&self, _: &Container, _: CreateSpec, _: Theirs) -> Result<Launched, Failure> {
        let (sender, exit) = oneshot::channel();
        *self.init.lock().unwrap() = Some(sender);
        let pid = i32::try_from(std::process::id()).unwrap();
        Ok(Launched { pid, exit, terminal: None })
    }

    async fn start(&self, _: &Container) -> Result<(), Failure> {
        Ok(())
    }

    async fn exec(&self, _: &Container, _: ExecSpec, _: Theirs) -> Result<Launched, Failure> {
        std::future::pending().await
    }

    async fn files(&self, _: &Container, _: FileWorker, _: OwnedFd) -> Result<Launched, Failure> {
        self.asked.notify_one();
        std::future::pending().await
    }

    fn signal(&self, _: &Process, _: i32, _: Reach) -> Result<(), Failure> {
        if let Some(init) = self.init.lock().unwrap().take() {
            let _ = init.send(Exit { status: libc::SIGKILL, at_ns: 1 });
        }
        Ok(())
    }

    async fn delete(&self, _: &Container) -> Result<(), Failure> {
        Ok(())
    }
}

/// With one started session, and room for so many workers; and the socket of its PID 1, without which it ends.
async fn agent(runtime: &Arc<Stuck>, room: usize) -> (Agent, OwnedFd) {
    let (nowhere, pages) = (PathBuf::from("/nonexistent"), HugePages::of_host());
    let own = Box::new(Arc::clone(runtime));
    let sessions = Table::new(own, nowhere.clone(), nowhere.clone(), None, Caches::of_host(), pages);
    let session = Arc::new(Session::new(Container { id: "s".to_owned(), directory: nowhere, cgroup: None }, 0));
    let (theirs, ours) = stdio::pipes(false).unwrap();
    let spec = CreateSpec { spec: serde_json::json!({}), seccomp_bpf: vec![], seccomp_flags: 0 };
    let launched = runtime.create(&session.container, spec, theirs).await.unwrap();
    session.facts().init = Some(Process::adopt("test", launched, ours, None, None).unwrap());
    *session.phase.write().await = Phase::Started;
    sessions.insert("test", &session).unwrap();
    let (pid_1, link) = packet::pair().unwrap();
    let agent = Agent::of(Parts {
        started_ns: 0,
        supervisor: Supervisor::new(link).unwrap(),
        sessions,
        sandbox: None,
        caches: Caches::of_host(),
        connections: Arc::new(Semaphore::new(1)),
        served: ServedPorts::new(),
        file_workers: Arc::new(Semaphore::new(room)),
        file_watches: Arc::new(Semaphore::new(1)),
    });
    (agent, pid_1)
}

fn asked(agent: &Agent) -> tokio::task::JoinHandle<Option<Failure>> {
    let agent = agent.clone();
    let scope = pb::FileScope { session_id: "s".to_owned(), ..Default::default() };
    tokio::spawn(async move { take(&agent, Some(&scope)).await.err() })
}

#[tokio::test]
async fn a_session_goes_while_a_worker_is_being_started_in_it() {
    let runtime = Arc::new(Stuck::default());
    let (agent, _pid_1) = agent(&runtime, 1).await;
    let asked = asked(&agent);
    runtime.asked.notified().await;
    timeout(SOON, delete(&agent.sessions, "s", &Step::default())).await.unwrap().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().kind, Kind::State);
    assert_eq!(agent.file_workers.available_permits(), 1);
}

#[tokio::test]
async fn who_waits_for_room_keeps_nobody_from_the_session() {
    let runtime = Arc::new(Stuck::default());
    let (agent, _pid_1) = agent(&runtime, 0).await;
    let asked = asked(&agent);
    let session = agent.sessions.find("s").unwrap();
    tokio::task::yield_now().await;
    assert!(session.phase.try_write().is_ok());
    timeout(SOON, delete(&agent.sessions, "s", &Step::default())).await.unwrap().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().kind, Kind::State);
}
