//! From a process that is made to the program that it becomes.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{AccessFlags, faccessat, fchdir};

use super::credentials::Credentials;
use super::resolve;
use super::sys;
use crate::runtime::own::spec::Process;
use crate::runtime::own::wire::{Cause, GO, Report, Trouble, during};

/// Where crun looks when there is no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
const DEFAULT_UMASK: u32 = 0o022;
const LAST_SIGNAL: libc::c_int = 64;
/// runc's exit code when the kernel refuses what it has found.
const NOT_A_PROGRAM: libc::c_int = 1;

/// The program, found; strings as execve wants them.
pub struct Program {
    path: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    umask: Mode,
}

impl Program {
    /// This process is in the container's root and in the program's directory.
    pub fn find(process: &Process) -> Result<Self, Trouble> {
        let name = process.args.first().map(String::as_str).unwrap_or_default();
        let path = process.env.iter().rev().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let strings = |texts: &[String]| texts.iter().map(|one| sys::text(one)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            path: sys::text(&executable(name, path)?).map_err(during("the program's path"))?,
            argv: strings(&process.args).map_err(during("args"))?,
            env: strings(&process.env).map_err(during("env"))?,
            umask: Mode::from_bits_truncate(process.user.umask.unwrap_or(DEFAULT_UMASK)),
        })
    }

    /// Takes the program's rights and becomes it; `wait`: reports that it is ready, and waits for the word to go.
    /// Returns only on failure. Close-on-exec closes everything else.
    pub fn run(self, credentials: &Credentials, stdio: [&OwnedFd; 3], channel: &OwnedFd, wait: bool) -> Trouble {
        match self.run_through(credentials, stdio, channel, wait) {
            Ok(never) => match never {},
            Err(trouble) => trouble,
        }
    }

    fn run_through(
        self,
        credentials: &Credentials,
        stdio: [&OwnedFd; 3],
        channel: &OwnedFd,
        wait: bool,
    ) -> Result<std::convert::Infallible, Trouble> {
        let argv = pointers(&self.argv);
        let env = pointers(&self.env);
        // made now: behind the filter there may be no memory to be had
        let ready = Report::Ready.encode();
        let mut failed = Vec::with_capacity(self.path.count_bytes() + 128);
        failed.extend([b"exec ", self.path.as_bytes(), b": "].concat());
        umask(self.umask);
        for (target, source) in (0..).zip(stdio) {
            // SAFETY: a system call without pointers; the numbers 0 to 2 belong to nobody in this process.
            let placed = unsafe { libc::dup2(source.as_raw_fd(), target) };
            Errno::result(placed).map_err(during("place standard input and output"))?;
        }
        reset_signals();
        credentials.take()?;
        if wait {
            self.wait_for_go(&ready, channel)?;
        }
        // SAFETY: path, arguments and environment are C strings that live in `self`; both arrays end with null.
        unsafe { libc::execve(self.path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        // as with runc: it has started, says why it is no program where a program would, and has failed
        failed.extend(Errno::last().desc().bytes().map(|byte| byte.to_ascii_lowercase()));
        failed.push(b'\n');
        let _ = nix::unistd::write(std::io::stderr(), &failed);
        // SAFETY: ends the process without running what belongs to its parent.
        unsafe { libc::_exit(NOT_A_PROGRAM) }
    }

    /// A server that is gone says nothing any more: the end.
    fn wait_for_go(&self, ready: &[u8], channel: &OwnedFd) -> Result<(), Trouble> {
        nix::unistd::write(channel, ready).map_err(during("report that it is ready"))?;
        let mut word = [0; GO.len()];
        match nix::unistd::read(channel, &mut word) {
            Ok(_) if word == GO => Ok(()),
            // SAFETY: as above.
            _ => unsafe { libc::_exit(127) },
        }
    }
}

/// The directory that the program starts in. No magic link leads there: /proc/self/fd/N would be one of the descriptors that
/// this process still has of the guest.
pub fn enter_directory(cwd: &str, if_missing: IfMissing) -> Result<(), Trouble> {
    let root = resolve::root().map_err(during("open the root"))?;
    let directory = match resolve::open(&root, cwd, OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Err(Errno::ENOENT) if if_missing == IfMissing::Make => resolve::make(&root, cwd, resolve::Kind::Directory),
        other => other,
    };
    directory.and_then(fchdir).map_err(during(format!("chdir to `{cwd}`")))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    Make,
    Fail,
}

/// Path of a program by its name, as a shell would find it. The words are those of crun, which the daemon knows.
fn executable(name: &str, path: &str) -> Result<String, Trouble> {
    let candidates: Vec<String> = if name.contains('/') {
        vec![name.to_owned()]
    } else {
        path.split(':')
            .filter(|directory| !directory.is_empty())
            .map(|directory| format!("{directory}/{name}"))
            .collect()
    };
    let mut found = Errno::ENOENT;
    for candidate in candidates {
        match check_executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => found = errno,
        }
    }
    match found {
        Errno::ENOENT => {
            let what = format!("executable file `{name}` not found in $PATH: {}", found.desc());
            Err(Trouble { cause: Cause::ProgramMissing, what })
        }
        errno => Err(Trouble::invalid(format!("open executable: `{name}`: {}", errno.desc()))),
    }
}

/// Through magic links nothing is executed: /proc/self/exe is the agent.
fn check_executable(path: &str) -> Result<(), Errno> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let found = openat2(AT_FDCWD, path, how)?;
    let kind = fstat(&found)?.st_mode & SFlag::S_IFMT.bits();
    if kind != SFlag::S_IFREG.bits() {
        return Err(Errno::EACCES);
    }
    faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)
}

/// As a program expects them: none blocked, none ignored (the agent ignores SIGPIPE, and exec would keep that).
fn reset_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL is a valid disposition; SIGKILL and SIGSTOP refuse, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = SigSet::all().thread_unblock();
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_as_a_shell_does() {
        assert_eq!(executable("sh", "/nowhere::/bin").unwrap(), "/bin/sh");
        assert_eq!(executable("/bin/sh", "").unwrap(), "/bin/sh");
    }

    #[test]
    fn tells_a_missing_program_from_one_that_may_not_be_executed() {
        let missing = executable("nope", "/bin").unwrap_err();
        assert_eq!(missing.cause, Cause::ProgramMissing);
        assert_eq!(missing.what, "executable file `nope` not found in $PATH: No such file or directory");
        let forbidden = executable("/etc/passwd", "").unwrap_err();
        assert_eq!(forbidden.cause, Cause::Invalid);
        assert!(forbidden.what.contains("Permission denied"));
        let own = executable("/proc/self/exe", "").unwrap_err();
        assert!(own.cause == Cause::Invalid && own.what.contains("/proc/self/exe"));
    }
}
