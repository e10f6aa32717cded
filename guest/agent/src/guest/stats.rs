//! Counters of the guest as a whole.

use std::fs;

const BYTES_PER_KIB: u64 = 1024;
const INTERFACES: &str = "/sys/class/net";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
}

pub fn memory() -> Memory {
    parse_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// All but the loopback.
pub fn interfaces() -> Vec<Interface> {
    let entries = fs::read_dir(INTERFACES).ok().into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name != "lo").map(counters).collect()
}

fn counters(name: String) -> Interface {
    let read = |counter: &str| {
        let text = fs::read_to_string(format!("{INTERFACES}/{name}/statistics/{counter}")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    Interface {
        rx_bytes: read("rx_bytes"),
        rx_errors: read("rx_errors"),
        tx_bytes: read("tx_bytes"),
        tx_errors: read("tx_errors"),
        name,
    }
}

fn parse_memory(text: &str) -> Memory {
    let of = |key: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib: Option<u64> = rest.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
        kib.unwrap_or(0).saturating_mul(BYTES_PER_KIB)
    };
    Memory { total_bytes: of("MemTotal"), available_bytes: of("MemAvailable") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:         500 kB\nMemFree:  3 kB\nMemAvailable:   400 kB\n";
        assert_eq!(parse_memory(text), Memory { total_bytes: 512_000, available_bytes: 409_600 });
        assert_eq!(parse_memory("MemTotal\n"), Memory::default());
    }
}
