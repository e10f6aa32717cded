use std::sync::Arc;

use crate::cgroup::stats;
use crate::failure::Failure;
use crate::guest::stats as guest;
use crate::server::service::Agent;
use crate::session::entry::Session;
use crate::{clock, pb};

const STAGE: &str = "stats";

pub fn run(agent: &Agent, request: pb::StatsRequest) -> Result<pb::StatsResponse, Failure> {
    let sessions = if request.session_id.is_empty() {
        agent.sessions.all()
    } else {
        vec![agent.sessions.get(STAGE, &request.session_id)?]
    };
    Ok(pb::StatsResponse { sessions: sessions.iter().filter_map(session).collect(), guest: Some(whole_guest()) })
}

fn session(session: &Arc<Session>) -> Option<pb::SessionStats> {
    let counters = stats::read(session.container.cgroup.as_ref()?);
    Some(pb::SessionStats {
        session_id: session.container.id.clone(),
        time_ns: clock::wall_ns(),
        cpu_usage_ns: counters.cpu_usage_ns,
        memory_usage_bytes: counters.memory_usage_bytes,
        memory_working_set_bytes: counters.memory_working_set_bytes,
        memory_rss_bytes: counters.memory_rss_bytes,
        memory_mapped_file_bytes: counters.memory_mapped_file_bytes,
        page_faults: counters.page_faults,
        major_page_faults: counters.major_page_faults,
        memory_limit_bytes: counters.memory_limit_bytes,
        pids: counters.pids,
        oom_kills: counters.oom_kills,
    })
}

fn whole_guest() -> pb::GuestStats {
    let memory = guest::memory();
    let interfaces = guest::interfaces().into_iter().map(|interface| pb::InterfaceStats {
        name: interface.name,
        rx_bytes: interface.rx_bytes,
        rx_errors: interface.rx_errors,
        tx_bytes: interface.tx_bytes,
        tx_errors: interface.tx_errors,
    });
    pb::GuestStats {
        memory_total_bytes: memory.total_bytes,
        memory_available_bytes: memory.available_bytes,
        interfaces: interfaces.collect(),
    }
}
