//! The server's end of the channel to what makes a container or an exec.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::wire::{Cause, GO, Report, Trouble};
use crate::failure::{Failure, Kind, while_doing};
use crate::link::packet;
use crate::poll;
use crate::session::stdio::set_non_blocking;

/// It takes some 10 ms; on an overloaded machine, or under a tiny CPU quota, seconds.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Channel {
    stage: &'static str,
    socket: AsyncFd<OwnedFd>,
    pid: Option<i32>,
    terminal: Option<OwnedFd>,
}

/// A process that is there.
pub struct Made {
    pub pid: i32,
    pub terminal: Option<OwnedFd>,
}

/// What came over the channel.
enum Received {
    Report(Report, Option<OwnedFd>),
    /// All who could report have executed their program or are gone.
    End,
}

impl Channel {
    pub fn new(stage: &'static str, socket: OwnedFd) -> Result<Self, Failure> {
        set_non_blocking(&socket).map_err(while_doing(stage, "watch the channel"))?;
        let socket = poll::watched(socket).map_err(while_doing(stage, "watch the channel"))?;
        Ok(Self { stage, socket, pid: None, terminal: None })
    }

    /// Until init waits for the word to go.
    pub async fn wait_until_ready(&mut self) -> Result<Made, Failure> {
        let mut ready = false;
        let limit = tokio::time::Instant::now() + LIMIT;
        while !(ready && self.pid.is_some()) {
            match self.next(limit).await? {
                Received::Report(Report::Ready, _) => ready = true,
                Received::Report(report, descriptor) => self.take(report, descriptor)?,
                Received::End => return Err(Failure::internal(self.stage, "init ended before it was ready")),
            }
        }
        self.made()
    }

    /// Until an exec's program runs.
    pub async fn wait_until_executed(mut self) -> Result<Made, Failure> {
        self.drain().await?;
        self.made()
    }

    /// Lets init execute its program.
    pub async fn go(mut self) -> Result<(), Failure> {
        match packet::send(self.socket.get_ref().as_fd(), GO, &[]) {
            Ok(()) => self.drain().await,
            Err(Errno::EPIPE | Errno::ECONNRESET) => {
                Err(Failure::new(Kind::State, self.stage, "the container has exited before it was started"))
            }
            Err(errno) => Err(Failure::internal(self.stage, format!("tell init to go: {errno}"))),
        }
    }

    /// To the end: exec has closed the other side, and nothing has failed.
    async fn drain(&mut self) -> Result<(), Failure> {
        let limit = tokio::time::Instant::now() + LIMIT;
        loop {
            match self.next(limit).await? {
                Received::Report(report, descriptor) => self.take(report, descriptor)?,
                Received::End => return Ok(()),
            }
        }
    }

    fn made(&mut self) -> Result<Made, Failure> {
        let pid = self.pid.ok_or_else(|| Failure::internal(self.stage, "the process ended before it had begun"))?;
        Ok(Made { pid, terminal: self.terminal.take() })
    }

    fn take(&mut self, report: Report, descriptor: Option<OwnedFd>) -> Result<(), Failure> {
        match report {
            Report::Pid(pid) => self.pid = Some(pid),
            Report::Terminal => self.terminal = descriptor,
            Report::Ready => {}
            Report::Failed(trouble) => return Err(failure(self.stage, &trouble)),
        }
        Ok(())
    }

    async fn next(&self, limit: tokio::time::Instant) -> Result<Received, Failure> {
        let left = limit.saturating_duration_since(tokio::time::Instant::now());
        match timeout(left, self.receive()).await {
            Ok(received) => received,
            Err(_) => Err(Failure::internal(self.stage, format!("no report within {} s", LIMIT.as_secs()))),
        }
    }

    async fn receive(&self) -> Result<Received, Failure> {
        loop {
            let ready = self.socket.readable().await;
            let mut guard = ready.map_err(while_doing(self.stage, "wait for a report"))?;
            let Ok(received) = guard.try_io(|socket| Ok(packet::receive(socket.get_ref().as_fd())?)) else { continue };
            let (message, mut descriptors) = match received {
                Ok(received) => received,
                Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => return Ok(Received::End),
                Err(error) => return Err(Failure::internal(self.stage, format!("receive a report: {error}"))),
            };
            if message.is_empty() {
                return Ok(Received::End);
            }
            let report =
                Report::decode(&message).ok_or_else(|| Failure::internal(self.stage, "a report is not one"))?;
            return Ok(Received::Report(report, descriptors.pop()));
        }
    }
}

fn failure(stage: &'static str, trouble: &Trouble) -> Failure {
    let Trouble { cause, what } = trouble;
    match cause {
        Cause::ProgramMissing => Failure::new(Kind::NotFound, stage, format!("executable file not found: {what}")),
        Cause::NotRunning => Failure::new(Kind::State, stage, what),
        Cause::Invalid => Failure::invalid(stage, what),
        Cause::Other => Failure::internal(stage, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, OwnedFd) {
        let (ours, theirs) = packet::pair().unwrap();
        (Channel::new("test", ours).unwrap(), theirs)
    }

    fn say(socket: &OwnedFd, report: &Report) {
        packet::send(socket.as_fd(), &report.encode(), &[]).unwrap();
    }

    #[tokio::test]
    async fn an_exec_runs_when_the_channel_ends_without_a_failure() {
        let (channel, theirs) = pair();
        say(&theirs, &Report::Pid(9));
        drop(theirs);
        assert_eq!(channel.wait_until_executed().await.unwrap_or_else(|_| panic!("failed")).pid, 9);
    }

    #[tokio::test]
    async fn a_container_is_ready_when_both_halves_have_reported_in_whatever_order() {
        let (mut channel, theirs) = pair();
        say(&theirs, &Report::Ready);
        say(&theirs, &Report::Pid(9));
        assert_eq!(channel.wait_until_ready().await.unwrap_or_else(|_| panic!("failed")).pid, 9);
    }

    #[tokio::test]
    async fn tells_a_missing_program_from_a_process_that_vanished() {
        let (channel, theirs) = pair();
        let what = "executable file `x` not found in $PATH: No such file or directory".to_owned();
        say(&theirs, &Report::Failed(Trouble { cause: Cause::ProgramMissing, what }));
        let missing = channel.wait_until_executed().await.err().unwrap();
        assert_eq!(missing.kind, Kind::NotFound);
        assert!(missing.to_string().starts_with("test: executable file not found: executable file `x`"));
        let (mut channel, theirs) = pair();
        drop(theirs);
        assert_eq!(channel.wait_until_ready().await.err().unwrap().kind, Kind::Internal);
    }

    #[tokio::test]
    async fn an_init_that_has_exited_can_not_be_started() {
        let (channel, theirs) = pair();
        drop(theirs);
        assert_eq!(channel.go().await.err().unwrap().kind, Kind::State);
    }
}
