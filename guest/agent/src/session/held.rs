//! Paths of the share that a session uses, visited and held in the agent's own mount namespace.
//!
//! A directory of the share that is a mount on the host appears in the guest as an automounted submount. When its first
//! visitor is a container, the guest kernel dies at the container's exit ("VFS: Busy inodes after unmount"). So the
//! agent goes there first, keeps it until the container is gone, and unmounts it itself. Sessions that use the same path
//! hold it together: mounted a second time it would be another file system to the kernel.
//!
//! Even then a file may be open to the kernel that no process has any more: what was being read ahead of a process that
//! was killed has it until the file server has answered, and its closing has the inode until that is answered too. Neither
//! holds the file system. So the agent still has a copy of the mount when it unmounts, and lets go of that only when the
//! file server has answered whatever was asked before (docs/adr/0119).
//!
//! Either can take as long as a file system of the host does, or for ever. So both are done off the event loop, those of
//! one volume in turn, and volumes side by side.

mod kernel;
mod turns;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::console;
use crate::guest::caches::Caches;
use crate::layout;
use kernel::Kernel;
use turns::{Turn, Turns};

/// How often it is looked whether a submount can go, how long a session waits for its own, and how long they are tried.
const PAUSE: Duration = Duration::from_millis(2);
const LONG_PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(1);
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// How long each path may take to be entered, and how long a turn is waited for.
const VISIT_LIMIT: Duration = Duration::from_secs(20);
/// Volumes that are worked on side by side for one request.
const SIDE_BY_SIDE: usize = 16;

/// All that is held.
#[derive(Clone)]
pub struct HeldPaths {
    state: Arc<Mutex<State>>,
    /// Of a volume: nobody walks into what is just going.
    turns: Turns,
    kernel: Arc<dyn Kernel>,
    caches: Caches,
}

#[derive(Default)]
struct State {
    held: HashMap<CString, Entry>,
    /// Nobody's any more; mounts within mounts first.
    leaving: Vec<Leaving>,
    /// Somebody looks after those that were not let go in time.
    looked_after: bool,
    /// To be closed as what is leaving is: not before the file server has answered.
    parting: Vec<OwnedFd>,
}

struct Entry {
    descriptor: OwnedFd,
    sessions: usize,
    end: End,
}

struct Leaving {
    name: CString,
    end: End,
    /// Has its file system; nobody's while it is being unmounted.
    keeper: Option<OwnedFd>,
}

/// What is done when nobody has it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Unmount,
    /// As the host waits for its device. The kernel remembers what was at a path when nothing is mounted there any more,
    /// and the file server has that open.
    Forget,
}

/// One session's share in a held path; to be given back to `HeldPaths::release`.
#[derive(Debug)]
pub struct Held(CString);

#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    #[error("{0:?} is not an absolute path of the share")]
    Path(String),
    #[error("open {path}: {errno}")]
    Open { path: String, errno: Errno },
    #[error("open {0}: its file system has not answered for {limit} s", limit = VISIT_LIMIT.as_secs())]
    Silent(String),
}

impl State {
    /// One more session has it, when any has.
    fn join(&mut self, name: &CString) -> bool {
        let back = self.leaving.extract_if(.., |leaving| leaving.name == *name);
        self.parting.extend(back.filter_map(|leaving| leaving.keeper));
        self.held.get_mut(name).map(|entry| entry.sessions += 1).is_some()
    }

    fn leave(&mut self, name: CString) {
        let Some(entry) = self.held.get_mut(&name) else { return };
        entry.sessions -= 1;
        if entry.sessions > 0 {
            return;
        }
        if let Some(Entry { descriptor, end, .. }) = self.held.remove(&name) {
            self.leaving.push(Leaving { name, end, keeper: Some(descriptor) });
        }
    }

    fn is_leaving(&self, names: &[CString]) -> bool {
        self.leaving.iter().any(|leaving| names.contains(&leaving.name))
    }
}

impl HeldPaths {
    pub fn new(caches: Caches) -> Self {
        Self::over(Arc::new(kernel::Real), caches)
    }

    fn over(kernel: Arc<dyn Kernel>, caches: Caches) -> Self {
        Self { state: Arc::default(), turns: Turns::default(), kernel, caches }
    }

