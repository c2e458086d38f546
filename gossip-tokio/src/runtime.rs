//! Everything that tokio is needed for: a socket, sleeping, spawning, resolving. The only file that differs from
//! the twin crate's.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::{ToSocketAddrs, UdpSocket};
pub(crate) use tokio::task::yield_now;
pub(crate) use tokio::time::{sleep, timeout};

use crate::transport::Transport;
use crate::udp::{from_wire, to_wire};

/// A UDP socket.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    bound: SocketAddr,
}

impl Udp {
    /// Binds a socket at the first of these addresses that is this machine's; port 0 is a free one.
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        // Before the reactor has seen the socket once, `try_send_to` takes it for blocked.
        socket.writable().await?;
        Ok(Self { bound: socket.local_addr()?, socket })
    }

    /// What it is bound to, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound
    }
}

impl Transport for Udp {
    type Address = SocketAddr;

    fn send(&self, to: &SocketAddr, payload: &[u8]) -> io::Result<()> {
        self.socket.try_send_to(payload, to_wire(self.bound, *to)).map(drop)
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await.map(|(length, from)| (length, from_wire(from)))
    }

    fn max_datagram(&self) -> usize {
        crate::udp::MAX_DATAGRAM
    }
}

/// Runs a task until it ends by itself.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    drop(runtime.spawn(task));
    Ok(())
}

pub(crate) async fn resolve(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(name).await?.collect())
}

#[cfg(test)]
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// What the READMEs and the manual's page on transports show is code that compiles.
#[cfg(doctest)]
mod shown {
    #[doc = include_str!("../../README.md")]
    struct Project;

    #[doc = include_str!("../README.md")]
    struct Crate;

    #[doc = include_str!("../../gossip-core/docs/transport.md")]
    struct Transports;
}
