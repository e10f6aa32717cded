//! Why a request failed: what the client needs in a status. The modules below have no words of gRPC.

use std::fmt;

/// Mapped to gRPC codes in `rpc::status` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request can't be meant.
    Invalid,
    /// No such session, process or program.
    NotFound,
    /// The id is taken.
    Exists,
    /// Legal, but not in this state.
    State,
    /// Another client took over.
    Aborted,
    /// Not over within its limit; it goes on.
    TooLate,
    /// The kernel, or a scope, forbids it.
    Denied,
    /// The guest has not enough of it.
    Exhausted,
    /// This agent does not do that.
    Unimplemented,
    /// A step in the guest failed.
    Internal,
}

/// Reads as "<stage>: <what>"; what a system call said comes last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {what}")]
pub struct Failure {
    pub kind: Kind,
    pub stage: &'static str,
    pub what: String,
}

impl Failure {
    pub fn new(kind: Kind, stage: &'static str, what: impl fmt::Display) -> Self {
        Self { kind, stage, what: what.to_string() }
    }

    pub fn internal(stage: &'static str, what: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, stage, what)
    }

    pub fn invalid(stage: &'static str, what: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, stage, what)
    }
}

/// For `map_err`: an internal failure of `stage` while doing `doing`.
pub fn while_doing<E: fmt::Display>(stage: &'static str, doing: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::internal(stage, format!("{doing}: {error}"))
}
