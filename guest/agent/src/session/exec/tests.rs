//! Execs of a runtime that takes its time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::{Exec, forget, start};
use crate::failure::{Failure, Kind};
use crate::guest::caches::Caches;
use crate::guest::huge_pages::HugePages;
use crate::runtime::{Container, CreateSpec, ExecSpec, Launched, Reach, Runtime};
use crate::server::supervisor::Exit;
use crate::session::delete::delete;
use crate::session::entry::{Phase, Session};
use crate::session::process::Process;
use crate::session::stdio::{self, Theirs};
use crate::session::table::Table;
use crate::step::Step;

type Exits = Vec<oneshot::Sender<Exit>>;

/// A runtime whose execs start when they are let, or killed, or fail to.
#[derive(Default)]
struct Slow {
    asked: Notify,
    go: Notify,
    fails: bool,
    killed: Mutex<u32>,
    exits: Mutex<Exits>,
}

impl Slow {
    fn launch(&self) -> Launched {
        let (sender, exit) = oneshot::channel();
        self.exits.lock().unwrap().push(sender);
        let pid = i32::try_from(std::process::id()).unwrap();
        Launched { pid, exit, terminal: None }
    }
}

#[tonic::async_trait]
impl Runtime for Arc<Slow> {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn create(&self, _: &Container, _: CreateSpec, _: Theirs) -> Result<Launched, Failure> {
        Ok(self.launch())
    }

    async fn start(&self, _: &Container) -> Result<(), Failure> {
        Ok(())
    }

    async fn exec(&self, _: &Container, _: ExecSpec, _: Theirs) -> Result<Launched, Failure> {
        self.asked.notify_one();
        self.go.notified().await;
        if self.fails {
            return Err(Failure::new(Kind::NotFound, "start exec", "no such program"));
        }
        Ok(self.launch())
    }

    fn signal(&self, _: &Process, _: i32, _: Reach) -> Result<(), Failure> {
        *self.killed.lock().unwrap() += 1;
        self.go.notify_one();
        for exit in self.exits.lock().unwrap().drain(..) {
            let _ = exit.send(Exit { status: libc::SIGKILL, at_ns: 1 });
        }
        Ok(())
    }

    async fn delete(&self, _: &Container) -> Result<(), Failure> {
        Ok(())
    }
}

/// One started session, whose execs are the runtime's.
async fn table(runtime: &Arc<Slow>) -> (Arc<Table>, Arc<Session>) {
    let (nowhere, pages) = (PathBuf::from("/nonexistent"), HugePages::of_host());
    let own = Box::new(Arc::clone(runtime));
    let table = Table::new(own, nowhere.clone(), nowhere.clone(), None, Caches::of_host(), pages);
    let session = Arc::new(Session::new(Container { id: "s".to_owned(), directory: nowhere, cgroup: None }, 0));
    let (_, ours) = stdio::pipes(false).unwrap();
    let init = Process::adopt("test", runtime.launch(), ours, None, None).unwrap();
    session.facts().init = Some(init);
    *session.phase.write().await = Phase::Started;
    table.insert("test", &session).unwrap();
    (Arc::new(table), session)
}

fn wanted() -> Exec {
    let process: Value = serde_json::json!({ "args": ["sleep"] });
    let oci_process = process.to_string().into_bytes();
    Exec { session_id: "s".to_owned(), exec_id: "e".to_owned(), oci_process, stdin: false }
}

/// Forgets an exec while it is being started; gives how many processes were killed.
async fn forgotten_while_it_starts(fails: bool) -> u32 {
    let runtime = Arc::new(Slow { fails, ..Slow::default() });
    let (table, session) = table(&runtime).await;
    let starting = {
        let table = Arc::clone(&table);
        tokio::spawn(async move { start(&table, wanted()).await })
    };
    runtime.asked.notified().await;
    let forgetting = {
        let table = Arc::clone(&table);
        tokio::spawn(async move { forget(&table, "s", "e").await })
    };
    tokio::task::yield_now().await;
    runtime.go.notify_one();
    assert_eq!(starting.await.unwrap().is_err(), fails);
    timeout(Duration::from_secs(5), forgetting).await.unwrap().unwrap().unwrap();
    assert!(session.facts().execs.is_empty());
    *runtime.killed.lock().unwrap()
}

#[tokio::test]
async fn an_exec_that_is_forgotten_while_it_starts_is_killed() {
    assert_eq!(forgotten_while_it_starts(false).await, 1);
}

#[tokio::test]
async fn an_exec_that_can_not_be_started_is_forgotten_all_the_same() {
    assert_eq!(forgotten_while_it_starts(true).await, 0);
}

#[tokio::test]
async fn a_session_goes_while_an_exec_is_being_started_in_it() {
    let runtime = Arc::new(Slow::default());
    let (table, _) = table(&runtime).await;
    let starting = {
        let table = Arc::clone(&table);
        tokio::spawn(async move { start(&table, wanted()).await })
    };
    runtime.asked.notified().await;
    timeout(Duration::from_secs(5), delete(&table, "s", &Step::default())).await.unwrap().unwrap();
    assert!(starting.await.unwrap().is_ok());
    assert!(table.all().is_empty());
}

#[tokio::test]
async fn an_exec_that_is_not_known_is_forgotten() {
    let (table, _) = table(&Arc::default()).await;
    forget(&table, "s", "e").await.unwrap();
}
