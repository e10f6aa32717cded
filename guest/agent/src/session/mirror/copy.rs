//! Makes a copy what its directory is, in the order in which kubelet does: new directories and files, then the swap of `..data`,
//! then the other links, then what has gone. So a reader of the copy never sees half of a version, and who watches it
//! sees what he would see on a host.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::listing::{Facts, Listing, MAX_BYTES, What};

/// What kubelet swaps.
const DATA: &str = "..data";

pub fn apply(source: &Path, target: &Path, before: &Listing, now: &Listing) -> io::Result<()> {
    let change = Change { source, target, before };
    let changed = || now.iter().filter(|(path, facts)| before.get(*path) != Some(*facts));
    for (path, facts) in changed() {
        match &facts.what {
            What::Directory => change.directory(path, facts)?,
            What::File { .. } => change.file(path, facts)?,
            What::Link(_) => {}
        }
    }
    let is_data = |path: &PathBuf| path.as_os_str() == DATA;
    for first in [true, false] {
        for (path, facts) in changed().filter(|(path, _)| is_data(path) == first) {
            if let What::Link(says) = &facts.what {
                change.link(path, says, facts)?;
            }
        }
    }
    for (path, facts) in before.iter().rev().filter(|(path, _)| !now.contains_key(*path)) {
        remove(&target.join(path), facts)?;
    }
    Ok(())
}

struct Change<'a> {
    source: &'a Path,
    target: &'a Path,
    before: &'a Listing,
}

impl Change<'_> {
    /// What is there under that name, unless it is of another kind: that goes first.
    fn existing(&self, path: &Path, wanted: &What) -> io::Result<Option<&Facts>> {
        let Some(facts) = self.before.get(path) else { return Ok(None) };
        if std::mem::discriminant(&facts.what) == std::mem::discriminant(wanted) {
            return Ok(Some(facts));
        }
        match facts.what {
            What::Directory => fs::remove_dir_all(self.target.join(path))?,
            _ => fs::remove_file(self.target.join(path))?,
        }
        Ok(None)
    }

    fn directory(&self, path: &Path, facts: &Facts) -> io::Result<()> {
        let place = self.target.join(path);
        if self.existing(path, &facts.what)?.is_none() {
            made(fs::DirBuilder::new().mode(0o700).create(&place))?;
        }
        chown(&place, Some(facts.owner.0), Some(facts.owner.1))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(facts.mode))
    }

    /// One that was written to is written to, one that was replaced is replaced.
    fn file(&self, path: &Path, facts: &Facts) -> io::Result<()> {
        let place = self.target.join(path);
        match self.existing(path, &facts.what)? {
            Some(old) if same_file(old, facts) => self.fill(path, &place, false, facts),
            Some(_) => {
                let next = beside(&place);
                self.fill(path, &next, true, facts)?;
                fs::rename(&next, &place)
            }
            None => self.fill(path, &place, true, facts),
        }
    }

    fn fill(&self, path: &Path, place: &Path, new: bool, facts: &Facts) -> io::Result<()> {
        let open = |options: &mut fs::OpenOptions, path: &Path| options.custom_flags(libc::O_NOFOLLOW).open(path);
        let from = open(fs::OpenOptions::new().read(true), &self.source.join(path))?;
        if new {
            let _ = fs::remove_file(place); // of an attempt that was broken off
        }
        let mut to = open(fs::OpenOptions::new().write(true).create_new(new).truncate(!new).mode(0o600), place)?;
        io::copy(&mut from.take(MAX_BYTES), &mut to)?;
        std::os::unix::fs::fchown(&to, Some(facts.owner.0), Some(facts.owner.1))?;
        to.set_permissions(fs::Permissions::from_mode(facts.mode))?;
        match modified(facts) {
            Some(time) => to.set_modified(time),
            None => Ok(()),
        }
    }

    fn link(&self, path: &Path, says: &Path, facts: &Facts) -> io::Result<()> {
        let place = self.target.join(path);
        let there = self.existing(path, &facts.what)?.is_some();
        let next = if there { beside(&place) } else { place.clone() };
        let _ = fs::remove_file(&next);
        symlink(says, &next)?;
        lchown(&next, Some(facts.owner.0), Some(facts.owner.1))?;
        if there { fs::rename(&next, &place) } else { Ok(()) }
    }
}

fn same_file(old: &Facts, new: &Facts) -> bool {
    matches!((&old.what, &new.what), (What::File { inode: a, .. }, What::File { inode: b, .. }) if a == b)
}

/// The name under which kubelet makes the next `..data`.
fn beside(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push("_tmp");
    place.with_file_name(name)
}

fn modified(facts: &Facts) -> Option<SystemTime> {
    let What::File { modified: (seconds, nanoseconds), .. } = facts.what else { return None };
    let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    UNIX_EPOCH.checked_add(since)
}

/// A directory of an attempt that was broken off is as good as a new one.
fn made(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn remove(place: &Path, facts: &Facts) -> io::Result<()> {
    let removed = match facts.what {
        What::Directory => fs::remove_dir(place),
        _ => fs::remove_file(place),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
