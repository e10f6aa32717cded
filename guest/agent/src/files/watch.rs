//! What changes in a directory, and with `recursive` below it.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::stat::{SFlag, fstatat};
use nix::unistd::fchdir;

use super::fault::{Fault, Gone, Stop};
use super::place::{Above, Identity, Link, Scope, identity, kind_of, open_directory_at, open_directory_beneath};
use super::tree::{MAX_DEPTH, first_names};
use super::worker::Call;
use crate::failure::Kind;
use crate::pb;
use pb::FileEventKind as What;

/// Directories, as the contract has it.
const MAX_WATCHES: usize = 8192;
const MAX_NAMES: usize = 65_536;
const MAX_PATH_BYTES: usize = 4096;
const FULL_BYTES: usize = 40 * 1024;
const FULL_EVENTS: usize = 512;

const CAME: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);
const WATCHED: AddWatchFlags = CAME
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_ONLYDIR);

pub fn run(call: &mut Call<'_>, request: &pb::WatchFilesRequest) -> Result<(), Stop> {
    let scope = call.scope(request.scope.as_ref())?;
    let top = open_top(&scope, &request.path)?;
    let identity = identity(&top)?;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let (paths, events) = (HashMap::new(), Vec::new());
    let (path, recursive) = (&request.path, request.recursive);
    let mut watch = Watch { inotify, scope, path, identity, paths, top: None, recursive, events, event_bytes: 0 };
    watch.top = Some(watch.add(&top, Vec::new())?);
    if recursive {
        watch.add_below(&top, b"", 1, Report::Nothing)?;
    }
    drop(top);
    let_go();
    call.answer(&pb::WatchFilesResponse::default())?;
    loop {
        watch.wait(call)?;
        for event in watch.inotify.read_events()? {
            watch.take(&event)?;
            if watch.events.len() >= FULL_EVENTS || watch.event_bytes >= FULL_BYTES {
                watch.flush(call)?;
            }
        }
        watch.flush(call)?;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// It was there before.
    Nothing,
    /// It has come with its directory, before that was watched.
    Creation,
}

/// It has no directory open: the kernel tells the end of one that nobody holds.
struct Watch<'a> {
    inotify: Inotify,
    scope: Scope,
    path: &'a [u8],
    /// Of the watched directory.
    identity: Identity,
    /// Relative to the watched directory.
    paths: HashMap<WatchDescriptor, Vec<u8>>,
    top: Option<WatchDescriptor>,
    recursive: bool,
    events: Vec<pb::FileEvent>,
    event_bytes: usize,
}

