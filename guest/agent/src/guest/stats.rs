//! Counters of the guest as a whole.

use crate::kernel_file;

const BYTES_PER_KIB: u64 = 1024;
const INTERFACES: &str = "/proc/self/net/dev";
/// A container with NET_ADMIN may make any number of interfaces; the host takes no more than these. They come in the
/// order of their numbers: the pod's own are first.
const MAX_INTERFACES: usize = 256;

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
    pub rx_packets: u64,
    pub rx_dropped: u64,
    pub tx_packets: u64,
    pub tx_dropped: u64,
}

pub fn memory() -> Memory {
    parse_memory(&kernel_file::read("/proc/meminfo").unwrap_or_default())
}

/// All but the loopback, of this process's network namespace.
pub fn interfaces() -> Vec<Interface> {
    parse_interfaces(&kernel_file::read(INTERFACES).unwrap_or_default())
}

/// "  eth0: " and 16 counters, those received first; proc_pid_net(5).
fn parse_interfaces(text: &str) -> Vec<Interface> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let named = lines.map(|(name, counters)| (name.trim(), counters)).filter(|(name, _)| *name != "lo");
    named
        .take(MAX_INTERFACES)
        .map(|(name, counters)| {
            let numbers: Vec<u64> = counters.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
            let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
            let name = name.to_owned();
            Interface {
                name,
                rx_bytes: at(0),
                rx_packets: at(1),
                rx_errors: at(2),
                rx_dropped: at(3),
                tx_bytes: at(8),
                tx_packets: at(9),
                tx_errors: at(10),
                tx_dropped: at(11),
            }
        })
        .collect()
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
    fn reads_the_counters_of_interfaces() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets errs\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
            eth0: 10 2 3 6 0 0 0 0 20 4 5 7 0 0 0 0\n";
        let eth0 = Interface {
            name: "eth0".to_owned(),
            rx_bytes: 10,
            rx_packets: 2,
            rx_errors: 3,
            rx_dropped: 6,
            tx_bytes: 20,
            tx_packets: 4,
            tx_errors: 5,
            tx_dropped: 7,
        };
        assert_eq!(parse_interfaces(text), [eth0]);
    }

    #[test]
    fn names_no_more_interfaces_than_the_host_takes() {
        let lines: Vec<String> = (0..1000).map(|number| format!("dummy{number}: 1 2 3")).collect();
        let named = parse_interfaces(&lines.join("\n"));
        assert_eq!(named.len(), MAX_INTERFACES);
        assert_eq!(named[0].name, "dummy0");
    }

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:         500 kB\nMemFree:  3 kB\nMemAvailable:   400 kB\n";
        assert_eq!(parse_memory(text), Memory { total_bytes: 512_000, available_bytes: 409_600 });
        assert_eq!(parse_memory("MemTotal\n"), Memory::default());
    }
}
