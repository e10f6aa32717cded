//! Entries of a directory and of those in it: by path, what is in a directory behind it.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};
use prost::Message;

use super::entry;
use super::fault::{Fault, Gone, Stop};
use super::place::{Above, Link, joined, kind_of, open_directory_at};
use super::tree::{MAX_DEPTH, first_names};
use super::worker::Call;
use crate::pb;

/// Of the contract's 64 KiB; the largest entry is below 20, and the directory's own is among them.
const FULL_BYTES: usize = 40 * 1024;
const FULL_ENTRIES: usize = 512;
const MAX_LIMIT: u32 = 100_000;

pub fn run(call: &mut Call<'_>, request: &pb::ListFilesRequest) -> Result<(), Stop> {
    if !(1..=MAX_DEPTH).contains(&request.depth) || !(1..=MAX_LIMIT).contains(&request.limit) {
        return Err(Fault::invalid("depth or limit of a list is out of bounds").into());
    }
    let scope = call.scope(request.scope.as_ref())?;
    let place = scope.find(&request.path, Link::Follow, Above::MustBe)?;
    let directory = entry::of_place(&place, call.people, &scope.attributes)?;
    if directory.kind != i32::from(pb::FileKind::Directory) {
        return Err(Fault::from(Errno::ENOTDIR).into());
    }
    let path = directory.path.clone();
    let opened = place.open_directory()?;
    let part_bytes = directory.encoded_len() + 4;
    let part = pb::ListFilesResponse { directory: Some(directory), ..Default::default() };
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut list = List { call, part, part_bytes, left: limit, truncated: false, attributes: &scope.attributes };
    list.walk(opened, &path, request.depth)?;
    list.part.truncated = list.truncated;
    list.flush()?;
    Ok(())
}

struct List<'a, 'b> {
    call: &'a mut Call<'b>,
    part: pb::ListFilesResponse,
    part_bytes: usize,
    left: usize,
    truncated: bool,
    attributes: &'a [u8],
}

impl List<'_, '_> {
    fn walk(&mut self, directory: OwnedFd, path: &[u8], depth: u32) -> Result<(), Stop> {
        let to_read = directory.try_clone().map_err(Fault::from)?;
        let (names, more) = first_names(to_read, self.left.saturating_add(1))?;
        for name in names {
            if self.truncated {
                return Ok(());
            }
            self.take(&directory, &name, path, depth)?;
        }
        self.truncated |= more;
        Ok(())
    }

    fn take(&mut self, directory: &OwnedFd, name: &CString, path: &[u8], depth: u32) -> Result<(), Stop> {
        // what has gone meanwhile, or may not be looked at, is passed over
        let Ok(stat) = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { return Ok(()) };
        let path = joined(path, name.as_bytes());
        if path.len() > entry::MAX_PATH_BYTES {
            return Ok(());
        }
        if self.left == 0 {
            self.truncated = true;
            return Ok(());
        }
        self.left -= 1;
        let mut entry = entry::of_stat(directory, name, &stat, path.clone(), self.call.people);
        entry.attributes = entry::attributes_of(directory, name, &stat, self.attributes);
        self.push(entry)?;
        if depth > 1
            && kind_of(&stat) == SFlag::S_IFDIR
            && let Ok(inner) = open_directory_at(directory, name)
        {
            self.walk(inner, &path, depth - 1)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: pb::FileEntry) -> Result<(), Gone> {
        self.part_bytes += entry.encoded_len() + 4;
        self.part.entries.push(entry);
        if self.part_bytes >= FULL_BYTES || self.part.entries.len() >= FULL_ENTRIES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.part_bytes = 0;
        let part = std::mem::take(&mut self.part);
        self.call.answer(&part)
    }
}
