use super::{exit_message, pid_message};
use crate::pb;
use crate::server::service::Agent;
use crate::session::entry::Session;

pub fn run(agent: &Agent) -> pb::ListSessionsResponse {
    let sessions = agent.sessions.all().iter().filter_map(|session| message(session)).collect();
    pb::ListSessionsResponse { sessions }
}

/// None for one that is being created.
fn message(session: &Session) -> Option<pb::Session> {
    let facts = session.facts();
    let init = facts.init.as_ref()?;
    let exit = init.exit.now();
    let state = match (exit, facts.started_at_ns) {
        (Some(_), _) => pb::SessionState::Exited,
        (None, 0) => pb::SessionState::Created,
        (None, _) => pb::SessionState::Running,
    };
    Some(pb::Session {
        session_id: session.container.id.clone(),
        state: state.into(),
        pid: pid_message(init.pid),
        created_at_ns: session.created_at_ns,
        started_at_ns: facts.started_at_ns,
        exit: exit.map(exit_message),
        exec_ids: facts.execs.keys().cloned().collect(),
    })
}
