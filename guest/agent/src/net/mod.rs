//! The guest's network, over raw rtnetlink: a few messages are all that is needed.

pub mod address;
pub mod interface;
pub mod loopback;
mod neighbour;
mod netlink;
pub mod route;
