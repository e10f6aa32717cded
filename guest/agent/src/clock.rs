//! The two clocks in use, in nanoseconds.

use nix::time::{ClockId, clock_gettime};

const NS_PER_S: i64 = 1_000_000_000;

fn read(clock: ClockId) -> i64 {
    match clock_gettime(clock) {
        Ok(time) => time.tv_sec().saturating_mul(NS_PER_S).saturating_add(time.tv_nsec()),
        Err(_) => 0, // only for clocks the kernel lacks
    }
}

/// Wall clock, Unix nanoseconds. Jumps when the host sets it.
pub fn wall_ns() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Since boot, suspended time included; never jumps.
pub fn boot_ns() -> u64 {
    u64::try_from(read(ClockId::CLOCK_BOOTTIME)).unwrap_or(0)
}
