//! The socket over which the program hands the master of a terminal.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::failure::{Failure, while_doing};
use crate::link::packet;

const LIMIT: Duration = Duration::from_secs(10);

pub struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
    /// `path` leads through it.
    _directory: OwnedFd,
}

impl ConsoleSocket {
    /// In `directory`, whose own path may be longer than what a socket's can be (unix(7): 107 bytes).
    pub fn listen(stage: &'static str, directory: &Path, name: &str) -> Result<Self, Failure> {
        let opened =
            fs::File::open(directory).map_err(while_doing(stage, "open the directory of the terminal's socket"))?;
        let directory = OwnedFd::from(opened);
        let path = PathBuf::from(format!("/proc/{}/fd/{}/{name}", std::process::id(), directory.as_raw_fd()));
        let listener = UnixListener::bind(&path).map_err(while_doing(stage, "listen for the terminal"))?;
        Ok(Self { path, listener, _directory: directory })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The master; the program has sent it before it ends.
    pub async fn master(&self, stage: &'static str) -> Result<OwnedFd, Failure> {
        match timeout(LIMIT, self.receive(stage)).await {
            Ok(received) => received,
            Err(_) => Err(Failure::internal(stage, "no terminal came")),
        }
    }

    async fn receive(&self, stage: &'static str) -> Result<OwnedFd, Failure> {
        let accepted = self.listener.accept().await;
        let (connection, _) = accepted.map_err(while_doing(stage, "accept the terminal"))?;
        loop {
            connection.readable().await.map_err(while_doing(stage, "wait for the terminal"))?;
            match packet::receive(connection.as_fd()) {
                Err(nix::errno::Errno::EAGAIN) => {}
                Err(errno) => return Err(Failure::internal(stage, format!("receive the terminal: {errno}"))),
                Ok((_, mut descriptors)) => {
                    return descriptors.pop().ok_or_else(|| Failure::internal(stage, "the message has no terminal"));
                }
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
