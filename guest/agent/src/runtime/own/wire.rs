//! What the server and the process that makes a container or an exec say to each other: the job in a memfd, reports and
//! the word to go over a SOCK_SEQPACKET socket. The host and with it the job is trusted; nothing of a container writes
//! to this socket before it is closed by exec.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Order of the descriptors that come with `Request::Launch`.
pub const JOB: usize = 0;
pub const STDIO: [usize; 3] = [1, 2, 3];
pub const CHANNEL: usize = 4;
pub const CGROUP: usize = 5;
/// Of the container's init; for execs and files only.
pub const PIDFD: usize = 6;

/// The one message of the server: execute the program.
pub const GO: &[u8] = b"go";

const HEAD_BYTES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Exec,
    Files,
}

/// A seccomp filter as seccomp(2) takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Array of struct sock_filter; empty: no filter.
    pub bpf: Vec<u8>,
    pub flags: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    pub verb: Verb,
    /// Exec and files: namespaces of the container that differ from the agent's, as CLONE_NEW* bits.
    pub namespaces: i32,
    pub filter: Filter,
    /// Exec and files: groups of cgroup v1 to enter first.
    pub old_groups: Vec<String>,
    /// Create: the OCI spec. Exec: the OCI process. Files: a `FileWorker`.
    pub json: Vec<u8>,
}

impl Job {
    pub fn into_memfd(self) -> Result<OwnedFd, Errno> {
        let fd = memfd_create(c"job", MFdFlags::MFD_CLOEXEC)?;
        let mut file = File::from(fd);
        file.write_all(&self.encode()?).and_then(|()| file.rewind()).map_err(errno_of)?;
        Ok(file.into())
    }

    pub fn from_memfd(fd: OwnedFd) -> Result<Self, Errno> {
        let mut bytes = Vec::new();
        File::from(fd).read_to_end(&mut bytes).map_err(errno_of)?;
        Self::decode(&bytes).ok_or(Errno::EBADMSG)
    }

    fn encode(&self) -> Result<Vec<u8>, Errno> {
        let verb: u32 = match self.verb {
            Verb::Create => 1,
            Verb::Exec => 2,
            Verb::Files => 3,
        };
        let length = u32::try_from(self.filter.bpf.len()).map_err(|_| Errno::E2BIG)?;
        let groups = self.old_groups.join("\0");
        let groups_length = u32::try_from(groups.len()).map_err(|_| Errno::E2BIG)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.filter.bpf.len() + groups.len() + self.json.len());
        for word in [verb, self.namespaces.cast_unsigned(), self.filter.flags, length, groups_length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.filter.bpf);
        bytes.extend(groups.as_bytes());
        bytes.extend(&self.json);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let word = |index: usize| {
            let four = head.get(index * 4..index * 4 + 4)?;
            four.try_into().ok().map(u32::from_le_bytes)
        };
        let verb = match word(0)? {
            1 => Verb::Create,
            2 => Verb::Exec,
            3 => Verb::Files,
            _ => return None,
        };
        let (bpf, json) = rest.split_at_checked(usize::try_from(word(3)?).ok()?)?;
        let (groups, json) = json.split_at_checked(usize::try_from(word(4)?).ok()?)?;
        let groups = std::str::from_utf8(groups).ok()?.split('\0').filter(|path| !path.is_empty());
        let old_groups = groups.map(str::to_owned).collect();
        let filter = Filter { bpf: bpf.to_vec(), flags: word(2)? };
        Some(Self { verb, namespaces: word(1)?.cast_signed(), filter, old_groups, json: json.to_vec() })
    }
}

/// Why there is no container or exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    ProgramMissing,
    /// The container has exited.
    NotRunning,
    /// The spec asks for what can't be.
    Invalid,
    Other,
}

/// What went wrong, for people: "mount /proc: Operation not permitted".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub cause: Cause,
    pub what: String,
}

impl Trouble {
    pub fn invalid(what: impl Into<String>) -> Self {
        Self { cause: Cause::Invalid, what: what.into() }
    }
}

/// For `map_err`: a system call that failed while doing `what`.
pub fn during<E: Into<Errno>>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Trouble {
    move |error| Trouble { cause: Cause::Other, what: format!("{what}: {}", error.into().desc()) }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// Pid of the process in the agent's pid namespace.
    Pid(i32),
    /// The master of its terminal comes with it.
    Terminal,
    /// Everything is made; it waits for GO.
    Ready,
    Failed(Trouble),
}

impl Report {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Pid(pid) => format!("pid\0{pid}").into_bytes(),
            Self::Terminal => b"terminal".to_vec(),
            Self::Ready => b"ready".to_vec(),
            Self::Failed(Trouble { cause, what }) => format!("failed\0{cause:?}\0{what}").into_bytes(),
        }
    }

    pub fn decode(message: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(message);
        let mut fields = text.splitn(3, '\0');
        match fields.next()? {
            "pid" => fields.next()?.parse().ok().map(Self::Pid),
            "terminal" => Some(Self::Terminal),
            "ready" => Some(Self::Ready),
            "failed" => {
                let cause = match fields.next()? {
                    "ProgramMissing" => Cause::ProgramMissing,
                    "NotRunning" => Cause::NotRunning,
                    "Invalid" => Cause::Invalid,
                    _ => Cause::Other,
                };
                Some(Self::Failed(Trouble { cause, what: fields.next()?.to_owned() }))
            }
            _ => None,
        }
    }
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_out_as_they_went_in() {
        let filter = Filter { bpf: vec![1, 2, 3], flags: 2 };
        let groups = vec!["/cpu/x".to_owned(), "/memory/x".to_owned()];
        let job = || Job {
            verb: Verb::Exec,
            namespaces: i32::MIN,
            filter: filter.clone(),
            old_groups: groups.clone(),
            json: b"{}".to_vec(),
        };
        assert_eq!(Job::from_memfd(job().into_memfd().unwrap()).unwrap(), job());
        assert_eq!(Job::decode(&[1; 24]), None);
        assert_eq!(Job::decode(&[0; 3]), None);
    }

    #[test]
    fn reports_come_out_as_they_went_in() {
        let trouble = Trouble { cause: Cause::ProgramMissing, what: "a\0b: No such file".to_owned() };
        for report in [Report::Pid(7), Report::Terminal, Report::Ready, Report::Failed(trouble)] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(b""), None);
        assert_eq!(Report::decode(b"pid\0many"), None);
    }
}