impl Watch<'_> {
    fn add(&mut self, directory: &OwnedFd, path: Vec<u8>) -> Result<WatchDescriptor, Fault> {
        if self.paths.len() >= MAX_WATCHES {
            return Err(Fault::new(Kind::Exhausted, format!("there are more than {MAX_WATCHES} directories")));
        }
        fchdir(directory)?;
        let watched = self.inotify.add_watch(c".", WATCHED)?;
        self.paths.insert(watched, path);
        Ok(watched)
    }

    /// Those in a directory that is watched.
    fn add_below(&mut self, directory: &OwnedFd, path: &[u8], depth: u32, report: Report) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let to_read = open_directory_at(directory, c".")?;
        for name in first_names(to_read, MAX_NAMES)?.0 {
            let Ok(stat) = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let path = below(path, name.as_bytes());
            if report == Report::Creation {
                self.push(What::Create, &path);
            }
            // what has gone meanwhile, or may not be looked at, is passed over
            if kind_of(&stat) == SFlag::S_IFDIR
                && let Ok(inner) = open_directory_at(directory, &name)
            {
                self.add(&inner, path.clone())?;
                self.add_below(&inner, &path, depth + 1, report)?;
            }
        }
        Ok(())
    }

    /// Until something has happened; the client says nothing while it wants to know.
    fn wait(&self, call: &Call<'_>) -> Result<(), Gone> {
        let mut ready =
            [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN), PollFd::new(call.socket.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut ready, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(_) => return Err(Gone),
                Ok(_) if ready.last().is_some_and(|client| client.any().unwrap_or(true)) => return Err(Gone),
                Ok(_) => return Ok(()),
            }
        }
    }

    fn take(&mut self, event: &InotifyEvent) -> Result<(), Fault> {
        let has = |flag: AddWatchFlags| event.mask.intersects(flag);
        if has(AddWatchFlags::IN_Q_OVERFLOW) {
            return Err(Fault::new(Kind::Exhausted, "events came faster than they were read, and some are lost"));
        }
        if has(AddWatchFlags::IN_IGNORED) {
            self.paths.remove(&event.wd);
            if Some(event.wd) == self.top {
                return Err(Fault::new(Kind::NotFound, "the watched directory has gone"));
            }
            return Ok(());
        }
        let (Some(path), Some(name)) = (self.paths.get(&event.wd), &event.name) else { return Ok(()) };
        let path = below(path, name.as_bytes());
        let what = if has(CAME) {
            What::Create
        } else if has(AddWatchFlags::IN_MODIFY) {
            What::Write
        } else if has(AddWatchFlags::IN_DELETE) {
            What::Remove
        } else if has(AddWatchFlags::IN_MOVED_FROM) {
            What::Rename
        } else {
            What::Chmod
        };
        self.push(what, &path);
        if self.recursive && has(AddWatchFlags::IN_ISDIR) {
            match what {
                What::Create => self.follow(&path)?,
                What::Rename => self.leave(&path),
                _ => {}
            }
        }
        Ok(())
    }

    /// A directory that has come.
    fn follow(&mut self, path: &[u8]) -> Result<(), Fault> {
        let Ok(top) = open_top(&self.scope, self.path) else { return Ok(()) };
        // where another has come in its place, what is in that one is nobody's business
        if identity(&top)? != self.identity {
            return Ok(());
        }
        let Ok(directory) = open_directory_beneath(&top, path) else { return Ok(()) };
        self.add(&directory, path.to_vec())?;
        self.add_below(&directory, path, 1, Report::Creation)?;
        let_go();
        Ok(())
    }

    /// A directory that has been moved: what is in it has other paths, or none here.
    fn leave(&mut self, path: &[u8]) {
        let in_it = |other: &[u8]| other.strip_prefix(path).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        let gone: Vec<WatchDescriptor> =
            self.paths.iter().filter(|(_, other)| in_it(other)).map(|(watched, _)| *watched).collect();
        for watched in gone {
            self.paths.remove(&watched);
            let _ = self.inotify.rm_watch(watched);
        }
    }

    fn push(&mut self, what: What, path: &[u8]) {
        if path.len() > MAX_PATH_BYTES {
            return;
        }
        let event = pb::FileEvent { kind: what.into(), path: path.to_vec() };
        if self.events.last() != Some(&event) {
            self.event_bytes += path.len() + 8;
            self.events.push(event);
        }
    }

    fn flush(&mut self, call: &mut Call<'_>) -> Result<(), Gone> {
        self.event_bytes = 0;
        while !self.events.is_empty() {
            let rest = self.events.split_off(self.events.len().min(FULL_EVENTS));
            let events = std::mem::replace(&mut self.events, rest);
            for part in parts(events) {
                call.answer(&pb::WatchFilesResponse { events: part })?;
            }
        }
        Ok(())
    }
}

/// A directory that has come with much in it can be more than a message.
fn parts(events: Vec<pb::FileEvent>) -> Vec<Vec<pb::FileEvent>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for event in events {
        bytes += event.path.len() + 8;
        if bytes >= FULL_BYTES {
            bytes = event.path.len() + 8;
            parts.push(Vec::new());
        }
        if let Some(last) = parts.last_mut() {
            last.push(event);
        }
    }
    parts
}

fn open_top(scope: &Scope, path: &[u8]) -> Result<OwnedFd, Fault> {
    Ok(scope.find(path, Link::Follow, Above::MustBe)?.open_directory()?)
}

/// Of the directory that was added last.
fn let_go() {
    let _ = nix::unistd::chdir(c"/");
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { super::place::joined(path, name) }
}
