//! What is told of a file.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, SFlag};

use super::attributes;
use super::fault::Fault;
use super::people::People;
use super::place::{Place, kind_of};
use crate::pb;

/// The contract's longest.
const MAX_TARGET_BYTES: usize = 4096;
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// With the attributes whose names begin with `attributes`; empty: with none.
pub fn of_place(place: &Place, people: &People, attributes: &[u8]) -> Result<pb::FileEntry, Fault> {
    let stat = place.stat()?;
    let path = place.path()?;
    if path.len() > MAX_PATH_BYTES {
        return Err(nix::errno::Errno::ENAMETOOLONG.into());
    }
    let mut entry = of_stat(&place.dir, &place.name, &stat, path, people);
    entry.attributes = attributes_of(&place.dir, &place.name, &stat, attributes);
    Ok(entry)
}

pub fn of_stat(dir: &OwnedFd, name: &CStr, stat: &FileStat, path: Vec<u8>, people: &People) -> pb::FileEntry {
    let kind = match kind_of(stat) {
        SFlag::S_IFREG => pb::FileKind::File,
        SFlag::S_IFDIR => pb::FileKind::Directory,
        SFlag::S_IFLNK => pb::FileKind::Link,
        _ => pb::FileKind::Other,
    };
    let mut target = match kind {
        pb::FileKind::Link => readlinkat(dir, name).map(OsStringExt::into_vec).unwrap_or_default(),
        _ => Vec::new(),
    };
    target.truncate(MAX_TARGET_BYTES);
    pb::FileEntry {
        path,
        kind: kind.into(),
        size_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        owner: people.user_name(stat.st_uid),
        group: people.group_name(stat.st_gid),
        modified_at_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec),
        target,
        attributes: Vec::new(),
    }
}

/// A user's are of files and directories alone.
pub fn attributes_of(dir: &OwnedFd, name: &CStr, stat: &FileStat, prefix: &[u8]) -> Vec<pb::FileAttribute> {
    match kind_of(stat) {
        SFlag::S_IFREG | SFlag::S_IFDIR => attributes::of(dir, name, prefix),
        _ => Vec::new(),
    }
}
