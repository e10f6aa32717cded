//! The guest's network, over raw rtnetlink: three messages are all that is needed.

pub mod address;
pub mod interface;
pub mod loopback;
mod netlink;
