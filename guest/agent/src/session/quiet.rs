//! Whether the share has requests under way. A file that is closed is let go of by the kernel only when the file server
//! has answered; a submount that is unmounted before that takes the guest down ("VFS: Busy inodes after unmount").
//! Source: linux, Documentation/filesystems/fuse.rst, "waiting".

use std::fs;

/// Where fusectl is mounted.
pub const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// True when nothing is under way, and where that can't be told.
pub fn share_is_quiet() -> bool {
    let connections = fs::read_dir(CONNECTIONS).into_iter().flatten().flatten();
    connections.filter_map(|one| fs::read_to_string(one.path().join("waiting")).ok()).all(|text| text.trim() == "0")
}
