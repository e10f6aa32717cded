//! A socket of the host.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::net::UnixListener;

use super::super::service::Agent;

pub async fn serve(path: &Path, agent: Agent) -> io::Result<()> {
    let bound = UnixListener::bind(path);
    let listener = bound.map_err(|error| io::Error::other(format!("listen on {}: {error}", path.display())))?;
    loop {
        let (connection, _) = listener.accept().await?;
        let descriptor = OwnedFd::from(connection.into_std()?);
        tokio::spawn(super::serve_accepted(descriptor, agent.clone()));
    }
}
