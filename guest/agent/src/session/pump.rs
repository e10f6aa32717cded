//! Moves a process's output from its pipes (or its terminal) into its `Output`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::output::{Output, Stream};
use super::process::ExitWatch;
use crate::clock;

/// A process in the background may hold a pipe of a process that has exited, for ever. What is in the pipe is still
/// read: until it has been silent for so long, and for no longer than the limit.
const SILENCE: Duration = Duration::from_millis(200);
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// After the limit: what one pipe can hold (fs.pipe-max-size).
const MAX_LEFT_BYTES: usize = 1024 * 1024;

/// Reads all sources to their ends, then marks the output as ended.
pub async fn run(sources: Vec<(Stream, Arc<AsyncFd<OwnedFd>>)>, output: Arc<Output>, exit: ExitWatch) {
    let pumps: Vec<_> = sources
        .into_iter()
        .map(|(stream, source)| {
            let pump = Pump { source, stream, output: Arc::clone(&output) };
            tokio::spawn(pump.run(exit.clone()))
        })
        .collect();
    for pump in pumps {
        let _ = pump.await;
    }
    output.finish(clock::wall_ns());
}

struct Pump {
    source: Arc<AsyncFd<OwnedFd>>,
    stream: Stream,
    output: Arc<Output>,
}

impl Pump {
    async fn run(self, mut exit: ExitWatch) {
        loop {
            let Some(room) = self.output.room().await else { return };
            let moved = tokio::select! {
                biased;
                moved = self.move_some(room) => moved,
                () = exit.wait() => return self.drain().await,
            };
            if !moved {
                return;
            }
        }
    }

    async fn drain(&self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        while Instant::now() < deadline {
            let Some(room) = self.output.room().await else { return };
            let silent_at = deadline.min(Instant::now() + SILENCE);
            if !timeout_at(silent_at, self.move_some(room)).await.unwrap_or(false) {
                break;
            }
        }
        let mut left = MAX_LEFT_BYTES;
        while left > 0 {
            let Some(room) = self.output.room().await else { return };
            match self.read(room) {
                Ok(bytes) if !bytes.is_empty() => {
                    left = left.saturating_sub(bytes.len());
                    self.output.push(self.stream, bytes, clock::wall_ns());
                }
                _ => return,
            }
        }
    }

    /// Waits for bytes and moves at most `room` of them; false at the end.
    async fn move_some(&self, room: usize) -> bool {
        loop {
            let Ok(mut guard) = self.source.readable().await else {
                return false;
            };
            match guard.try_io(|_| self.read(room)) {
                Err(_) => {}
                Ok(Ok(bytes)) if !bytes.is_empty() => {
                    self.output.push(self.stream, bytes, clock::wall_ns());
                    return true;
                }
                // the end; a terminal says EIO when its last user is gone
                Ok(_) => return false,
            }
        }
    }

    fn read(&self, room: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; room];
        let count = nix::unistd::read(self.source.get_ref(), &mut bytes)?;
        bytes.truncate(count);
        bytes.shrink_to_fit();
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::output::Next;
    use crate::session::process::ExitStatus;
    use std::io::Write;

    const EXIT: ExitStatus = ExitStatus { code: 0, signal: 0, exited_at_ns: 1, oom_killed: false };

    fn source() -> (std::io::PipeWriter, Arc<AsyncFd<OwnedFd>>) {
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        crate::session::stdio::set_non_blocking(&reader).unwrap();
        (writer, Arc::new(crate::poll::watched_for_reading(reader).unwrap()))
    }

    fn contents(output: &Output) -> Vec<Option<(Stream, Vec<u8>)>> {
        let reader = output.attach();
        let mut found = Vec::new();
        while let Next::Send(chunk) = output.next(reader, found.len() as u64) {
            found.push(chunk.content);
        }
        found
    }

    #[tokio::test]
    async fn ends_when_all_pipes_have_ended() {
        let ((mut stdout, out), (stderr, err)) = (source(), source());
        stdout.write_all(b"all").unwrap();
        drop((stdout, stderr));
        let output = Arc::new(Output::default());
        let (_exit, watch) = ExitWatch::of(None);
        run(vec![(Stream::Stdout, out), (Stream::Stderr, err)], Arc::clone(&output), watch).await;
        assert_eq!(contents(&output), [Some((Stream::Stdout, b"all".to_vec())), None]);
    }

    #[tokio::test]
    async fn ends_soon_after_the_exit_when_something_in_the_background_holds_the_pipe() {
        let (mut held, out) = source();
        held.write_all(b"last words").unwrap();
        let output = Arc::new(Output::default());
        let (_exit, watch) = ExitWatch::of(Some(EXIT));
        run(vec![(Stream::Stdout, out)], Arc::clone(&output), watch).await;
        assert_eq!(contents(&output), [Some((Stream::Stdout, b"last words".to_vec())), None]);
    }
}
