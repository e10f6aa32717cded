//! Files of a container. What works on them is a process of its own in the container's namespaces and cgroup, with the rights
//! of the user that a call is for (`worker` and what it uses); the server lends it to one call at a time (`lease`), and
//! believes no more of what it answers than that its frames have the length that they may have (`frame`).

mod attributes;
mod change;
mod entry;
mod fault;
pub mod frame;
pub mod lease;
mod list;
pub mod people;
mod place;
mod read;
pub mod staging;
mod tree;
mod watch;
pub mod worker;
mod write;
