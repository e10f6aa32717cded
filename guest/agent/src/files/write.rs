//! A file, whole or not at all: new beside its place, and renamed to it when all of it is on the disk.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod};
use nix::unistd::{AccessFlags, Gid, Uid, UnlinkatFlags, faccessat, fchown, getegid, geteuid, unlinkat};

use super::fault::{Fault, Gone, Stop};
use super::frame::Kind;
use super::place::{Above, Link, Place, kind_of};
use super::worker::Call;
use super::{attributes, entry};
use crate::pb;

const PERMISSIONS: u32 = 0o7777;
const SET_IDS: u32 = 0o6000;

pub fn run(call: &mut Call<'_>, open: &pb::WriteFileOpen) -> Result<(), Stop> {
    if open.mode > PERMISSIONS {
        return Err(Fault::invalid("the mode is not one").into());
    }
    let scope = call.scope(open.scope.as_ref())?;
    let above = if open.parents { Above::Make } else { Above::MustBe };
    let place = scope.find(&open.path, Link::Follow, above)?;
    let there = there(&place)?;
    let mut new = New::create(&place.dir)?;
    attributes::set(&new.file, &open.attributes)?;
    loop {
        match call.next()? {
            Some((Kind::Data, data)) => new.file.write_all(&data).map_err(Fault::from)?,
            Some((Kind::End, _)) => break,
            Some(_) | None => return Err(Gone.into()),
        }
    }
    new.become_like(there.as_ref(), open.mode)?;
    new.file.sync_all().map_err(Fault::from)?;
    new.take_place(&place)?;
    let entry = entry::of_place(&place, call.people, &scope.attributes)?;
    call.answer(&pb::WriteFileResponse { entry: Some(entry), taken: 0 })?;
    Ok(())
}

/// The file that is to be replaced, where the user may write to it.
fn there(place: &Place) -> Result<Option<FileStat>, Fault> {
    if place.is_directory_itself() {
        return Err(Fault::invalid("it is a directory"));
    }
    match place.stat() {
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
        Ok(stat) => match kind_of(&stat) {
            SFlag::S_IFREG => {
                faccessat(&place.dir, place.name.as_c_str(), AccessFlags::W_OK, AtFlags::empty())?;
                Ok(Some(stat))
            }
            SFlag::S_IFDIR => Err(Fault::invalid("it is a directory")),
            _ => Err(Fault::invalid("it is not a regular file")),
        },
    }
}

/// Goes when it is dropped, unless it has taken its place.
struct New<'a> {
    dir: &'a OwnedFd,
    name: CString,
    file: File,
    placed: bool,
}

impl<'a> New<'a> {
    fn create(dir: &'a OwnedFd) -> Result<Self, Fault> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let name = unlikely_name()?;
        let file = openat(dir, name.as_c_str(), flags, Mode::from_bits_truncate(0o600))?;
        Ok(Self { dir, name, file: File::from(file), placed: false })
    }

    /// Owner and permissions of the file before it; where the owner can't be kept, no program runs as the new one.
    fn become_like(&self, there: Option<&FileStat>, mode: u32) -> Result<(), Fault> {
        let mut mode = mode;
        if let Some(stat) = there {
            mode = stat.st_mode & PERMISSIONS;
            let ours = (geteuid().as_raw(), getegid().as_raw());
            if (stat.st_uid, stat.st_gid) != ours
                && fchown(&self.file, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))).is_err()
            {
                mode &= !SET_IDS;
            }
        }
        Ok(fchmod(&self.file, Mode::from_bits_truncate(mode))?)
    }

    fn take_place(&mut self, place: &Place) -> Result<(), Fault> {
        renameat(self.dir, self.name.as_c_str(), &place.dir, place.name.as_c_str())?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        if !self.placed {
            let _ = unlinkat(self.dir, self.name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn unlikely_name() -> Result<CString, Errno> {
    let mut random = [0; 8];
    // SAFETY: the buffer lives until the call returns, and its length is given.
    let got = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
    if got != 8 {
        return Err(Errno::EIO);
    }
    CString::new(format!(".a3s-new-{:016x}", u64::from_ne_bytes(random))).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::place::Scope;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("a3s-write-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn place(directory: &std::path::Path, name: &str) -> Place {
        let scope = Scope::new(b"/", directory.as_os_str().as_bytes(), b"").unwrap();
        scope.find(name.as_bytes(), Link::Follow, Above::MustBe).unwrap()
    }

    #[test]
    fn a_file_that_does_not_take_its_place_leaves_nothing() {
        let directory = directory("dropped");
        let target = place(&directory, "x");
        let mut new = New::create(&target.dir).unwrap();
        new.file.write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        drop(new);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_keeps_the_permissions_of_the_one_before_it() {
        let directory = directory("mode");
        for (before, wanted, then) in [(None, 0o640, 0o640), (Some(0o600), 0o644, 0o600)] {
            let path = directory.join("x");
            let _ = fs::remove_file(&path);
            if let Some(mode) = before {
                fs::write(&path, "old").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let target = place(&directory, "x");
            let there = there(&target).unwrap();
            let mut new = New::create(&target.dir).unwrap();
            new.file.write_all(b"new").unwrap();
            new.become_like(there.as_ref(), wanted).unwrap();
            new.take_place(&target).unwrap();
            drop(new);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, then);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn replaces_files_alone() {
        let directory = directory("kinds");
        fs::create_dir(directory.join("directory")).unwrap();
        nix::unistd::mkfifo(&directory.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
        for name in ["directory", "fifo", "."] {
            assert_eq!(there(&place(&directory, name)).err().unwrap().kind, crate::failure::Kind::Invalid);
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
