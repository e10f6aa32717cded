//! The guest's network.

pub mod loopback;
