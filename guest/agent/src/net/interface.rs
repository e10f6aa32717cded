//! One interface: found by MAC, named, brought up, given addresses and routes.

use std::fs;
use std::net::IpAddr;

use nix::errno::Errno;

use super::address::{Cidr, normal_mac, octets};
use super::netlink::{Message, Netlink};
use crate::failure::Kind;

const INTERFACES: &str = "/sys/class/net";
const MAX_NAME_BYTES: usize = 15; // IFNAMSIZ with its NUL
const CREATE_OR_REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
const IFF_UP: u32 = 1;
/// linux/rtnetlink.h
const RTPROT_STATIC: u8 = 4;
const RTNH_F_ONLINK: u32 = 4;

pub struct Interface {
    pub name: String,
    pub mac: String,
    /// 0: stays.
    pub mtu: u32,
    pub addresses: Vec<String>,
    pub routes: Vec<Route>,
}

pub struct Route {
    pub destination: String,
    /// Empty: on link.
    pub gateway: String,
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
    mac: String,
    addresses: Vec<Cidr>,
    routes: Vec<(Cidr, Option<IpAddr>)>,
}

/// May be called again: what is there already is replaced, nothing is taken away.
pub fn set_up(wanted: &Interface) -> Result<(), InterfaceError> {
    let parsed = parse(wanted)?;
    let (current, index) = find(&parsed.mac).ok_or_else(|| InterfaceError::NoSuchMac(parsed.mac.clone()))?;
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
    let mut up = link(index, IFF_UP, IFF_UP);
    if wanted.mtu != 0 {
        up = up.attribute(libc::IFLA_MTU, &wanted.mtu.to_ne_bytes());
    }
    netlink.request(up).map_err(refused(format!("bring it up with MTU {}", wanted.mtu)))?;
    for (address, text) in parsed.addresses.iter().zip(&wanted.addresses) {
        netlink.request(new_address(index, *address)).map_err(refused(format!("add address {text}")))?;
    }
    for ((destination, gateway), text) in parsed.routes.iter().zip(&wanted.routes) {
        add_route(&netlink, index, *destination, *gateway)
            .map_err(refused(format!("add route {} via {:?}", text.destination, text.gateway)))?;
    }
    Ok(())
}

fn parse(wanted: &Interface) -> Result<Parsed, InterfaceError> {
    let malformed =
        |what, value: &str| InterfaceError::Malformed { what, value: value.to_owned(), name: wanted.name.clone() };
    let plain = wanted.name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
    if wanted.name.is_empty() || wanted.name.len() > MAX_NAME_BYTES || !plain || wanted.name.starts_with('.') {
        return Err(malformed("name", &wanted.name));
    }
    let mac = normal_mac(&wanted.mac).ok_or_else(|| malformed("mac", &wanted.mac))?;
    let mut addresses = Vec::new();
    for text in &wanted.addresses {
        addresses.push(Cidr::parse(text).ok_or_else(|| malformed("address", text))?);
    }
    let mut routes = Vec::new();
    for route in &wanted.routes {
        let destination =
            Cidr::parse(&route.destination).ok_or_else(|| malformed("destination", &route.destination))?;
        let gateway = if route.gateway.is_empty() {
            None
        } else {
            Some(route.gateway.parse().map_err(|_| malformed("gateway", &route.gateway))?)
        };
        routes.push((destination, gateway));
    }
    Ok(Parsed { mac, addresses, routes })
}

/// Name and index.
fn find(mac: &str) -> Option<(String, i32)> {
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
    let flags = if cidr.address.is_ipv6() { libc::IFA_F_NODAD } else { 0 };
    let mut fixed = vec![family(cidr.address), cidr.prefix_length, u8::try_from(flags).unwrap_or(0), 0];
    fixed.extend(index.to_ne_bytes());
    let bytes = octets(cidr.address);
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE_OR_REPLACE, &fixed)
        .attribute(libc::IFA_LOCAL, &bytes)
        .attribute(libc::IFA_ADDRESS, &bytes);
    if let (IpAddr::V4(v4), 0..=30) = (cidr.address, cidr.prefix_length) {
        let broadcast = v4.to_bits() | (u32::MAX >> cidr.prefix_length);
        message = message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    message
}

/// A gateway outside every subnet of the interface is taken as being on the link, which is how some CNI plugins mean it.
fn add_route(netlink: &Netlink, index: i32, destination: Cidr, gateway: Option<IpAddr>) -> Result<(), Errno> {
    match netlink.request(new_route(index, destination, gateway, 0)) {
        Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL) if gateway.is_some() => {
            netlink.request(new_route(index, destination, gateway, RTNH_F_ONLINK))
        }
        other => other,
    }
}

/// struct rtmsg.
fn new_route(index: i32, destination: Cidr, gateway: Option<IpAddr>, flags: u32) -> Message {
    let scope = match (gateway, destination.address) {
        (None, IpAddr::V4(_)) => libc::RT_SCOPE_LINK,
        _ => libc::RT_SCOPE_UNIVERSE,
    };
    let mut fixed = vec![
        family(destination.address),
        destination.prefix_length,
        0,
        0,
        libc::RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        libc::RTN_UNICAST,
    ];
    fixed.extend(flags.to_ne_bytes());
    let mut message =
        Message::new(libc::RTM_NEWROUTE, CREATE_OR_REPLACE, &fixed).attribute(libc::RTA_OIF, &index.to_ne_bytes());
    if destination.prefix_length > 0 {
        message = message.attribute(libc::RTA_DST, &octets(destination.address));
    }
    match gateway {
        Some(gateway) => message.attribute(libc::RTA_GATEWAY, &octets(gateway)),
        None => message,
    }
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str, gateway: &str) -> Interface {
        let route = Route { destination: "0.0.0.0/0".to_owned(), gateway: gateway.to_owned() };
        let mac = "02:42:ac:11:00:02".to_owned();
        Interface { name: name.to_owned(), mac, mtu: 0, addresses: vec![address.to_owned()], routes: vec![route] }
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
