//! What the processes of a group hold open.

use std::fs;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub processes: u64,
    pub descriptors: u64,
    pub sockets: u64,
}

/// Looks at every descriptor. A process that ends meanwhile counts as far as it was seen.
pub fn count(pids: &[i32]) -> Counts {
    let mut counts = Counts { processes: u64::try_from(pids.len()).unwrap_or(u64::MAX), ..Counts::default() };
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok().into_iter().flatten().flatten() {
            counts.descriptors += 1;
            let target = fs::read_link(entry.path()).unwrap_or_default();
            counts.sockets += u64::from(target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        }
    }
    counts
}

/// Soft limit of open files; 0 for none, and for a process that is gone.
pub fn open_files_limit(pid: i32) -> u64 {
    parse_open_files(&fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default())
}

fn parse_open_files(limits: &str) -> u64 {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    rest.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::parse_open_files;

    #[test]
    fn reads_the_soft_limit() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(parse_open_files(text), 1024);
        assert_eq!(parse_open_files("Max open files            unlimited            unlimited            files\n"), 0);
    }
}
