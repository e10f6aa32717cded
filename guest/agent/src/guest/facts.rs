//! What Hello tells about the guest.

use std::fs;

/// uname -r.
pub fn kernel_release() -> String {
    read("/proc/sys/kernel/osrelease")
}

pub fn clocksource() -> String {
    read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
