//! Sysctls by name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys";

#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    #[error("unknown sysctl {0:?}")]
    Unknown(String),
    #[error("set sysctl {name} to {value:?}: {source}")]
    Write { name: String, value: String, source: io::Error },
}

pub fn set(name: &str, value: &str) -> Result<(), SysctlError> {
    let path = path(name).ok_or_else(|| SysctlError::Unknown(name.to_owned()))?;
    match fs::write(Path::new(ROOT).join(path), value) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SysctlError::Unknown(name.to_owned())),
        Err(source) => Err(SysctlError::Write { name: name.to_owned(), value: value.to_owned(), source }),
    }
}

/// The path below ROOT. As in sysctl(8): when the first separator is a slash, dots are parts of names, and the other
/// way round ("net.ipv4.conf.eth0/1.forwarding").
fn path(name: &str) -> Option<PathBuf> {
    let slashes_separate =
        name.find(['.', '/']).is_some_and(|at| name.get(at..).is_some_and(|rest| rest.starts_with('/')));
    let swapped = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if slashes_separate { name.to_owned() } else { name.chars().map(swapped).collect() };
    let clean = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let allowed =
        path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b':'));
    (clean && allowed).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_dots_and_slashes_like_sysctl() {
        let at = |name| path(name).and_then(|path| path.to_str().map(str::to_owned));
        assert_eq!(at("kernel.shm_rmid_forced").as_deref(), Some("kernel/shm_rmid_forced"));
        assert_eq!(at("net.ipv4.conf.eth0/1.forwarding").as_deref(), Some("net/ipv4/conf/eth0.1/forwarding"));
        assert_eq!(at("net/ipv4/conf/eth0.1/forwarding").as_deref(), Some("net/ipv4/conf/eth0.1/forwarding"));
    }

    #[test]
    fn leaves_no_way_out_of_its_directory() {
        for name in ["", ".", "a..b", "../x", "a//b", "kernel.a b", "kernel.", "/etc/passwd", "a/../b"] {
            assert_eq!(path(name), None, "{name}");
        }
    }

    #[test]
    fn names_the_sysctl_that_it_does_not_know() {
        assert_eq!(
            set("kernel.no_such_thing", "1").unwrap_err().to_string(),
            "unknown sysctl \"kernel.no_such_thing\""
        );
    }
}
