//! The sockets of one port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

/// Whoever finds no place in it tries again by itself.
const BACKLOG: u32 = 256;

/// One for IPv4, and one for IPv6 where the pod has it.
pub fn listen(port: u16, any_address: bool) -> io::Result<Vec<TcpListener>> {
    let (v4, v6) = if any_address {
        (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)
    } else {
        (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
    };
    let mut listeners = vec![once_up(v4.into(), port)?];
    match once_up(v6.into(), port) {
        Ok(listener) => listeners.push(listener),
        Err(error) if has_no_such(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(listeners)
}

/// In a guest that has just begun PID 1 may not have come to its loopback yet, and a pod without a network has nothing else. It
/// has 127.0.0.1 before it has ::1; who brings it up meanwhile waits until it has both.
fn once_up(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match bound(address, port) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            crate::net::loopback::up()?;
            bound(address, port)
        }
        other => other,
    }
}

fn bound(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = match address {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            socket
        }
    };
    // Connections of an earlier listener may be a while in going.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(address, port))?;
    socket.listen(BACKLOG)
}

fn has_no_such(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
