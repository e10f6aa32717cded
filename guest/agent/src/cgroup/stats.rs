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

/// What of a group is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Processor, memory and the number of tasks: five files, which are asked for often.
    Usage,
    Everything,
}

/// What can't be read counts as 0: the group may be going away.
pub fn read(cgroup: &Cgroup, extent: Extent) -> Counters {
    let text = |file: &str| cgroup.read(file).unwrap_or_default();
    let mut usage = match cgroup.read_old("memory", "memory.stat") {
        Some(stat) => memory_of_old(cgroup, &stat),
        None => memory_of(&text),
    };
    usage.pids = number(&cgroup.read_old("pids", "pids.current").unwrap_or_else(|| text("pids.current")));
    for (key, value) in pairs(&text("cpu.stat")) {
        match key {
            "usage_usec" => usage.cpu_usage_ns = value.saturating_mul(NS_PER_US),
            "user_usec" => usage.cpu_user_ns = value.saturating_mul(NS_PER_US),
            "system_usec" => usage.cpu_system_ns = value.saturating_mul(NS_PER_US),
            "nr_periods" => usage.cpu_periods = value,
            "nr_throttled" => usage.cpu_throttled_periods = value,
            "throttled_usec" => usage.cpu_throttled_ns = value.saturating_mul(NS_PER_US),
            _ => {}
        }
    }
    if let Some(of_old) = cgroup.read_old("cpuacct", "cpuacct.usage") {
        usage.cpu_usage_ns = number(&of_old);
    }
    match extent {
        Extent::Usage => usage,
        Extent::Everything => with_the_rest(usage, cgroup, &text),
    }
}

fn with_the_rest(usage: Counters, cgroup: &Cgroup, text: &impl Fn(&str) -> String) -> Counters {
    let peak = cgroup.read_old("memory", "memory.max_usage_in_bytes").unwrap_or_else(|| text("memory.peak"));
    Counters {
        oom_kills: cgroup.oom_kills(),
        memory_swap_bytes: number(&text("memory.swap.current")),
        memory_peak_bytes: number(&peak),
        memory_limit_hits: keyed(&text("memory.events"), "max"),
        pids_limit: number(&cgroup.read_old("pids", "pids.max").unwrap_or_else(|| text("pids.max"))),
        pressure: Pressures {
            cpu: pressure(&text("cpu.pressure")),
            memory: pressure(&text("memory.pressure")),
            io: pressure(&text("io.pressure")),
        },
        ..usage
    }
}

fn memory_of(text: &impl Fn(&str) -> String) -> Counters {
    let usage = number(&text("memory.current"));
    let mut counters =
        Counters { memory_usage_bytes: usage, memory_limit_bytes: number(&text("memory.max")), ..Counters::default() };
    for (key, value) in pairs(&text("memory.stat")) {
        match key {
            "anon" => counters.memory_rss_bytes = value,
            "file" => counters.memory_cache_bytes = value,
            "kernel" => counters.memory_kernel_bytes = value,
            "file_mapped" => counters.memory_mapped_file_bytes = value,
            "inactive_file" => counters.memory_inactive_file_bytes = value,
            "active_file" => counters.memory_active_file_bytes = value,
            "pgfault" => counters.page_faults = value,
            "pgmajfault" => counters.major_page_faults = value,
            _ => {}
        }
    }
    counters.memory_working_set_bytes = usage.saturating_sub(counters.memory_inactive_file_bytes);
    counters
}

/// memory.stat of version 1 has the sums over sub-groups under names of their own.
fn memory_of_old(cgroup: &Cgroup, stat: &str) -> Counters {
    let of = |file: &str| number(&cgroup.read_old("memory", file).unwrap_or_default());
    let usage = of("memory.usage_in_bytes");
    let limit = of("memory.limit_in_bytes");
    let mut counters = Counters {
        memory_usage_bytes: usage,
        memory_limit_bytes: if limit >= NO_OLD_LIMIT { 0 } else { limit },
        ..Counters::default()
    };
    for (key, value) in pairs(stat) {
        match key {
            "total_rss" => counters.memory_rss_bytes = value,
            "total_cache" => counters.memory_cache_bytes = value,
            "total_mapped_file" => counters.memory_mapped_file_bytes = value,
            "total_inactive_file" => counters.memory_inactive_file_bytes = value,
            "total_active_file" => counters.memory_active_file_bytes = value,
            "total_pgfault" => counters.page_faults = value,
            "total_pgmajfault" => counters.major_page_faults = value,
            _ => {}
        }
    }
    counters.memory_working_set_bytes = usage.saturating_sub(counters.memory_inactive_file_bytes);
    counters
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

/// The lines of a file of "key number" lines, in one pass: memory.stat has some sixty, and a guest may be emulated.
fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| line.split_once(' ')).map(|(key, value)| (key, number(value)))
}

/// The number after `key` in such a file; 0 when there is none.
pub fn keyed(text: &str, key: &str) -> u64 {
    pairs(text).find(|(name, _)| *name == key).map_or(0, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::{Counters, Extent, Pressure, Pressures, keyed, pressure, read};
    use crate::cgroup::Cgroup;
    use std::fs;

    const FILES: [(&str, &str); 12] = [
        ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 2\n"),
        ("memory.stat", "anon 100\nfile 50\nkernel 9\ninactive_file 20\nactive_file 30\npgfault 5\n"),
        ("memory.current", "200\n"),
        ("memory.max", "1000\n"),
        ("pids.current", "3\n"),
        ("pids.max", "40\n"),
        ("memory.peak", "300\n"),
        ("memory.swap.current", "8\n"),
        ("memory.events", "max 6\noom_kill 1\n"),
        ("cpu.pressure", "some avg10=0.00 total=12\n"),
        ("memory.pressure", ""),
        ("io.pressure", ""),
    ];

    #[test]
    fn reads_usage_from_a_few_files_and_the_rest_when_all_is_wanted() {
        let directory = std::env::temp_dir().join(format!("a3s-test-stats-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        for (name, text) in FILES {
            fs::write(directory.join(name), text).unwrap();
        }
        let group = Cgroup::at(&directory);
        let usage = read(&group, Extent::Usage);
        let everything = read(&group, Extent::Everything);
        fs::remove_dir_all(&directory).unwrap();
        let expected = Counters {
            cpu_usage_ns: 7_000,
            cpu_user_ns: 4_000,
            cpu_system_ns: 3_000,
            cpu_periods: 2,
            memory_usage_bytes: 200,
            memory_working_set_bytes: 180,
            memory_rss_bytes: 100,
            memory_limit_bytes: 1000,
            memory_cache_bytes: 50,
            memory_kernel_bytes: 9,
            memory_active_file_bytes: 30,
            memory_inactive_file_bytes: 20,
            page_faults: 5,
            pids: 3,
            ..Counters::default()
        };
        assert_eq!(usage, expected);
        let rest = Counters {
            oom_kills: 1,
            memory_limit_hits: 6,
            memory_swap_bytes: 8,
            memory_peak_bytes: 300,
            pids_limit: 40,
            pressure: Pressures { cpu: Some(Pressure { some_ns: 12_000, full_ns: 0 }), ..Pressures::default() },
            ..expected
        };
        assert_eq!(everything, rest);
    }

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
