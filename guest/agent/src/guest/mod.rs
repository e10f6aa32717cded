//! The guest as a whole: its identity, its caches, its counters.

pub mod apparmor;
pub mod caches;
pub mod entropy;
pub mod erofs;
pub mod facts;
pub mod huge_pages;
pub mod process_stats;
pub mod sandbox;
pub mod shm;
pub mod stats;
pub mod sysctl;
