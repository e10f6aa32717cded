use std::sync::Arc;

use crate::cgroup::{Cgroup, stats, stats::Extent};
use crate::failure::Failure;
use crate::guest::{process_stats, stats as guest};
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
    Ok(pb::StatsResponse {
        sessions: sessions.iter().filter_map(|one| session(one, &request)).collect(),
        guest: Some(whole_guest(&request)),
    })
}

fn session(session: &Arc<Session>, wish: &pb::StatsRequest) -> Option<pb::SessionStats> {
    let cgroup = session.container.cgroup.as_ref()?;
    let counters = stats::read(cgroup, if wish.brief { Extent::Usage } else { Extent::Everything });
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
        cpu_user_ns: counters.cpu_user_ns,
        cpu_system_ns: counters.cpu_system_ns,
        cpu_periods: counters.cpu_periods,
        cpu_throttled_periods: counters.cpu_throttled_periods,
        cpu_throttled_ns: counters.cpu_throttled_ns,
        memory_cache_bytes: counters.memory_cache_bytes,
        memory_kernel_bytes: counters.memory_kernel_bytes,
        memory_active_file_bytes: counters.memory_active_file_bytes,
        memory_inactive_file_bytes: counters.memory_inactive_file_bytes,
        memory_swap_bytes: counters.memory_swap_bytes,
        memory_peak_bytes: counters.memory_peak_bytes,
        memory_limit_hits: counters.memory_limit_hits,
        pids_limit: counters.pids_limit,
        cpu_pressure: counters.pressure.cpu.map(pressure),
        memory_pressure: counters.pressure.memory.map(pressure),
        io_pressure: counters.pressure.io.map(pressure),
        processes: wish.processes.then(|| process_stats(session, cgroup)),
    })
}

fn pressure(of: stats::Pressure) -> pb::Pressure {
    pb::Pressure { some_ns: of.some_ns, full_ns: of.full_ns }
}

fn process_stats(session: &Session, cgroup: &Cgroup) -> pb::ProcessStats {
    let counts = process_stats::count(&cgroup.processes());
    let init = session.facts().init.as_ref().filter(|init| init.exit.now().is_none()).map(|init| init.pid);
    pb::ProcessStats {
        processes: counts.processes,
        descriptors: counts.descriptors,
        sockets: counts.sockets,
        open_files_limit: init.map_or(0, process_stats::open_files_limit),
    }
}

fn whole_guest(wish: &pb::StatsRequest) -> pb::GuestStats {
    let memory = if wish.brief { guest::Memory::default() } else { guest::memory() };
    let interfaces = guest::interfaces().into_iter().map(|interface| pb::InterfaceStats {
        name: interface.name,
        rx_bytes: interface.rx_bytes,
        rx_errors: interface.rx_errors,
        tx_bytes: interface.tx_bytes,
        tx_errors: interface.tx_errors,
        rx_packets: interface.rx_packets,
        rx_dropped: interface.rx_dropped,
        tx_packets: interface.tx_packets,
        tx_dropped: interface.tx_dropped,
    });
    pb::GuestStats {
        memory_total_bytes: memory.total_bytes,
        memory_available_bytes: memory.available_bytes,
        interfaces: interfaces.collect(),
    }
}
