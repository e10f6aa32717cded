//! Removes a session with everything of it.

use std::fs;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::create::release;
use super::entry::{Phase, Session};
use super::table::Table;
use crate::failure::{Failure, while_doing};
use crate::runtime::Reach;
use crate::step::Step;

const STAGE: &str = "delete session";
/// From SIGKILL to the exit: longer only when a process hangs in the kernel.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// Success for an unknown id. After a failure the session is still there, and delete can be tried again.
pub async fn delete(table: &Table, id: &str, step: &Step) -> Result<(), Failure> {
    let Some(session) = table.find(id) else { return Ok(()) };
    step.begin("kill its processes");
    // What is being started has the lock for as long as that takes: it ends with what it is started in.
    end_all(table, &session).await?;
    step.begin("wait for what is being done with it");
    let mut phase = session.phase.write().await;
    step.begin("kill its processes");
    if *phase == Phase::Gone {
        return Ok(());
    }
    end_all(table, &session).await?;
    step.begin("remove the container");
    table.runtime.delete(&session.container).await?;
    step.begin("wait for its processes to end");
    wait_for_exits(&session).await?;
    step.begin("remove the cgroup");
    if let Some(cgroup) = &session.container.cgroup {
        cgroup.remove().await.map_err(while_doing(STAGE, "remove the cgroup"))?;
    }
    match fs::remove_dir_all(&session.container.directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::internal(STAGE, format!("remove the directory: {error}")));
        }
        _ => {}
    }
    step.begin("let its volumes go");
    for process in session.processes() {
        process.close().await;
    }
    release(table, &session).await;
    *phase = Phase::Gone;
    table.remove(id);
    Ok(())
}

async fn end_all(table: &Table, session: &Session) -> Result<(), Failure> {
    session.files.end().await;
    for process in session.processes() {
        table.runtime.signal(&process, libc::SIGKILL, Reach::All)?;
    }
    Ok(())
}

async fn wait_for_exits(session: &Session) -> Result<(), Failure> {
    for process in session.processes() {
        let mut exit = process.exit.clone();
        if timeout(EXIT_LIMIT, exit.wait()).await.is_err() {
            let what = format!("process {} did not end within {} s of SIGKILL", process.pid, EXIT_LIMIT.as_secs());
            return Err(Failure::internal(STAGE, what));
        }
    }
    Ok(())
}
