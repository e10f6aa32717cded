//! Volumes of huge pages. A hugetlbfs of the host can't be had over virtio-fs, whose files have no huge pages: the guest
//! has one of its own in its place, for as long as a session has a directory of it.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, fchown};
use tokio::sync::Mutex;

use crate::failure::{Failure, Kind, while_doing};
use crate::guest::huge_pages::HugePages;

/// Where they are in a guest; specs bind them from there. Nobody but the agent gets here by this path.
const DIRECTORY: &str = "/run/hugepages";
/// In it, where each hugetlbfs is.
const SYSTEMS: &str = ".systems";
const MAX_NAME: usize = 64;

/// A directory of a hugetlbfs, as the daemon asks for it.
pub struct Wanted {
    pub name: String,
    pub file_system: String,
    pub path: String,
    pub page_kib: u64,
    /// 0: no such option.
    pub size_bytes: u64,
    pub min_size_bytes: u64,
    pub inodes: u64,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

pub struct HugeVolumes {
    directory: PathBuf,
    pages: HugePages,
    known: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    sessions: usize,
    file_system: String,
}

/// One session's share in a volume; to be given back to `HugeVolumes::release`.
pub struct HugeVolume(String);

impl HugeVolumes {
    pub fn new(pages: HugePages) -> Self {
        Self { directory: PathBuf::from(DIRECTORY), pages, known: Mutex::default() }
    }

    pub async fn add(&self, stage: &'static str, wanted: &Wanted) -> Result<HugeVolume, Failure> {
        self.check(stage, wanted)?;
        let name = wanted.name.clone();
        let mut known = self.known.lock().await;
        if let Some(entry) = known.get_mut(&name) {
            entry.sessions += 1;
            return Ok(HugeVolume(name));
        }
        let is_new = !known.values().any(|entry| entry.file_system == wanted.file_system);
        if is_new {
            self.make_system(stage, wanted)?;
        }
        if let Err(failure) = self.make_volume(stage, wanted) {
            let _ = fs::remove_dir(self.volume(&name));
            if is_new {
                take_away(&self.system(&wanted.file_system));
            }
            return Err(failure);
        }
        known.insert(name.clone(), Entry { sessions: 1, file_system: wanted.file_system.clone() });
        Ok(HugeVolume(name))
    }

    /// The sessions' processes are gone. What the last one leaves goes with all files.
    pub async fn release(&self, volumes: Vec<HugeVolume>) {
        let mut known = self.known.lock().await;
        for HugeVolume(name) in volumes {
            let Some(entry) = known.get_mut(&name) else { continue };
            entry.sessions -= 1;
            if entry.sessions > 0 {
                continue;
            }
            let Some(Entry { file_system, .. }) = known.remove(&name) else { continue };
            take_away(&self.volume(&name));
            if !known.values().any(|entry| entry.file_system == file_system) {
                take_away(&self.system(&file_system));
            }
        }
    }

