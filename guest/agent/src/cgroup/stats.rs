//! Counters of one cgroup.

use super::Cgroup;

const NS_PER_US: u64 = 1_000;

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
}

/// What can't be read counts as 0: the group may be going away.
pub fn read(cgroup: &Cgroup) -> Counters {
    let text = |file: &str| cgroup.read(file).unwrap_or_default();
    let number = |file: &str| text(file).trim().parse::<u64>().unwrap_or(0);
    let memory = text("memory.stat");
    let memory_usage_bytes = number("memory.current");
    Counters {
        cpu_usage_ns: keyed(&text("cpu.stat"), "usage_usec").saturating_mul(NS_PER_US),
        memory_usage_bytes,
        memory_working_set_bytes: memory_usage_bytes.saturating_sub(keyed(&memory, "inactive_file")),
        memory_rss_bytes: keyed(&memory, "anon"),
        memory_mapped_file_bytes: keyed(&memory, "file_mapped"),
        page_faults: keyed(&memory, "pgfault"),
        major_page_faults: keyed(&memory, "pgmajfault"),
        memory_limit_bytes: number("memory.max"),
        pids: number("pids.current"),
        oom_kills: cgroup.oom_kills(),
    }
}

/// The number after `key` in a file of "key number" lines; 0 when there is none.
pub fn keyed(text: &str, key: &str) -> u64 {
    let values = text.lines().filter_map(|line| line.split_once(' '));
    values.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::keyed;

    #[test]
    fn finds_a_key_and_no_other_that_begins_alike() {
        let text = "anon_thp 7\nanon 42\nfile 3\n";
        assert_eq!(keyed(text, "anon"), 42);
        assert_eq!(keyed(text, "file_mapped"), 0);
        assert_eq!(keyed("anon many\n", "anon"), 0);
    }
}