    /// Never held across an await, nor while the kernel is asked for anything.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Visits all, volumes side by side; the paths of one volume in this order. Answers in the order of the paths, for the
    /// release; what is visited when one fails is to be released too.
    pub async fn visit_all(&self, paths: &[String], end: End) -> (Vec<Held>, Result<(), HeldError>) {
        let (mut all, mut failure) = (Vec::new(), Ok(()));
        for result in self.visit_each(paths, end).await {
            match result {
                Ok(held) => all.push(held),
                Err(error) if failure.is_ok() => failure = Err(error),
                Err(_) => {}
            }
        }
        (all, failure)
    }

    /// As `visit_all`, with what became of each.
    pub async fn visit_each(&self, paths: &[String], end: End) -> Vec<Result<Held, HeldError>> {
        let mut by_volume: HashMap<&str, Vec<(usize, String)>> = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            by_volume.entry(turns::volume_of(path)).or_default().push((index, path.clone()));
        }
        let mut waiting = by_volume.into_values();
        let mut working = JoinSet::new();
        let mut results: Vec<(usize, Result<Held, HeldError>)> = Vec::new();
        loop {
            while working.len() < SIDE_BY_SIDE {
                let Some(group) = waiting.next() else { break };
                let all = self.clone();
                working.spawn(async move { all.visit_in_turn(group, end).await });
            }
            match working.join_next().await {
                Some(visited) => results.extend(visited.unwrap_or_default()),
                None => break,
            }
        }
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Walks into paths of one volume, in this order; each may be a directory or a file. `end` is the first visitor's. When the
    /// volume has not answered for one of them, it is not waited for the others.
    async fn visit_in_turn(&self, paths: Vec<(usize, String)>, end: End) -> Vec<(usize, Result<Held, HeldError>)> {
        let volume = paths.first().map(|(_, path)| path.clone()).unwrap_or_default();
        let Ok(turn) = timeout(VISIT_LIMIT, self.turns.of(&volume)).await else {
            return paths.into_iter().map(|(index, path)| (index, Err(HeldError::Silent(path)))).collect();
        };
        let (mut visited, mut unknown) = (Vec::new(), Vec::new());
        for (index, path) in paths {
            match check(&path) {
                Err(error) => visited.push((index, Err(error))),
                Ok(name) if self.state().join(&name) => visited.push((index, Ok(Held(name)))),
                Ok(name) => unknown.push((index, path, name)),
            }
        }
        let mut walked = self.walk(unknown.iter().map(|(_, _, name)| name.clone()).collect(), end, turn);
        let mut is_silent = false;
        for (index, path, name) in unknown {
            let answer = timeout(VISIT_LIMIT, walked.recv()).await.unwrap_or_else(|_| {
                walked.close(); // what comes now is nobody's
                is_silent = true;
                walked.try_recv().ok()
            });
            let result = match answer {
                Some(Ok(descriptor)) => Ok(self.hold(name, descriptor, end)),
                Some(Err(errno)) => Err(HeldError::Open { path, errno }),
                None if is_silent => Err(HeldError::Silent(path)),
                None => Err(HeldError::Open { path, errno: Errno::EIO }),
            };
            visited.push((index, result));
        }
        visited
    }

    /// Answers one by one. What comes when nobody waits for it any more is let go of at the next occasion.
    fn walk(&self, names: Vec<CString>, end: End, turn: Turn) -> mpsc::UnboundedReceiver<Result<OwnedFd, Errno>> {
        let (answers, walked) = mpsc::unbounded_channel();
        let (kernel, state) = (Arc::clone(&self.kernel), Arc::clone(&self.state));
        tokio::task::spawn_blocking(move || {
            for name in names {
                let Err(mpsc::error::SendError(late)) = answers.send(kernel.walk_into(&name)) else { continue };
                if let Ok(descriptor) = late {
                    let leaving = Leaving { name, end, keeper: Some(descriptor) };
                    state.lock().unwrap_or_else(PoisonError::into_inner).leaving.push(leaving);
                }
                break;
            }
            drop(turn);
        });
        walked
    }

    fn hold(&self, name: CString, descriptor: OwnedFd, end: End) -> Held {
        let mut state = self.state();
        let entry = state.held.entry(name.clone()).or_insert(Entry { descriptor, sessions: 0, end });
        entry.sessions += 1;
        Held(name)
    }

