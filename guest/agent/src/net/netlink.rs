//! Requests to rtnetlink(7), one at a time, each answered by an acknowledgement.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const HEADER_BYTES: usize = 16;
const ERROR_BYTES: usize = HEADER_BYTES + 4;
const ALIGNMENT: usize = 4;

/// A message being put together: header, fixed part, attributes.
pub struct Message(Vec<u8>);

impl Message {
    pub fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]); // sequence and port: one request at a time needs neither
        bytes.extend(fixed);
        let mut message = Self(bytes);
        message.pad();
        message
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.pad();
        self
    }

    /// One attribute by itself, to be another's value.
    pub fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
        Self(Vec::new()).attribute(kind, value).0
    }

    fn pad(&mut self) {
        while !self.0.len().is_multiple_of(ALIGNMENT) {
            self.0.push(0);
        }
    }

    fn finish(self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        length.to_ne_bytes().into_iter().chain(self.0.into_iter().skip(4)).collect()
    }
}

pub struct Netlink(OwnedFd);

impl Netlink {
    pub fn open() -> Result<Self, Errno> {
        let protocol = SockProtocol::NetlinkRoute;
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map(Self)
    }

    pub fn request(&self, message: Message) -> Result<(), Errno> {
        send(self.0.as_raw_fd(), &message.finish(), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        match acknowledged(answer.get(..length).unwrap_or_default()) {
            Some(0) => Ok(()),
            Some(error) => Err(Errno::from_raw(-error)),
            None => Err(Errno::EPROTO),
        }
    }
}

/// The error number of an NLMSG_ERROR: 0 or negative.
fn acknowledged(answer: &[u8]) -> Option<i32> {
    let kind = answer.get(4..6)?;
    if kind != u16::try_from(libc::NLMSG_ERROR).ok()?.to_ne_bytes() {
        return None;
    }
    answer.get(HEADER_BYTES..ERROR_BYTES)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_a_message_out_as_the_kernel_reads_it() {
        let bytes = Message::new(16, 0, &[7; 5]).attribute(3, b"eth").finish();
        assert_eq!(bytes.len(), 16 + 8 + 8);
        assert_eq!(bytes[..4], 32u32.to_ne_bytes());
        assert_eq!(bytes[24..26], 7u16.to_ne_bytes());
        assert_eq!(&bytes[28..], b"eth\0");
    }

    #[test]
    fn understands_the_kernels_answers() {
        let netlink = Netlink::open().unwrap();
        // an interface index that can't be: the kernel says ENODEV
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let refused = netlink.request(Message::new(libc::RTM_NEWLINK, 0, &fixed));
        assert!(refused.is_err_and(|errno| matches!(errno, Errno::ENODEV | Errno::EPERM)));
    }
}
