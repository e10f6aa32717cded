//! One interface: found by MAC, named, brought up, given addresses and routes.

use std::fs;
use std::net::IpAddr;

use nix::errno::Errno;

use super::address::{Cidr, family, mac_octets, mac_text, octets};
use super::neighbour::Neighbour;
use super::netlink::{Message, Netlink};
use super::route::{ParsedRoute, Route};
use crate::failure::Kind;

const INTERFACES: &str = "/sys/class/net";
const MAX_NAME_BYTES: usize = 15; // IFNAMSIZ with its NUL
const CREATE_OR_REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;
/// linux/if_addr.h
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

pub struct Interface {
    pub name: String,
    pub mac: String,
    /// Empty: `mac`.
    pub device_mac: String,
    /// 0: stays.
    pub mtu: u32,
    pub promiscuous: bool,
    pub all_multicast: bool,
    /// Packets; 0: stays.
    pub transmit_queue: u32,
    pub addresses: Vec<String>,
    pub routes: Vec<Route>,
    /// Address and MAC.
    pub neighbours: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    #[error("{what} {value:?} of interface {name:?} is malformed")]
    Malformed { what: &'static str, value: String, name: String },
    #[error("no interface has the MAC {0}")]
    NoSuchMac(String),
    #[error("interface {name}: {doing}: {errno}")]
    Refused { name: String, doing: String, errno: Errno },
}

impl InterfaceError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Malformed { .. } => Kind::Invalid,
            Self::NoSuchMac(_) => Kind::NotFound,
            Self::Refused { .. } => Kind::Internal,
        }
    }
}

struct Parsed {
    mac: [u8; 6],
    device_mac: [u8; 6],
    addresses: Vec<Cidr>,
    routes: Vec<ParsedRoute>,
    neighbours: Vec<Neighbour>,
}

/// May be called again: what is there already is replaced, nothing is taken away.
pub fn set_up(wanted: &Interface) -> Result<(), InterfaceError> {
    let parsed = parse(wanted)?;
    let found = find(parsed.mac).or_else(|| find(parsed.device_mac));
    let (current, index) = found.ok_or_else(|| InterfaceError::NoSuchMac(mac_text(parsed.device_mac)))?;
    let refused = |doing: String| {
        let name = wanted.name.clone();
        move |errno| InterfaceError::Refused { name, doing, errno }
    };
    let netlink = Netlink::open().map_err(refused("open netlink".to_owned()))?;
    if current != wanted.name {
        let down = link(index, 0, IFF_UP);
        netlink.request(down).map_err(refused("take it down".to_owned()))?;
        let mut name = wanted.name.clone().into_bytes();
        name.push(0);
        let rename = link(index, 0, 0).attribute(libc::IFLA_IFNAME, &name);
        netlink.request(rename).map_err(refused(format!("rename it from {current}")))?;
    }
    if parsed.mac != parsed.device_mac {
        // Before it is up: the kernel makes the link-local IPv6 address of it.
        let address = link(index, 0, 0).attribute(libc::IFLA_ADDRESS, &parsed.mac);
        netlink.request(address).map_err(refused(format!("set its MAC to {}", wanted.mac)))?;
    }
    // The link-local address too is usable at once. Where the kernel has no IPv6 there is nothing to turn off.
    let _no_ipv6 = fs::write(format!("/proc/sys/net/ipv6/conf/{}/accept_dad", wanted.name), "0");
    let mut flags = IFF_UP;
    flags |= if wanted.promiscuous { IFF_PROMISC } else { 0 };
    flags |= if wanted.all_multicast { IFF_ALLMULTI } else { 0 };
    let mut up = link(index, flags, flags);
    for (attribute, value) in [(libc::IFLA_MTU, wanted.mtu), (libc::IFLA_TXQLEN, wanted.transmit_queue)] {
        if value != 0 {
            up = up.attribute(attribute, &value.to_ne_bytes());
        }
    }
    netlink.request(up).map_err(refused(format!("bring it up with MTU {}", wanted.mtu)))?;
    for (address, text) in parsed.addresses.iter().zip(&wanted.addresses) {
        netlink.request(new_address(index, *address)).map_err(refused(format!("add address {text}")))?;
    }
    for (route, text) in parsed.routes.iter().zip(&wanted.routes) {
        add_route(&netlink, index, *route)
            .map_err(refused(format!("add route {} via {:?}", text.destination, text.gateway)))?;
    }
    for (neighbour, (address, mac)) in parsed.neighbours.iter().zip(&wanted.neighbours) {
        let added = netlink.request(neighbour.message(index));
        added.map_err(refused(format!("add neighbour {address} at {mac}")))?;
    }
    Ok(())
}

/// Undoes `set_up`, but for the name.
pub fn take_down(wanted: &Interface) -> Result<(), InterfaceError> {
    let parsed = parse(wanted)?;
    let (name, index) = find(parsed.mac).ok_or_else(|| InterfaceError::NoSuchMac(mac_text(parsed.mac)))?;
    let refused = |doing: &str| {
        let (name, doing) = (name.clone(), doing.to_owned());
        move |errno| InterfaceError::Refused { name, doing, errno }
    };
    let netlink = Netlink::open().map_err(refused("open netlink"))?;
    // Routes, neighbours, groups and all IPv6 addresses go with it.
    netlink.request(link(index, 0, IFF_UP)).map_err(refused("take it down"))?;
    for (address, text) in parsed.addresses.iter().zip(&wanted.addresses).filter(|(cidr, _)| cidr.address.is_ipv4()) {
        netlink.request(old_address(index, *address)).map_err(refused(&format!("remove address {text}")))?;
    }
    let mac = link(index, 0, 0).attribute(libc::IFLA_ADDRESS, &parsed.device_mac);
    netlink.request(mac).map_err(refused("set its MAC back"))
}