    fn check(&self, stage: &'static str, wanted: &Wanted) -> Result<(), Failure> {
        for name in [&wanted.name, &wanted.file_system] {
            let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-';
            if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
                return Err(Failure::invalid(stage, format!("{name:?} is no name of a volume of huge pages")));
            }
        }
        let parts = parts_of(&wanted.path);
        if parts.iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('\0')) {
            return Err(Failure::invalid(stage, format!("{:?} is no path in a volume of huge pages", wanted.path)));
        }
        if !self.pages.sizes().contains(&wanted.page_kib) {
            return Err(Failure::invalid(stage, format!("the guest has no huge pages of {} KiB", wanted.page_kib)));
        }
        Ok(())
    }

    fn make_system(&self, stage: &'static str, wanted: &Wanted) -> Result<(), Failure> {
        let place = self.system(&wanted.file_system);
        make_directory(stage, &place)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let options = options_of(wanted);
        let mounted = mount(Some("hugetlbfs"), &place, Some("hugetlbfs"), flags, Some(options.as_str()));
        mounted.map_err(|errno| {
            let _ = fs::remove_dir(&place);
            // min_size is set aside at once
            let kind = if errno == Errno::ENOMEM { Kind::Exhausted } else { Kind::Internal };
            Failure::new(kind, stage, format!("mount a hugetlbfs with {options}: {errno}"))
        })
    }

    fn make_volume(&self, stage: &'static str, wanted: &Wanted) -> Result<(), Failure> {
        let doing = || format!("make {:?} in a volume of huge pages", wanted.path);
        let directory =
            directory_in(&self.system(&wanted.file_system), &wanted.path).map_err(while_doing(stage, doing()))?;
        let owned = fchown(&directory, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)));
        let allowed = owned.and_then(|()| fchmod(&directory, Mode::from_bits_truncate(wanted.mode)));
        allowed.map_err(while_doing(stage, doing()))?;
        let place = self.volume(&wanted.name);
        make_directory(stage, &place)?;
        let source = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let bound = mount(Some(source.as_str()), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.map_err(while_doing(stage, doing()))
    }

    fn system(&self, name: &str) -> PathBuf {
        self.directory.join(SYSTEMS).join(name)
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn options_of(wanted: &Wanted) -> String {
    let options = [("size", wanted.size_bytes), ("min_size", wanted.min_size_bytes), ("nr_inodes", wanted.inodes)];
    let given = options.iter().filter(|(_, value)| *value > 0).map(|(name, value)| format!(",{name}={value}"));
    format!("pagesize={}K{}", wanted.page_kib, given.collect::<String>())
}

fn parts_of(path: &str) -> Vec<&str> {
    if path.is_empty() { Vec::new() } else { path.split('/').collect() }
}

/// Containers write there: no link on the way is followed.
fn directory_in(system: &Path, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let beneath = |top: &dyn AsFd, part: &str| {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        openat2(top.as_fd(), part, OpenHow::new().flags(flags).resolve(resolve))
    };
    let top = openat2(AT_FDCWD, system, OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS))?;
    parts_of(path).into_iter().try_fold(top, |directory, part| {
        match mkdirat(&directory, part, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => beneath(&directory, part),
            Err(errno) => Err(errno),
        }
    })
}

fn make_directory(stage: &'static str, path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(while_doing(stage, format!("make {}", path.display())))
}

/// Lazily: a container that is being made has a copy of the agent's mounts for a moment.
fn take_away(place: &Path) {
    let _ = umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    let _ = fs::remove_dir(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, path: &str) -> Wanted {
        let (name, path) = (name.to_owned(), path.to_owned());
        let (file_system, page_kib) = ("57".to_owned(), 2048);
        let (size_bytes, min_size_bytes, inodes) = (8 << 20, 0, 5);
        Wanted { name, file_system, path, page_kib, size_bytes, min_size_bytes, inodes, uid: 0, gid: 0, mode: 0o755 }
    }

    #[test]
    fn carries_the_options_of_the_host() {
        assert_eq!(options_of(&wanted("57", "")), "pagesize=2048K,size=8388608,nr_inodes=5");
    }

    #[test]
    fn refuses_names_and_paths_that_lead_elsewhere() {
        let volumes = HugeVolumes::new(HugePages::of_host());
        for (name, path) in [("", ""), ("..", ""), ("a/b", ""), ("A", ""), ("a", "/a"), ("a", "a/../b"), ("a", "a//b")]
        {
            let failure = volumes.check("test", &wanted(name, path)).unwrap_err();
            assert!(failure.what.contains("volume of huge pages"), "{name:?} {path:?}");
        }
        let size = volumes.check("test", &wanted("57-0f", "a/b")).unwrap_err();
        assert!(size.what.contains("2048 KiB"));
    }

    #[test]
    fn makes_directories_without_following_links() {
        let top = std::env::temp_dir().join(format!("agent-huge-volume-{}", std::process::id()));
        fs::create_dir_all(top.join("real")).unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        assert!(directory_in(&top, "real/more").is_ok() && top.join("real/more").is_dir());
        assert_eq!(directory_in(&top, "link").unwrap_err(), Errno::ELOOP);
        assert_eq!(directory_in(&top, "link/x").unwrap_err(), Errno::ELOOP);
        assert!(directory_in(&top, "").is_ok());
        fs::remove_dir_all(&top).unwrap();
    }
}
