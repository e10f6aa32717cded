//! Small directories of the share that are copied into the guest, because programs watch them: what the host changes in a
//! directory raises no event in the guest, and on a read-only share nothing that the agent could do there raises one either
//! (docs/adr/0040). The copy is a file system of the guest's own. Sessions that
//! use the same directory share its copy.

mod copy;
mod listing;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::failure::{Failure, Kind, while_doing};
use crate::layout;
use listing::Listing;

/// The host may swap a directory away while it is read.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

pub struct Mirrors {
    directory: PathBuf,
    known: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    sessions: usize,
    /// What the copy was made of.
    seen: Listing,
}

/// One session's share in a copy; to be given back to `Mirrors::release`.
pub struct Mirrored(String);

impl Mirrors {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// Makes the copy of a directory of the share that is held already, unless another session has it.
    pub async fn add(&self, stage: &'static str, path: &str) -> Result<Mirrored, Failure> {
        let name = name_of(stage, path)?;
        let mut known = self.known.lock().await;
        if let Some(entry) = known.get_mut(&name) {
            entry.sessions += 1;
            return Ok(Mirrored(name));
        }
        let target = self.directory.join(&name);
        fs::create_dir_all(&target).map_err(while_doing(stage, format!("make {}", target.display())))?;
        match brought_up_to_date(PathBuf::from(path), target.clone(), Listing::new()).await {
            Ok(seen) => drop(known.insert(name.clone(), Entry { sessions: 1, seen })),
            Err(error) => {
                let _ = fs::remove_dir_all(&target);
                return Err(Failure::internal(stage, format!("copy {path}: {error}")));
            }
        }
        Ok(Mirrored(name))
    }

    /// Makes the copy what the directory is now. `NotFound` when there is no copy of it.
    pub async fn sync(&self, path: &str) -> Result<(), Failure> {
        const STAGE: &str = "sync mirror";
        let name = name_of(STAGE, path)?;
        let mut known = self.known.lock().await;
        let missing = || Failure::new(Kind::NotFound, STAGE, format!("there is no copy of {path}"));
        let entry = known.get_mut(&name).ok_or_else(missing)?;
        let updated = brought_up_to_date(PathBuf::from(path), self.directory.join(&name), entry.seen.clone()).await;
        entry.seen = updated.map_err(|error| Failure::internal(STAGE, format!("copy {path}: {error}")))?;
        Ok(())
    }

    /// The last one takes the copy away. Nothing reads the directory any more when this returns.
    pub async fn release(&self, mirrored: Vec<Mirrored>) {
        let mut known = self.known.lock().await;
        for Mirrored(name) in mirrored {
            let Some(entry) = known.get_mut(&name) else { continue };
            entry.sessions -= 1;
            if entry.sessions == 0 {
                known.remove(&name);
                let _ = fs::remove_dir_all(self.directory.join(&name));
            }
        }
    }
}

/// Of a volume in the share: "/v/ro-5f…".
fn name_of(stage: &'static str, path: &str) -> Result<String, Failure> {
    layout::volume_name(path)
        .map(str::to_owned)
        .ok_or_else(|| Failure::invalid(stage, format!("{path:?} is not a volume of the share")))
}

async fn brought_up_to_date(source: PathBuf, target: PathBuf, before: Listing) -> io::Result<Listing> {
    let mut tries = TRIES;
    loop {
        let (from, to, known) = (source.clone(), target.clone(), before.clone());
        let work = tokio::task::spawn_blocking(move || update(&from, &to, &known));
        match work.await.map_err(io::Error::other)? {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 1 => tries -= 1,
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn update(source: &Path, target: &Path, before: &Listing) -> io::Result<Listing> {
    let now = listing::of(source)?;
    copy::apply(source, target, before, &now)?;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Directories(PathBuf);

    impl Directories {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("agent-mirror-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("source")).unwrap();
            fs::create_dir_all(path.join("target")).unwrap();
            Self(path)
        }

        fn source(&self, path: &str) -> PathBuf {
            self.0.join("source").join(path)
        }

        fn target(&self, path: &str) -> PathBuf {
            self.0.join("target").join(path)
        }

        fn version(&self, name: &str, text: &str) {
            fs::create_dir_all(self.source(name)).unwrap();
            fs::write(self.source(name).join("key"), text).unwrap();
            symlink(name, self.source("..data_tmp")).unwrap();
            fs::rename(self.source("..data_tmp"), self.source("..data")).unwrap();
        }

        fn update(&self, before: &Listing) -> Listing {
            update(&self.source(""), &self.target(""), before).unwrap()
        }
    }

    impl Drop for Directories {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(directory: PathBuf) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn follows_the_swap_of_a_link_and_removes_what_has_gone() {
        let directories = Directories::new("swap");
        directories.version("..1", "one");
        symlink("..data/key", directories.source("key")).unwrap();
        let first = directories.update(&Listing::new());
        assert_eq!(fs::read_to_string(directories.target("key")).unwrap(), "one");
        directories.version("..2", "two");
        fs::remove_dir_all(directories.source("..1")).unwrap();
        directories.update(&first);
        assert_eq!(fs::read_to_string(directories.target("key")).unwrap(), "two");
        assert_eq!(names(directories.target("")), ["..2", "..data", "key"]);
    }

    #[test]
    fn copies_new_and_changed_files_with_their_modes() {
        let directories = Directories::new("files");
        fs::write(directories.source("a"), "1").unwrap();
        let first = directories.update(&Listing::new());
        fs::write(directories.source("a"), "22").unwrap();
        fs::write(directories.source("b"), "new").unwrap();
        fs::set_permissions(directories.source("b"), fs::Permissions::from_mode(0o640)).unwrap();
        let second = directories.update(&first);
        assert_eq!(fs::read_to_string(directories.target("a")).unwrap(), "22");
        assert_eq!(fs::metadata(directories.target("b")).unwrap().permissions().mode() & 0o7777, 0o640);
        fs::remove_file(directories.source("a")).unwrap();
        fs::remove_file(directories.source("b")).unwrap();
        symlink("elsewhere", directories.source("b")).unwrap();
        directories.update(&second);
        assert_eq!(names(directories.target("")), ["b"]);
        assert_eq!(fs::read_link(directories.target("b")).unwrap(), PathBuf::from("elsewhere"));
    }

    #[test]
    fn refuses_a_directory_with_too_much_in_it() {
        let directories = Directories::new("large");
        fs::File::create(directories.source("a")).unwrap().set_len(listing::MAX_BYTES + 1).unwrap();
        assert!(update(&directories.source(""), &directories.target(""), &Listing::new()).is_err());
        assert!(names(directories.target("")).is_empty());
    }

    #[test]
    fn takes_volumes_of_the_share_only() {
        assert_eq!(name_of("test", "/v/ro-1").unwrap(), "ro-1");
        for path in ["/v/", "/v/..", "/v/a/b", "/c/a", "/etc", ""] {
            assert!(name_of("test", path).is_err());
        }
    }
}