fn parse(wanted: &Interface) -> Result<Parsed, InterfaceError> {
    let malformed =
        |what, value: &str| InterfaceError::Malformed { what, value: value.to_owned(), name: wanted.name.clone() };
    let plain = wanted.name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
    if wanted.name.is_empty() || wanted.name.len() > MAX_NAME_BYTES || !plain || wanted.name.starts_with('.') {
        return Err(malformed("name", &wanted.name));
    }
    let mac = mac_octets(&wanted.mac).ok_or_else(|| malformed("mac", &wanted.mac))?;
    let device_mac = match wanted.device_mac.as_str() {
        "" => mac,
        text => mac_octets(text).ok_or_else(|| malformed("device MAC", text))?,
    };
    let mut addresses = Vec::new();
    for text in &wanted.addresses {
        addresses.push(Cidr::parse(text).ok_or_else(|| malformed("address", text))?);
    }
    let mut routes = Vec::new();
    for route in &wanted.routes {
        routes.push(route.parse().map_err(|(what, text)| malformed(what, &text))?);
    }
    let mut neighbours = Vec::new();
    for (address, mac) in &wanted.neighbours {
        neighbours.push(Neighbour::parse(address, mac).ok_or_else(|| malformed("neighbour", address))?);
    }
    Ok(Parsed { mac, device_mac, addresses, routes, neighbours })
}

/// Name and index.
fn find(mac: [u8; 6]) -> Option<(String, i32)> {
    let mac = mac_text(mac);
    let names = fs::read_dir(INTERFACES).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let read = |name: &str, file: &str| fs::read_to_string(format!("{INTERFACES}/{name}/{file}")).unwrap_or_default();
    let mut matching = names.filter(|name| read(name, "address").trim() == mac);
    let name = matching.next()?;
    let index = read(&name, "ifindex").trim().parse().ok()?;
    Some((name, index))
}

/// struct ifinfomsg.
fn link(index: i32, flags: u32, change: u32) -> Message {
    let mut fixed = vec![0; 4];
    fixed.extend(index.to_ne_bytes());
    fixed.extend(flags.to_ne_bytes());
    fixed.extend(change.to_ne_bytes());
    Message::new(libc::RTM_NEWLINK, 0, &fixed)
}

/// struct ifaddrmsg. An IPv6 address is usable at once: the host has looked for duplicates.
fn new_address(index: i32, cidr: Cidr) -> Message {
    let flags = IFA_F_NOPREFIXROUTE | if cidr.address.is_ipv6() { IFA_F_NODAD } else { 0 };
    let mut fixed = vec![family(cidr.address), cidr.prefix_length, 0, 0];
    fixed.extend(index.to_ne_bytes());
    let bytes = octets(cidr.address);
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE_OR_REPLACE, &fixed)
        .attribute(libc::IFA_LOCAL, &bytes)
        .attribute(libc::IFA_ADDRESS, &bytes)
        .attribute(IFA_FLAGS, &flags.to_ne_bytes());
    if let (IpAddr::V4(v4), 0..=30) = (cidr.address, cidr.prefix_length) {
        let broadcast = v4.to_bits() | (u32::MAX >> cidr.prefix_length);
        message = message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    message
}

fn old_address(index: i32, cidr: Cidr) -> Message {
    let mut fixed = vec![family(cidr.address), cidr.prefix_length, 0, 0];
    fixed.extend(index.to_ne_bytes());
    Message::new(libc::RTM_DELADDR, 0, &fixed).attribute(libc::IFA_LOCAL, &octets(cidr.address))
}

/// A gateway outside every subnet of the interface is taken as being on the link, which is how some plugins mean it.
fn add_route(netlink: &Netlink, index: i32, route: ParsedRoute) -> Result<(), Errno> {
    match netlink.request(route.message(index)) {
        Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL) if route.has_gateway() => {
            netlink.request(route.on_link().message(index))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str, gateway: &str) -> Interface {
        let route = Route {
            destination: "0.0.0.0/0".to_owned(),
            gateway: gateway.to_owned(),
            source: String::new(),
            metric: 0,
            mtu: 0,
            on_link: false,
        };
        Interface {
            name: name.to_owned(),
            mac: "02:42:ac:11:00:02".to_owned(),
            device_mac: String::new(),
            mtu: 0,
            promiscuous: false,
            all_multicast: false,
            transmit_queue: 0,
            addresses: vec![address.to_owned()],
            routes: vec![route],
            neighbours: Vec::new(),
        }
    }

    #[test]
    fn refuses_what_is_malformed_before_it_touches_anything() {
        assert!(parse(&interface("eth0", "10.0.0.2/24", "10.0.0.1")).is_ok());
        for (name, address, gateway) in [
            ("", "10.0.0.2/24", ""),
            ("a-name-too-long-for-it", "10.0.0.2/24", ""),
            ("../lo", "10.0.0.2/24", ""),
            ("eth0", "10.0.0.2", ""),
            ("eth0", "10.0.0.2/24", "somewhere"),
        ] {
            assert!(parse(&interface(name, address, gateway)).is_err());
        }
    }

    #[test]
    fn says_which_mac_it_did_not_find() {
        let error = set_up(&interface("eth0", "10.0.0.2/24", "")).unwrap_err();
        assert_eq!(error.to_string(), "no interface has the MAC 02:42:ac:11:00:02");
    }
}
