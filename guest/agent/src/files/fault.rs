//! Why a call about files has failed, in a worker.

use nix::errno::Errno;

use crate::failure::Kind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub what: String,
}

/// Nobody is there any more to tell.
#[derive(Debug)]
pub struct Gone;

/// Of a call: it has failed, or its client has gone.
#[derive(Debug)]
pub enum Stop {
    Fault(Fault),
    Gone,
}

impl Fault {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, what)
    }

    pub fn outside() -> Self {
        Self::new(Kind::Denied, "the path leads out of the directory that it has to stay in")
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOENT => Kind::NotFound,
            Errno::EEXIST => Kind::Exists,
            Errno::EACCES | Errno::EPERM | Errno::EROFS => Kind::Denied,
            Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
                Kind::Exhausted
            }
            Errno::ENOTEMPTY | Errno::EBUSY | Errno::ETXTBSY | Errno::EXDEV | Errno::EAGAIN => Kind::State,
            Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::EINVAL
            | Errno::EILSEQ
            | Errno::ENXIO
            | Errno::ENODEV
            | Errno::EMLINK => Kind::Invalid,
            _ => Kind::Internal,
        };
        Self::new(kind, errno.desc())
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)).into()
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Fault(errno.into())
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}
