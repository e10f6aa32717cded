//! The names in a directory.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::errno::Errno;

/// Directories that are in each other and open at once.
pub const MAX_DEPTH: u32 = 128;

/// The first `most` in order, of however many there are. Says whether there are more.
pub fn first_names(directory: OwnedFd, most: usize) -> Result<(BTreeSet<CString>, bool), Errno> {
    let mut names = BTreeSet::new();
    let mut more = false;
    for entry in Dir::from_fd(directory)?.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.insert(name);
        }
        if names.len() > most {
            names.pop_last();
            more = true;
        }
    }
    Ok((names, more))
}
