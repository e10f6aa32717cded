//! One route by one interface.

use std::net::IpAddr;

use super::address::{Cidr, family, octets};
use super::netlink::Message;

const CREATE_OR_REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
/// linux/rtnetlink.h
const RTPROT_STATIC: u8 = 4;
const RTNH_F_ONLINK: u32 = 4;
const RTAX_MTU: u16 = 2;
const RTA_VIA: u16 = 18;

/// As the host writes it; empty and 0 are "none".
pub struct Route {
    pub destination: String,
    pub gateway: String,
    pub source: String,
    pub metric: u32,
    pub mtu: u32,
    pub on_link: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct ParsedRoute {
    destination: Cidr,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: u32,
    mtu: u32,
    on_link: bool,
}

impl Route {
    /// On failure what is malformed: its name and its text.
    pub fn parse(&self) -> Result<ParsedRoute, (&'static str, String)> {
        let address = |what, text: &str| match text {
            "" => Ok(None),
            _ => text.parse().map(Some).map_err(|_| (what, text.to_owned())),
        };
        let destination = Cidr::parse(&self.destination).ok_or_else(|| ("destination", self.destination.clone()))?;
        let gateway = address("gateway", &self.gateway)?;
        let source = address("source", &self.source)?;
        Ok(ParsedRoute { destination, gateway, source, metric: self.metric, mtu: self.mtu, on_link: self.on_link })
    }
}

impl ParsedRoute {
    pub fn has_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    pub fn on_link(self) -> Self {
        Self { on_link: true, ..self }
    }

    /// struct rtmsg.
    pub fn message(self, index: i32) -> Message {
        let Self { destination, gateway, .. } = self;
        let scope = match (gateway, destination.address) {
            (None, IpAddr::V4(_)) => libc::RT_SCOPE_LINK,
            _ => libc::RT_SCOPE_UNIVERSE,
        };
        let flags = if self.on_link { RTNH_F_ONLINK } else { 0 };
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
        if let Some(gateway) = gateway {
            message = via(message, destination.address, gateway);
        }
        if let Some(source) = self.source {
            message = message.attribute(libc::RTA_PREFSRC, &octets(source));
        }
        if self.metric != 0 {
            message = message.attribute(libc::RTA_PRIORITY, &self.metric.to_ne_bytes());
        }
        if self.mtu != 0 {
            message = message.attribute(libc::RTA_METRICS, &Message::nested(RTAX_MTU, &self.mtu.to_ne_bytes()));
        }
        message
    }
}

/// A gateway of the other family goes over as struct rtvia.
fn via(message: Message, destination: IpAddr, gateway: IpAddr) -> Message {
    if destination.is_ipv4() == gateway.is_ipv4() {
        return message.attribute(libc::RTA_GATEWAY, &octets(gateway));
    }
    let mut value = u16::from(family(gateway)).to_ne_bytes().to_vec();
    value.extend(octets(gateway));
    message.attribute(RTA_VIA, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, gateway: &str, source: &str) -> Route {
        let (destination, gateway, source) = (destination.to_owned(), gateway.to_owned(), source.to_owned());
        Route { destination, gateway, source, metric: 0, mtu: 0, on_link: false }
    }

    #[test]
    fn names_what_is_malformed() {
        assert!(route("0.0.0.0/0", "10.0.0.1", "10.0.0.2").parse().is_ok());
        assert!(route("10.0.0.0/8", "fe80::1", "").parse().is_ok());
        assert_eq!(route("10.0.0.0", "", "").parse().unwrap_err().0, "destination");
        assert_eq!(route("10.0.0.0/8", "somewhere", "").parse().unwrap_err().0, "gateway");
        assert_eq!(route("10.0.0.0/8", "", "me").parse().unwrap_err(), ("source", "me".to_owned()));
    }
}