    /// Of what is held; to be closed before that is released.
    pub fn descriptor(&self, held: &Held) -> Result<OwnedFd, Errno> {
        let state = self.state();
        let entry = state.held.get(&held.0).ok_or(Errno::EBADF)?;
        entry.descriptor.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// Whether it is held, or still mounted after its last release.
    pub fn is_there(&self, path: &str) -> bool {
        let state = self.state();
        let is_path = |name: &CString| name.as_bytes() == path.as_bytes();
        state.held.keys().any(is_path) || state.leaving.iter().any(|leaving| is_path(&leaving.name))
    }

    /// In the order of the visits. The last one lets go: submounts are unmounted when that is safe, mostly before this
    /// returns.
    pub async fn release(&self, held: Vec<Held>) {
        let names: Vec<CString> = held.into_iter().map(|Held(name)| name).collect();
        {
            let mut state = self.state();
            // mounts within mounts go first
            names.iter().rev().for_each(|name| state.leave(name.clone()));
        }
        let is_left = |state: &State| state.is_leaving(&names);
        if !self.unmount_leaving(PATIENCE, PAUSE, is_left).await {
            self.look_after_leaving();
        }
    }

    /// Until those are gone that are waited for, which is what it answers, or the time has passed.
    async fn unmount_leaving(&self, patience: Duration, pause: Duration, is_left: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let forgets = |state: &State| state.leaving.iter().filter(|one| one.end == End::Forget).count();
        let before = forgets(&self.state());
        let done = loop {
            if !is_left(&self.state()) {
                break true;
            }
            if Instant::now() > deadline {
                break false;
            }
            let _ = timeout_at(deadline, self.unmount_what_can_be()).await;
            if is_left(&self.state()) {
                tokio::time::sleep(pause).await;
            }
        };
        if forgets(&self.state()) < before {
            let _ = self.caches.drop_unused().await;
        }
        done
    }

    /// Tries each once.
    async fn unmount_what_can_be(&self) {
        let mut volumes: Vec<String> = self.state().leaving.iter().map(|one| volume_of_name(&one.name)).collect();
        volumes.sort_unstable();
        volumes.dedup();
        let mut waiting = volumes.into_iter();
        let mut working = JoinSet::new();
        loop {
            while working.len() < SIDE_BY_SIDE {
                let Some(volume) = waiting.next() else { break };
                let all = self.clone();
                working.spawn(async move { all.unmount_in(&volume).await });
            }
            if working.join_next().await.is_none() {
                return;
            }
        }
    }

    async fn unmount_in(&self, volume: &str) {
        let turn = self.turns.of(volume).await;
        let (kernel, state) = (Arc::clone(&self.kernel), Arc::clone(&self.state));
        let volume = volume.to_owned();
        let work = tokio::task::spawn_blocking(move || {
            unmount_now(kernel.as_ref(), &state, &volume);
            drop(turn);
        });
        let _ = work.await;
    }

    fn look_after_leaving(&self) {
        let mut state = self.state();
        if state.looked_after {
            return;
        }
        state.looked_after = true;
        let all = self.clone();
        tokio::spawn(async move {
            let is_left = |state: &State| !state.leaving.is_empty();
            if !all.unmount_leaving(LONG_PATIENCE, LONG_PAUSE, is_left).await {
                console::say("submounts stay: somebody is in them, or the share does not answer");
            }
            all.state().looked_after = false;
        });
    }
}

/// What is leaving of one volume, whose turn the caller has.
fn unmount_now(kernel: &dyn Kernel, state: &Mutex<State>, volume: &str) {
    let state = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let (names, mut keepers) = {
        let mut state = state();
        let is_of = |leaving: &&Leaving| volume_of_name(&leaving.name) == volume;
        let names: Vec<CString> = state.leaving.iter().filter(is_of).map(|one| one.name.clone()).collect();
        (names, std::mem::take(&mut state.parting))
    };
    keepers = keepers.into_iter().map(|one| kernel.keep(one)).collect();
    let mut gone = Vec::new();
    for name in names {
        let taken = state().leaving.iter_mut().find(|one| one.name == name).and_then(|one| one.keeper.take());
        let keeper = taken.map(|one| kernel.keep(one));
        if kernel.unmount(&name) {
            gone.push(name);
            keepers.extend(keeper);
        } else if let Some(one) = state().leaving.iter_mut().find(|one| one.name == name) {
            one.keeper = keeper;
        } else {
            keepers.extend(keeper);
        }
    }
    if !keepers.is_empty() {
        kernel.settle();
    }
    drop(keepers);
    state().leaving.retain(|leaving| !gone.contains(&leaving.name));
}

fn volume_of_name(name: &CString) -> String {
    turns::volume_of(&name.to_string_lossy()).to_owned()
}

fn check(path: &str) -> Result<CString, HeldError> {
    let plain = !path.split('/').any(|part| part == ".." || part == ".");
    let name = CString::new(path).ok().filter(|_| layout::is_in_share(path) && plain);
    name.ok_or_else(|| HeldError::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::io::PipeReader;
    use std::os::fd::AsFd;
    use std::sync::Condvar;
    use std::thread;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// Whatever has "hung" in its name is not answered until it is let go.
    #[derive(Default)]
    struct Fake {
        calls: Mutex<Vec<String>>,
        let_go: Mutex<bool>,
        changed: Condvar,
        /// Of each descriptor that was given: it ends when that is closed.
        given: Mutex<Vec<PipeReader>>,
        /// How often an unmount says that somebody is in it.
        busy: Mutex<usize>,
    }

    impl Fake {
        fn call(&self, what: &str, name: &CStr) {
            let name = name.to_str().unwrap();
            self.calls.lock().unwrap().push(format!("{what} {name}"));
            let mut let_go = self.let_go.lock().unwrap();
            while name.contains("hung") && !*let_go {
                let_go = self.changed.wait(let_go).unwrap();
            }
        }

        /// Of those that were given, how many are open.
        fn open(&self) -> usize {
            let given = self.given.lock().unwrap();
            let is_open = |reader: &&PipeReader| {
                let mut files = [PollFd::new(reader.as_fd(), PollFlags::empty())];
                poll(&mut files, PollTimeout::ZERO).unwrap() == 0
            };
            given.iter().filter(is_open).count()
        }

        fn let_go(&self) {
            *self.let_go.lock().unwrap() = true;
            self.changed.notify_all();
        }

        fn calls(&self) -> Vec<String> {
            self.calls.lock().unwrap().clone()
        }
    }

    impl Kernel for Fake {
        fn walk_into(&self, name: &CStr) -> Result<OwnedFd, Errno> {
            self.call("walk", name);
            if name.to_bytes().ends_with(b"missing") {
                return Err(Errno::ENOENT);
            }
            let (reader, writer) = std::io::pipe().unwrap();
            self.given.lock().unwrap().push(reader);
            Ok(writer.into())
        }

        fn keep(&self, descriptor: OwnedFd) -> OwnedFd {
            descriptor
        }

        fn unmount(&self, name: &CStr) -> bool {
            self.call("unmount", name);
            let mut busy = self.busy.lock().unwrap();
            let is_busy = *busy > 0;
            *busy = busy.saturating_sub(1);
            !is_busy
        }

        fn settle(&self) {
            let open = format!("settle with {} open", self.open());
            self.calls.lock().unwrap().push(open);
        }
    }

    fn over_fake() -> (Arc<Fake>, HeldPaths) {
        let fake = Arc::new(Fake::default());
        (Arc::clone(&fake), HeldPaths::over(fake, Caches::of_host()))
    }

    fn paths(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    impl HeldPaths {
        async fn visit(&self, path: &str) -> Result<Held, HeldError> {
            self.visit_each(&paths(&[path]), End::Unmount).await.remove(0)
        }
    }

    fn run(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work);
    }

    #[test]
    fn refuses_paths_outside_the_share_and_ways_out_of_it() {
        for path in ["", "c/x", "/etc/passwd", "/c/../etc", "/v/./x", "/c/a\0b"] {
            assert!(matches!(check(path), Err(HeldError::Path(_))));
        }
    }

    #[test]
    fn enters_the_mounts_of_a_volume_from_above_and_leaves_them_from_below() {
        run(async {
            let (fake, all) = over_fake();
            let (held, visited) = all.visit_all(&paths(&["/v/a", "/v/a/b", "/v/a/b/c"]), End::Unmount).await;
            assert!(visited.is_ok() && all.is_there("/v/a/b"));
            assert_eq!(fake.calls(), ["walk /v/a", "walk /v/a/b", "walk /v/a/b/c"]);
            all.release(held).await;
            assert_eq!(fake.calls()[3..], ["unmount /v/a/b/c", "unmount /v/a/b", "unmount /v/a", "settle with 3 open"]);
            assert!(!all.is_there("/v/a"));
            assert_eq!(fake.open(), 0);
        });
    }

    #[test]
    fn holds_once_what_several_sessions_have() {
        run(async {
            let (fake, all) = over_fake();
            let first = all.visit("/v/a").await.unwrap();
            let second = all.visit("/v/a").await.unwrap();
            all.release(vec![first]).await;
            assert!(all.is_there("/v/a") && all.descriptor(&second).is_ok());
            all.release(vec![second]).await;
            assert_eq!(fake.calls(), ["walk /v/a", "unmount /v/a", "settle with 1 open"]);
        });
    }

    #[test]
    fn keeps_what_somebody_is_in_until_it_can_go_and_the_file_server_has_answered() {
        run(async {
            let (fake, all) = over_fake();
            *fake.busy.lock().unwrap() = 2;
            let held = all.visit("/v/a").await.unwrap();
            all.release(vec![held]).await;
            let unmount = "unmount /v/a";
            assert_eq!(fake.calls()[1..], [unmount, unmount, unmount, "settle with 1 open"]);
            assert_eq!(fake.open(), 0);
        });
    }

    #[test]
    fn closes_what_came_back_before_it_could_go_only_when_the_file_server_has_answered() {
        run(async {
            let (fake, all) = over_fake();
            let held = all.visit("/v/a").await.unwrap();
            all.state().leave(held.0);
            let again = all.visit("/v/a").await.unwrap();
            assert_eq!(fake.open(), 2);
            all.release(vec![again]).await;
            assert_eq!(fake.calls(), ["walk /v/a", "walk /v/a", "unmount /v/a", "settle with 2 open"]);
            assert_eq!(fake.open(), 0);
        });
    }

    #[test]
    fn answers_with_what_is_to_be_released_when_one_is_not_there() {
        run(async {
            let (_, all) = over_fake();
            let (held, visited) = all.visit_all(&paths(&["/v/a", "/v/missing", "/v/b"]), End::Unmount).await;
            assert!(visited.unwrap_err().to_string().contains("/v/missing"));
            all.release(held).await;
            assert!(!all.is_there("/v/a") && !all.is_there("/v/b"));
        });
    }

    #[test]
    fn tells_what_became_of_each() {
        run(async {
            let (fake, all) = over_fake();
            let wanted = paths(&["/v/a", "/v/b", "/v/a/missing", "/etc", "/v/a/c"]);
            let each = all.visit_each(&wanted, End::Unmount).await;
            assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false, true]);
            assert_eq!(fake.calls().len(), 4);
            all.release(each.into_iter().flatten().collect()).await;
            assert!(!wanted.iter().any(|path| all.is_there(path)));
        });
    }

