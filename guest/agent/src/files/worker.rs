//! What works on files: a process in the container, which is told by the server what to do, one call after the other, and
//! ends when the server lets go of it.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use prost::Message;

use super::fault::{Fault, Gone, Stop};
use super::frame::{self, Kind};
use super::people::People;
use super::place::Scope;
use super::place::{Above, Link};
use super::{attributes, change, entry, list, read, watch, write};
use crate::failure;
use crate::pb;

/// What a call has at hand.
pub struct Call<'a> {
    pub socket: &'a UnixStream,
    pub people: &'a People,
    home: &'a [u8],
}

impl Call<'_> {
    pub fn scope(&self, scope: Option<&pb::FileScope>) -> Result<Scope, Fault> {
        let scope = scope.ok_or_else(|| Fault::invalid("no scope given"))?;
        attributes::check_prefix(&scope.attributes)?;
        let mut found = Scope::new(self.home, &scope.base, &scope.root)?;
        found.attributes.clone_from(&scope.attributes);
        Ok(found)
    }

    pub fn answer(&mut self, message: &impl Message) -> Result<(), Gone> {
        frame::send(&mut self.socket, Kind::Answer, &message.encode_to_vec()).map_err(|_| Gone)
    }

    /// Head and payload at once.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<(), Gone> {
        self.socket.write_all(frame).map_err(|_| Gone)
    }

    pub fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, Gone> {
        frame::receive(&mut self.socket).map_err(|_| Gone)
    }
}

/// In the process that has the user's rights. Never returns.
pub fn serve(socket: OwnedFd, people: &People, home: &[u8]) -> ! {
    let socket = UnixStream::from(socket);
    while let Ok(Some((kind, request))) = frame::receive(&mut &socket) {
        let ended = run(&mut Call { socket: &socket, people, home }, kind, &request);
        // it must not be in the way of who unmounts what it has looked at
        let _ = nix::unistd::chdir(c"/");
        let told = match ended {
            Ok(()) => frame::send(&mut &socket, Kind::Done, &[]),
            Err(Stop::Gone) => break,
            Err(Stop::Fault(fault)) => frame::send(&mut &socket, Kind::Failed, &encode(&fault)),
        };
        // what is on its way after a write that has failed is no call
        if told.is_err() || kind == Kind::Write {
            break;
        }
    }
    // SAFETY: ends the process without running what belongs to its parent.
    unsafe { libc::_exit(0) }
}

fn run(call: &mut Call<'_>, kind: Kind, request: &[u8]) -> Result<(), Stop> {
    match kind {
        Kind::Stat => stat(call, &decode(request)?),
        Kind::List => list::run(call, &decode(request)?),
        Kind::Read => read::run(call, &decode(request)?),
        Kind::Write => write::run(call, &decode(request)?),
        Kind::MakeDirectory => change::make_directory(call, &decode(request)?),
        Kind::Move => change::move_file(call, &decode(request)?),
        Kind::Remove => change::remove_file(call, &decode(request)?),
        Kind::Watch => watch::run(call, &decode(request)?),
        Kind::Data | Kind::End | Kind::Answer | Kind::Done | Kind::Failed => Err(Gone.into()),
    }
}

fn stat(call: &mut Call<'_>, request: &pb::StatFileRequest) -> Result<(), Stop> {
    let link = if request.follow { Link::Follow } else { Link::Keep };
    let scope = call.scope(request.scope.as_ref())?;
    let place = scope.find(&request.path, link, Above::MustBe)?;
    let entry = entry::of_place(&place, call.people, &scope.attributes)?;
    call.answer(&pb::StatFileResponse { entry: Some(entry) })?;
    Ok(())
}

fn decode<M: Message + Default>(request: &[u8]) -> Result<M, Gone> {
    M::decode(request).map_err(|_| Gone)
}

const KINDS: [failure::Kind; 7] = [
    failure::Kind::Invalid,
    failure::Kind::NotFound,
    failure::Kind::Exists,
    failure::Kind::State,
    failure::Kind::Denied,
    failure::Kind::Exhausted,
    failure::Kind::Internal,
];

fn encode(fault: &Fault) -> Vec<u8> {
    let index = KINDS.iter().position(|kind| *kind == fault.kind).unwrap_or(KINDS.len() - 1);
    let mut bytes = vec![u8::try_from(index).unwrap_or_default()];
    bytes.extend(fault.what.as_bytes());
    bytes
}

/// What a worker says of a failure, in the server.
pub fn decode_fault(bytes: &[u8]) -> (failure::Kind, String) {
    let (index, text) = bytes.split_first().unwrap_or((&u8::MAX, &[]));
    let kind = KINDS.get(usize::from(*index)).copied().unwrap_or(failure::Kind::Internal);
    (kind, String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_out_as_they_went_in() {
        for kind in KINDS {
            let fault = Fault::new(kind, "why");
            assert_eq!(decode_fault(&encode(&fault)), (kind, "why".to_owned()));
        }
        assert_eq!(decode_fault(&[]), (failure::Kind::Internal, String::new()));
        assert_eq!(decode_fault(&[99, 0xff]).0, failure::Kind::Internal);
    }
}
