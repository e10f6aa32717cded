//! Lets a created session run its program.

use super::create::wrong_phase;
use super::entry::Phase;
use super::table::Table;
use crate::clock;
use crate::failure::{Failure, Kind};

const STAGE: &str = "start session";

/// Answers with the time at which the program began.
pub async fn start(table: &Table, id: &str) -> Result<i64, Failure> {
    let session = table.get(STAGE, id)?;
    let mut phase = session.phase.write().await;
    if *phase != Phase::Created {
        return Err(wrong_phase(STAGE, &session, *phase));
    }
    let init = session.process(STAGE, "")?;
    if init.exit.now().is_some() {
        return Err(Failure::new(Kind::State, STAGE, format!("session {id} has exited before it was started")));
    }
    table.runtime.start(&session.container).await?;
    *phase = Phase::Started;
    let now_ns = clock::wall_ns();
    // a short program may have exited before its runtime's call did
    let started_at_ns = init.exit.now().map_or(now_ns, |exit| exit.exited_at_ns.min(now_ns));
    session.facts().started_at_ns = started_at_ns;
    Ok(started_at_ns)
}
