//! Addresses as the host writes them.

use std::net::IpAddr;

/// "10.88.0.5/16".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix_length: u8,
}

impl Cidr {
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_length: u8 = length.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix_length <= most).then_some(Self { address, prefix_length })
    }
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// As netlink wants it.
pub fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or_default()
}

/// "02:42:ac:11:00:02".
pub fn mac_octets(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None }).collect();
    bytes?.try_into().ok()
}

/// As in /sys/class/net/*/address.
pub fn mac_text(octets: [u8; 6]) -> String {
    octets.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_both_families_and_refuses_the_rest() {
        assert_eq!(Cidr::parse("10.88.0.5/16").map(|cidr| cidr.prefix_length), Some(16));
        assert_eq!(Cidr::parse("fd00::5/64").map(|cidr| octets(cidr.address).len()), Some(16));
        assert_eq!(Cidr::parse("0.0.0.0/0").map(|cidr| cidr.prefix_length), Some(0));
        for text in ["", "10.0.0.1", "10.0.0.1/33", "fd00::/129", "10.0.0/8", "10.0.0.1/-1", "a/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn compares_macs_in_one_form() {
        assert_eq!(mac_octets("02:42:AC:11:00:02").map(mac_text).as_deref(), Some("02:42:ac:11:00:02"));
        for text in ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "xx:42:ac:11:00:02"] {
            assert_eq!(mac_octets(text), None, "{text}");
        }
    }
}
