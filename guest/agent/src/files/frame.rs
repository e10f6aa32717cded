//! What the server and a worker say to each other over a stream socket: length (4 bytes, little endian), kind (1 byte), and
//! so many bytes of a message of the contract, of a file, or of text.

use std::io::{self, Read, Write};

/// The most of a file in one frame, as the contract has it.
pub const MAX_DATA_BYTES: usize = 256 * 1024;
pub const MAX_FRAME_BYTES: usize = MAX_DATA_BYTES + 64 * 1024;
pub const HEAD_BYTES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    // calls, with the contract's request
    Stat = 1,
    List,
    Read,
    Write,
    MakeDirectory,
    Move,
    Remove,
    Watch,
    /// Part of a file, either way.
    Data,
    /// Of the data of a call: the file is whole.
    End,
    /// A message of the contract's answer.
    Answer,
    /// The call has ended well.
    Done,
    /// It has not: kind of failure (1 byte), then text.
    Failed,
}

const KINDS: [Kind; 13] = [
    Kind::Stat,
    Kind::List,
    Kind::Read,
    Kind::Write,
    Kind::MakeDirectory,
    Kind::Move,
    Kind::Remove,
    Kind::Watch,
    Kind::Data,
    Kind::End,
    Kind::Answer,
    Kind::Done,
    Kind::Failed,
];

/// Kind and length, where they are that.
pub fn read_head(head: [u8; HEAD_BYTES]) -> io::Result<(Kind, usize)> {
    let [a, b, c, d, kind] = head;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    match KINDS.iter().find(|one| **one as u8 == kind) {
        Some(kind) if length <= MAX_FRAME_BYTES => Ok((*kind, length)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

pub fn head(kind: Kind, length: usize) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c, d, kind as u8]
}

/// For a worker, which waits for nothing else meanwhile.
pub fn send(socket: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.extend(head(kind, payload.len()));
    frame.extend(payload);
    socket.write_all(&frame)
}

/// None: the server has gone, or has given the call up.
pub fn receive(socket: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; HEAD_BYTES];
    match socket.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let (kind, length) = read_head(head)?;
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload)?;
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut bytes = Vec::new();
        for kind in KINDS {
            send(&mut bytes, kind, &[7; 300]).unwrap();
        }
        let mut reader = bytes.as_slice();
        for kind in KINDS {
            assert_eq!(receive(&mut reader).unwrap(), Some((kind, vec![7; 300])));
        }
        assert_eq!(receive(&mut reader).unwrap(), None);
    }

    #[test]
    fn refuses_a_kind_that_there_is_not_and_a_length_that_there_may_not_be() {
        assert!(read_head([0, 0, 0, 0, 0]).is_err());
        assert!(read_head([0, 0, 0, 0, 14]).is_err());
        assert!(read_head(head(Kind::Data, MAX_FRAME_BYTES + 1)).is_err());
        assert!(read_head(head(Kind::Data, MAX_FRAME_BYTES)).is_ok());
    }
}