    #[test]
    fn a_volume_that_hangs_holds_up_no_other_and_is_given_up() {
        run(async {
            let (fake, all) = over_fake();
            let hanging = all.clone();
            let hung = tokio::spawn(async move { hanging.visit("/v/hung").await });
            while fake.calls().is_empty() {
                tokio::task::yield_now().await;
            }
            let held = all.visit("/v/a").await.unwrap();
            all.release(vec![held]).await;
            assert_eq!(fake.calls()[1..], ["walk /v/a", "unmount /v/a", "settle with 1 open"]);
            let waiting = all.clone();
            let more = paths(&["/v/hung/x", "/v/hung/y"]);
            let next = tokio::spawn(async move { waiting.visit_all(&more, End::Unmount).await });
            tokio::time::pause();
            while !hung.is_finished() || !next.is_finished() {
                tokio::time::advance(VISIT_LIMIT).await;
            }
            assert!(matches!(hung.await.unwrap(), Err(HeldError::Silent(_))));
            // its turn is not over: nobody else is sent after it
            assert!(matches!(next.await.unwrap().1, Err(HeldError::Silent(_))));
            tokio::time::resume();
            assert_eq!(fake.calls().len(), 4);
            fake.let_go();
            while !all.is_there("/v/hung") {
                thread::yield_now();
            }
            let held = all.visit("/v/a").await.unwrap();
            all.release(vec![held]).await;
            assert!(!all.is_there("/v/hung"), "what came late is let go of");
        });
    }
}
