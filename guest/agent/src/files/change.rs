//! Directories that are made, and what is moved and removed.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{Mode, SFlag, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::entry;
use super::fault::{Fault, Stop};
use super::place::{Above, Link, Place, kind_of, open_directory_at};
use super::tree::{MAX_DEPTH, first_names};
use super::worker::Call;
use crate::failure::Kind;
use crate::pb;

/// Removed at a time.
const AT_ONCE: usize = 4096;

pub fn make_directory(call: &mut Call<'_>, request: &pb::MakeDirectoryRequest) -> Result<(), Stop> {
    let mode = Mode::from_bits(request.mode).ok_or_else(|| Fault::invalid("the mode is not one"))?;
    let scope = call.scope(request.scope.as_ref())?;
    let place = scope.find(&request.path, Link::Follow, Above::Make)?;
    if place.is_directory_itself() {
        return Err(Fault::from(Errno::EEXIST).into());
    }
    match mkdirat(&place.dir, place.name.as_c_str(), mode) {
        Err(Errno::EEXIST) if kind_of(&place.stat()?) != SFlag::S_IFDIR => {
            return Err(Fault::invalid("there is something else that is no directory").into());
        }
        other => other?,
    }
    let entry = entry::of_place(&place, call.people, &scope.attributes)?;
    call.answer(&pb::MakeDirectoryResponse { entry: Some(entry) })?;
    Ok(())
}

pub fn move_file(call: &mut Call<'_>, request: &pb::MoveFileRequest) -> Result<(), Stop> {
    let scope = call.scope(request.scope.as_ref())?;
    let from = scope.find(&request.from, Link::Keep, Above::MustBe)?;
    from.stat()?;
    let to = scope.find(&request.to, Link::Keep, Above::Make)?;
    if from.is_directory_itself() || to.is_directory_itself() {
        return Err(whole().into());
    }
    match renameat(&from.dir, from.name.as_c_str(), &to.dir, to.name.as_c_str()) {
        Err(Errno::EXDEV) => return Err(Fault::new(Kind::State, "the two are on different file systems").into()),
        // what the kernel says of a directory with something in it, too
        Err(Errno::EEXIST) => return Err(Fault::from(Errno::ENOTEMPTY).into()),
        other => other?,
    }
    let entry = entry::of_place(&to, call.people, &scope.attributes)?;
    call.answer(&pb::MoveFileResponse { entry: Some(entry) })?;
    Ok(())
}

pub fn remove_file(call: &mut Call<'_>, request: &pb::RemoveFileRequest) -> Result<(), Stop> {
    let scope = call.scope(request.scope.as_ref())?;
    let place = scope.find(&request.path, Link::Keep, Above::MustBe)?;
    if place.is_directory_itself() {
        return Err(whole().into());
    }
    remove(&place, request.recursive)?;
    call.answer(&pb::RemoveFileResponse {})?;
    Ok(())
}

fn whole() -> Fault {
    Fault::invalid("a directory that paths begin in is neither moved nor removed")
}

fn remove(place: &Place, recursive: bool) -> Result<(), Fault> {
    if kind_of(&place.stat()?) != SFlag::S_IFDIR {
        return Ok(unlinkat(&place.dir, place.name.as_c_str(), UnlinkatFlags::NoRemoveDir)?);
    }
    match unlinkat(&place.dir, place.name.as_c_str(), UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOTEMPTY | Errno::EEXIST) if recursive => remove_tree(&place.dir, &place.name, 1),
        Err(Errno::EEXIST) => Err(Errno::ENOTEMPTY.into()),
        other => Ok(other?),
    }
}

/// No link is followed, whatever is put in the place of what: each directory is open when something is removed from it.
fn remove_tree(dir: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(Kind::State, format!("directories are nested more than {MAX_DEPTH} levels deep")));
    }
    let directory = open_directory_at(dir, name)?;
    loop {
        let (names, _) = first_names(open_directory_at(&directory, c".")?, AT_ONCE)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            match unlinkat(&directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(Errno::EISDIR) => remove_tree(&directory, &name, depth + 1)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::place::Scope;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn removes_a_tree_and_nothing_that_links_in_it_lead_to() {
        let directory = std::env::temp_dir().join(format!("a3s-change-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("tree/a/b")).unwrap();
        fs::create_dir_all(directory.join("kept")).unwrap();
        fs::write(directory.join("kept/file"), "x").unwrap();
        fs::write(directory.join("tree/a/file"), "x").unwrap();
        symlink("../kept", directory.join("tree/link")).unwrap();
        let scope = Scope::new(b"/", directory.as_os_str().as_bytes(), b"").unwrap();
        let tree = scope.find(b"tree", Link::Keep, Above::MustBe).unwrap();
        assert_eq!(remove(&tree, false).err().unwrap().kind, Kind::State);
        remove(&tree, true).unwrap();
        assert!(!directory.join("tree").exists() && directory.join("kept/file").exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn gives_up_a_tree_that_is_nested_too_deeply() {
        let directory = std::env::temp_dir().join(format!("a3s-deep-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let mut path = directory.join("tree");
        for _ in 0..=MAX_DEPTH {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        let scope = Scope::new(b"/", directory.as_os_str().as_bytes(), b"").unwrap();
        let tree = scope.find(b"tree", Link::Keep, Above::MustBe).unwrap();
        assert_eq!(remove(&tree, true).err().unwrap().kind, Kind::State);
        fs::remove_dir_all(directory).unwrap();
    }
}
