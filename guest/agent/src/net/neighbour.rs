//! Permanent entries of the neighbour table.

use std::net::IpAddr;

use super::address::{family, mac_octets, octets};
use super::netlink::Message;

/// linux/neighbour.h
const NUD_PERMANENT: u16 = 0x80;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    address: IpAddr,
    mac: [u8; 6],
}

impl Neighbour {
    pub fn parse(address: &str, mac: &str) -> Option<Self> {
        Some(Self { address: address.parse().ok()?, mac: mac_octets(mac)? })
    }

    /// struct ndmsg.
    pub fn message(self, index: i32) -> Message {
        let mut fixed = vec![family(self.address), 0, 0, 0];
        fixed.extend(index.to_ne_bytes());
        fixed.extend(NUD_PERMANENT.to_ne_bytes());
        fixed.extend([0; 2]);
        Message::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &fixed)
            .attribute(NDA_DST, &octets(self.address))
            .attribute(NDA_LLADDR, &self.mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_malformed() {
        assert!(Neighbour::parse("169.254.1.1", "ee:ee:ee:ee:ee:ee").is_some());
        assert!(Neighbour::parse("169.254.1", "ee:ee:ee:ee:ee:ee").is_none());
        assert!(Neighbour::parse("169.254.1.1", "ee:ee:ee").is_none());
    }
}
