//! An init that runc has made waits at a FIFO for a reader, tells it one byte and becomes its program: `runc start` is that
//! reader. A process less is a third of a container's start.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::poll;

const NAME: &str = "exec.fifo";
/// Init is waiting: it answers at once. One that is not is for `runc start` to explain.
const LIMIT: Duration = Duration::from_secs(5);

/// True when init has gone on; `state` is runc's directory of the container.
pub async fn open(state: &Path) -> bool {
    let path = state.join(NAME);
    // not blocking: an init that has died would never come
    let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
    let Ok(fifo) = opened.map(OwnedFd::from) else { return false };
    let went = timeout(LIMIT, reads_a_byte(fifo)).await.unwrap_or(false);
    // as runc does: the FIFO is what tells a created container from a started one
    went && fs::remove_file(&path).is_ok()
}

async fn reads_a_byte(fifo: OwnedFd) -> bool {
    let Ok(fifo) = poll::watched_for_reading(fifo) else { return false };
    loop {
        let Ok(mut guard) = fifo.readable().await else { return false };
        let mut byte = [0];
        match guard.try_io(|fifo| Ok(nix::unistd::read(fifo.get_ref(), &mut byte)?)) {
            Ok(Ok(count)) => return count == 1,
            Ok(Err(_)) => return false,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn directory(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("a3s-gate-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        nix::unistd::mkfifo(&directory.join(NAME), nix::sys::stat::Mode::S_IRWXU).unwrap();
        directory
    }

    #[tokio::test]
    async fn lets_an_init_go_that_waits() {
        let directory = directory("waits");
        let path = directory.join(NAME);
        let init = std::thread::spawn(move || fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"0"));
        assert!(open(&directory).await);
        init.join().unwrap().unwrap();
        assert!(!directory.join(NAME).exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn knows_that_there_is_no_gate() {
        assert!(!open(Path::new("/nonexistent")).await);
    }
}
