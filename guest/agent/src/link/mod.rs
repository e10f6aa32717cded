//! The link between PID 1 and its server: a SOCK_SEQPACKET pair, one message a packet, descriptors by SCM_RIGHTS.

pub mod message;
pub mod packet;
