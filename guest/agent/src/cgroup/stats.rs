//! Counters of one cgroup.

use super::Cgroup;

const NS_PER_US: u64 = 1_000;
/// memory.limit_in_bytes without a limit: the largest multiple of the page, 64 KiB at most.
const NO_OLD_LIMIT: u64 = (1 << 63) - 65_536;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub cpu_usage_ns: u64,
    pub memory_usage_bytes: u64,
    pub memory_working_set_bytes: u64,
    pub memory_rss_bytes: u64,
    pub memory_mapped_file_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// 0: none.
    pub memory_limit_bytes: u64,
    pub pids: u64,
    pub oom_kills: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    pub cpu_periods: u64,
    pub cpu_throttled_periods: u64,
    pub cpu_throttled_ns: u64,
    pub memory_cache_bytes: u64,
    pub memory_kernel_bytes: u64,
    pub memory_active_file_bytes: u64,
    pub memory_inactive_file_bytes: u64,
    pub memory_swap_bytes: u64,
    pub memory_peak_bytes: u64,
    pub memory_limit_hits: u64,
    /// 0: none.
    pub pids_limit: u64,
    pub pressure: Pressures,
}

/// None in a kernel that does not measure it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressures {
    pub cpu: Option<Pressure>,
    pub memory: Option<Pressure>,
    pub io: Option<Pressure>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    pub some_ns: u64,
    pub full_ns: u64,
}

/// What can't be read counts as 0: the group may be going away.
pub fn read(cgroup: &Cgroup) -> Counters {
    let text = |file: &str| cgroup.read(file).unwrap_or_default();
    let cpu_usage_ns = match cgroup.read_old("cpuacct", "cpuacct.usage") {
        Some(usage) => number(&usage),
        None => keyed(&text("cpu.stat"), "usage_usec").saturating_mul(NS_PER_US),
    };
    let pids = number(&cgroup.read_old("pids", "pids.current").unwrap_or_else(|| text("pids.current")));
    let memory = match cgroup.read_old("memory", "memory.stat") {
        Some(stat) => memory_of_old(cgroup, &stat),
        None => memory_of(&text),
    };
    let cpu = text("cpu.stat");
    let micros = |key: &str| keyed(&cpu, key).saturating_mul(NS_PER_US);
    Counters {
        cpu_usage_ns,
        pids,
        oom_kills: cgroup.oom_kills(),
        cpu_user_ns: micros("user_usec"),
        cpu_system_ns: micros("system_usec"),
        cpu_periods: keyed(&cpu, "nr_periods"),
        cpu_throttled_periods: keyed(&cpu, "nr_throttled"),
        cpu_throttled_ns: micros("throttled_usec"),
        memory_limit_hits: keyed(&text("memory.events"), "max"),
        pids_limit: number(&cgroup.read_old("pids", "pids.max").unwrap_or_else(|| text("pids.max"))),
        pressure: Pressures {
            cpu: pressure(&text("cpu.pressure")),
            memory: pressure(&text("memory.pressure")),
            io: pressure(&text("io.pressure")),
        },
        ..memory
    }
}

fn memory_of(text: &impl Fn(&str) -> String) -> Counters {
    let stat = text("memory.stat");
    let usage = number(&text("memory.current"));
    Counters {
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(keyed(&stat, "inactive_file")),
        memory_rss_bytes: keyed(&stat, "anon"),
        memory_mapped_file_bytes: keyed(&stat, "file_mapped"),
        page_faults: keyed(&stat, "pgfault"),
        major_page_faults: keyed(&stat, "pgmajfault"),
        memory_limit_bytes: number(&text("memory.max")),
        memory_cache_bytes: keyed(&stat, "file"),
        memory_kernel_bytes: keyed(&stat, "kernel"),
        memory_active_file_bytes: keyed(&stat, "active_file"),
        memory_inactive_file_bytes: keyed(&stat, "inactive_file"),
        memory_swap_bytes: number(&text("memory.swap.current")),
        memory_peak_bytes: number(&text("memory.peak")),
        ..Counters::default()
    }
}

/// memory.stat of version 1 has the sums over sub-groups under names of their own.
fn memory_of_old(cgroup: &Cgroup, stat: &str) -> Counters {
    let of = |file: &str| number(&cgroup.read_old("memory", file).unwrap_or_default());
    let usage = of("memory.usage_in_bytes");
    let limit = of("memory.limit_in_bytes");
    Counters {
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(keyed(stat, "total_inactive_file")),
        memory_rss_bytes: keyed(stat, "total_rss"),
        memory_mapped_file_bytes: keyed(stat, "total_mapped_file"),
        page_faults: keyed(stat, "total_pgfault"),
        major_page_faults: keyed(stat, "total_pgmajfault"),
        memory_limit_bytes: if limit >= NO_OLD_LIMIT { 0 } else { limit },
        memory_cache_bytes: keyed(stat, "total_cache"),
        memory_active_file_bytes: keyed(stat, "total_active_file"),
        memory_inactive_file_bytes: keyed(stat, "total_inactive_file"),
        memory_peak_bytes: of("memory.max_usage_in_bytes"),
        ..Counters::default()
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The totals in a pressure file (kernel Documentation/accounting/psi.rst).
fn pressure(text: &str) -> Option<Pressure> {
    let total = |kind: &str| {
        let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(kind))?;
        let micros: u64 = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total=")?.parse().ok())?;
        Some(micros.saturating_mul(NS_PER_US))
    };
    Some(Pressure { some_ns: total("some")?, full_ns: total("full").unwrap_or(0) })
}

/// The number after `key` in a file of "key number" lines; 0 when there is none.
pub fn keyed(text: &str, key: &str) -> u64 {
    let values = text.lines().filter_map(|line| line.split_once(' '));
    values.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Pressure, keyed, pressure};

    #[test]
    fn takes_the_totals_of_a_pressure_file() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        assert_eq!(pressure(text), Some(Pressure { some_ns: 12_000, full_ns: 5_000 }));
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn finds_a_key_and_no_other_that_begins_alike() {
        let text = "anon_thp 7\nanon 42\nfile 3\n";
        assert_eq!(keyed(text, "anon"), 42);
        assert_eq!(keyed(text, "file_mapped"), 0);
        assert_eq!(keyed("anon many\n", "anon"), 0);
    }
}
