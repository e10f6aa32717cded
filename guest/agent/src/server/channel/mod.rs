//! The ways a daemon reaches the agent, and the handshake that opens every connection.

mod handshake;
mod kind;
mod port;
mod port_stream;
mod stream;
mod unix;
mod vsock;

use std::io;

use super::Listen;
use super::service::Agent;

/// Serves connections for ever.
pub async fn serve(listen: Listen, agent: Agent) -> io::Result<()> {
    match listen {
        Listen::Unix(path) => unix::serve(&path, agent).await,
        Listen::Guest(told) => match kind::find(told).await? {
            kind::Found::VirtioPort(device) => port::serve(&device, agent).await,
            kind::Found::Vsock => vsock::serve(agent).await,
        },
    }
}

/// What `unix` and `vsock`, which have real connections, do with each: several may be open, so that a new daemon is
/// heard while the guest still believes in the old one.
async fn serve_accepted(descriptor: std::os::fd::OwnedFd, agent: Agent) {
    if let Ok(mut stream) = stream::ChannelStream::new(descriptor)
        && handshake::answer(&mut stream).await.is_ok()
    {
        super::connection::serve(stream, agent).await;
    }
}
