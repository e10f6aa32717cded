//! One packet with descriptors over a SOCK_SEQPACKET socket.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg, sendmsg,
    socketpair,
};

use super::message::{MAX_DESCRIPTORS, MAX_MESSAGE_BYTES};

pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

pub fn send(socket: BorrowedFd<'_>, message: &[u8], descriptors: &[OwnedFd]) -> Result<(), Errno> {
    let raw: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_fd().as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(message)], control, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// One packet; an empty one means that the other side is gone. Too many descriptors or too long a packet is EMSGSIZE.
pub fn receive(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let mut space = nix::cmsg_space!([i32; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just installed these descriptors in this process for us; nobody else knows them.
            descriptors.extend(raw.into_iter().map(|one| unsafe { OwnedFd::from_raw_fd(one) }));
        }
    }
    if received.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    let length = received.bytes;
    buffer.truncate(length);
    Ok((buffer, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn carries_bytes_and_descriptors() {
        let (left, right) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(left.as_fd(), b"hello", &[OwnedFd::from(writer)]).unwrap();
        let (message, mut descriptors) = receive(right.as_fd()).unwrap();
        assert_eq!(message, b"hello");
        let mut file = std::fs::File::from(descriptors.remove(0));
        file.write_all(b"through").unwrap();
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn tells_that_the_other_side_is_gone() {
        let (left, right) = pair().unwrap();
        drop(left);
        assert_eq!(receive(right.as_fd()).unwrap().0, b"");
    }
}
