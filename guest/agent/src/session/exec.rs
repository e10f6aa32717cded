//! More processes in a running session.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::create::wrong_phase;
use super::entry::{Phase, Session, Slot};
use super::process::Process;
use super::table::Table;
use super::{id, stdio};
use crate::cgroup::Cgroup;
use crate::clock;
use crate::failure::{Failure, Kind, while_doing};
use crate::runtime::{ExecSpec, Reach};

const STAGE: &str = "start exec";
const MAX_PROCESS_BYTES: usize = 1024 * 1024;
/// Finished ones count until they are forgotten.
const MAX_EXECS: usize = 256;
/// In all sessions: with `MAX_SESSIONS` it bounds the answer of ListSessions, which the host takes no longer than it may
/// legally be (`ListSessionsResponse` of the contract).
pub const MAX_EXECS_OF_ALL: usize = 4096;

pub struct Exec {
    pub session_id: String,
    pub exec_id: String,
    pub oci_process: Vec<u8>,
    pub stdin: bool,
}

pub struct Started {
    pub pid: i32,
    pub started_at_ns: i64,
}

pub async fn start(table: &Table, request: Exec) -> Result<Started, Failure> {
    id::check_exec(STAGE, &request.exec_id)?;
    let process = check(&request.oci_process)?;
    let session = table.get(STAGE, &request.session_id)?;
    let phase = session.phase.read().await;
    if *phase != Phase::Started {
        return Err(wrong_phase(STAGE, &session, *phase));
    }
    if session.process(STAGE, "")?.exit.now().is_some() {
        return Err(Failure::new(Kind::State, STAGE, format!("session {} has exited", request.session_id)));
    }
    // Outlives the lock of the facts: who waits finds what has become of it.
    let (_settles, settling) = watch::channel(());
    take_id(table, &session, &request.exec_id, settling)?;
    let launched = launch(table, &session, &request, process).await;
    let mut facts = session.facts();
    match launched {
        Ok(process) => {
            let started = Started { pid: process.pid, started_at_ns: clock::wall_ns() };
            facts.execs.insert(request.exec_id, Slot::Running(process));
            Ok(started)
        }
        Err(failure) => {
            facts.execs.remove(&request.exec_id);
            Err(failure)
        }
    }
}

/// Kills an exec with everything it has started, and forgets it. Success when it is not known. One whose start its caller has
/// given up goes on to be started: it is waited for, or nobody would forget it.
pub async fn forget(table: &Table, session_id: &str, exec_id: &str) -> Result<(), Failure> {
    const STAGE: &str = "forget exec";
    let Some(session) = table.find(session_id) else {
        return Ok(());
    };
    session.settled(exec_id).await;
    let Ok(process) = session.process(STAGE, exec_id) else {
        return Ok(());
    };
    if exec_id.is_empty() {
        return Err(Failure::invalid(STAGE, "no exec id given"));
    }
    end(table, &process).await.map_err(while_doing(STAGE, "end the exec"))?;
    session.facts().execs.remove(exec_id);
    Ok(())
}

/// Leaves no cgroup of an exec. One that still runs is killed with all it has started; what one that has exited left
/// running belongs to the container from then on, as a server started in the background does.
async fn end(table: &Table, process: &Process) -> Result<(), Failure> {
    match (&process.cgroup, process.exit.now()) {
        (Some(cgroup), Some(_)) => cgroup.join_parent(),
        _ => table.runtime.signal(process, libc::SIGKILL, Reach::All)?,
    }
    process.close().await;
    match &process.cgroup {
        Some(cgroup) => cgroup.remove().await.map_err(while_doing("forget exec", "remove the cgroup")),
        None => Ok(()),
    }
}

/// The name of an exec's cgroup below its session's.
pub fn cgroup_name(exec_id: &str) -> String {
    format!("exec-{exec_id}")
}

fn check(oci_process: &[u8]) -> Result<Value, Failure> {
    if oci_process.len() > MAX_PROCESS_BYTES {
        return Err(Failure::invalid(STAGE, format!("the process is longer than {MAX_PROCESS_BYTES} bytes")));
    }
    let parsed = serde_json::from_slice(oci_process);
    let process: Value =
        parsed.map_err(|error| Failure::invalid(STAGE, format!("the process is not JSON: {error}")))?;
    let arguments = process.get("args").and_then(Value::as_array);
    if arguments.is_none_or(Vec::is_empty) {
        return Err(Failure::invalid(STAGE, "the process has no args"));
    }
    Ok(process)
}

fn take_id(table: &Table, session: &Session, exec_id: &str, settling: watch::Receiver<()>) -> Result<(), Failure> {
    let _alone = table.taking_exec_id();
    let of_all: usize = table.all().iter().map(|one| one.facts().execs.len()).sum();
    let mut facts = session.facts();
    for (has, most) in [(facts.execs.len(), MAX_EXECS), (of_all, MAX_EXECS_OF_ALL)] {
        if has >= most {
            return Err(Failure::new(Kind::State, STAGE, format!("there are {most} execs already")));
        }
    }
    match facts.execs.entry(exec_id.to_owned()) {
        Entry::Occupied(_) => Err(Failure::new(Kind::Exists, STAGE, format!("exec {exec_id} exists"))),
        Entry::Vacant(free) => {
            free.insert(Slot::Starting(settling));
            Ok(())
        }
    }
}

async fn launch(table: &Table, session: &Session, request: &Exec, process: Value) -> Result<Arc<Process>, Failure> {
    let cgroup = session.container.cgroup.as_ref().map(|cgroup| cgroup.child(&cgroup_name(&request.exec_id)));
    if let Some(cgroup) = &cgroup {
        cgroup.create().map_err(while_doing(STAGE, "make the exec's cgroup"))?;
    }
    let made = launch_in(table, session, request, process, cgroup.clone()).await;
    if let (Err(_), Some(cgroup)) = (&made, &cgroup) {
        let _ = cgroup.kill_all();
        let _ = cgroup.remove().await;
    }
    made
}

async fn launch_in(
    table: &Table,
    session: &Session,
    request: &Exec,
    process: Value,
    cgroup: Option<Cgroup>,
) -> Result<Arc<Process>, Failure> {
    let (theirs, ours) = stdio::pipes(request.stdin).map_err(while_doing(STAGE, "make pipes"))?;
    let exec = ExecSpec { exec_id: request.exec_id.clone(), process, cgroup: cgroup.clone() };
    let launched = table.runtime.exec(&session.container, exec, theirs).await?;
    Process::adopt(STAGE, launched, ours, cgroup, session.container.cgroup.clone())
}

#[cfg(test)]
mod tests;
