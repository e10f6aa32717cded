//! Registering descriptors with the event loop, in one place because it is unsafe.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// For reading and writing. The descriptor must be non-blocking.
pub fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps its number open and its own until it is dropped, which AsyncFd does after deregistering.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// For reading only.
pub fn watched_for_reading(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: as above.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}
