//! What the guest's kernel remembers of files that nobody uses. The file server has each of them open for as long.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::{Failure, Kind, while_doing};

const STAGE: &str = "drop caches";
/// Free dentries and inodes: proc(5), drop_caches.
const DENTRIES_AND_INODES: &[u8] = b"2";

/// Opened at the start: when the file server is out of descriptors nothing can be opened any more.
#[derive(Clone)]
pub struct Caches(Arc<Mutex<Option<File>>>);

impl Caches {
    pub fn of_guest() -> Self {
        Self::of(File::options().write(true).open("/proc/sys/vm/drop_caches").ok())
    }

    /// A host's are not ours to drop.
    pub fn of_host() -> Self {
        Self::of(None)
    }

    fn of(file: Option<File>) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Goes through all that the kernel remembers: not on the event loop.
    pub async fn drop_unused(&self) -> Result<(), Failure> {
        let caches = self.clone();
        let work = tokio::task::spawn_blocking(move || caches.drop_now());
        work.await.map_err(while_doing(STAGE, "write"))?
    }

    fn drop_now(&self) -> Result<(), Failure> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut().ok_or_else(|| Failure::new(Kind::State, STAGE, "drop_caches could not be opened"))?;
        let written = file.rewind().and_then(|()| file.write_all(DENTRIES_AND_INODES));
        written.map_err(while_doing(STAGE, "write"))
    }
}
