//! Who has something of a file system open, or mounted in a namespace of its own. Source: proc(5).

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;

/// Of these devices (st_dev) those that a process in another mount namespace than ours uses.
pub fn used_of(devices: &[u64]) -> HashSet<u64> {
    let mut used = HashSet::new();
    let ours = fs::read_link("/proc/self/ns/mnt").ok();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let directory = entry.path();
        let namespace = fs::read_link(directory.join("ns/mnt")).ok();
        if namespace.is_none() || namespace == ours {
            continue; // no process, one that has just ended, or one of the agent's
        }
        let found = [mounted(&directory), mapped(&directory), opened(&directory)].concat();
        used.extend(found.into_iter().filter(|one| devices.contains(one)));
    }
    used
}

fn mounted(process: &Path) -> Vec<u64> {
    lines(&process.join("mountinfo"), |line| device_of(line.split(' ').nth(2)?, 10))
}

fn mapped(process: &Path) -> Vec<u64> {
    lines(&process.join("maps"), |line| device_of(line.split_ascii_whitespace().nth(3)?, 16))
}

fn lines(path: &Path, read: fn(&str) -> Option<u64>) -> Vec<u64> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(read).collect()
}

/// "0:47", or "00:2f" with `radix` 16.
fn device_of(text: &str, radix: u32) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(libc::makedev(u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

fn opened(process: &Path) -> Vec<u64> {
    let links = ["cwd", "root", "exe"].map(|name| process.join(name));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|one| one.path());
    links.into_iter().chain(descriptors).filter_map(|path| device_behind(&path)).collect()
}

/// The file server is not asked: it may have forgotten the file.
fn device_behind(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: all bits zero is a valid statx.
    let mut facts: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_STATX_DONT_SYNC;
    // SAFETY: path and result live until the call returns.
    let result = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, libc::STATX_TYPE, &raw mut facts) };
    (result == 0).then(|| libc::makedev(facts.stx_dev_major, facts.stx_dev_minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn reads_devices_as_proc_writes_them() {
        assert_eq!(device_of("0:47", 10), Some(libc::makedev(0, 47)));
        assert_eq!(device_of("fd:0a", 16), Some(libc::makedev(253, 10)));
        assert_eq!(device_of("47", 10), None);
    }

    #[test]
    fn sees_what_a_process_has_open_and_mapped() {
        let own = Path::new("/proc/self");
        let file = fs::File::open("/proc/self/exe").unwrap();
        let device = file.metadata().unwrap().dev();
        assert!(opened(own).contains(&device));
        assert!(mapped(own).contains(&device));
        assert!(!mounted(own).is_empty());
    }
}
