//! What is in a directory, with all that makes a copy differ.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// By path below the directory: parents before what is in them.
pub type Listing = BTreeMap<PathBuf, Facts>;

/// Copies take memory of the guest.
const MAX_ENTRIES: usize = 2048;
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub what: What,
    /// Permission bits; of links without meaning.
    pub mode: u32,
    pub owner: (u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Directory,
    File {
        inode: u64,
        size: u64,
        /// Seconds and nanoseconds.
        modified: (i64, i64),
    },
    /// With what it says.
    Link(PathBuf),
}

/// Reading a directory of the share from its beginning brings what the kernel has cached of its entries up to date
/// (FUSE READDIRPLUS). Sockets, pipes and devices are left out.
pub fn of(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::new();
    let mut bytes = 0;
    walk(directory, Path::new(""), MAX_DEPTH, &mut listing, &mut bytes)?;
    Ok(listing)
}

fn walk(directory: &Path, below: &Path, depth: usize, listing: &mut Listing, bytes: &mut u64) -> io::Result<()> {
    if depth == 0 {
        return Err(too_much("it is too deep"));
    }
    for entry in fs::read_dir(directory.join(below))? {
        let path = below.join(entry?.file_name());
        let facts = fs::symlink_metadata(directory.join(&path))?;
        let what = if facts.is_dir() {
            What::Directory
        } else if facts.is_symlink() {
            What::Link(fs::read_link(directory.join(&path))?)
        } else if facts.is_file() {
            *bytes = bytes.saturating_add(facts.size());
            What::File { inode: facts.ino(), size: facts.size(), modified: (facts.mtime(), facts.mtime_nsec()) }
        } else {
            continue;
        };
        let is_directory = what == What::Directory;
        let facts = Facts { what, mode: facts.mode() & 0o777, owner: (facts.uid(), facts.gid()) };
        listing.insert(path.clone(), facts);
        if *bytes > MAX_BYTES || listing.len() > MAX_ENTRIES {
            return Err(too_much("there is too much in it"));
        }
        if is_directory {
            walk(directory, &path, depth - 1, listing, bytes)?;
        }
    }
    Ok(())
}

fn too_much(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("{what}: {MAX_ENTRIES} entries and {MAX_BYTES} bytes are the most"),
    )
}
