//! The interface to tokio: sockets, sleeping, spawning, resolving. The only source file that differs from the async-std
//! crate's.

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
    /// Binds a socket to the first of these addresses that belongs to this machine; port 0 is a free one.
    ///
    /// # Errors
    /// Any error of the system.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        // Until the reactor has polled the socket once, `try_send_to` reports that it would block.
        socket.writable().await?;
        Ok(Self { bound: socket.local_addr()?, socket })
    }

    /// Returns the bound address, with the port that the system chose.
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

/// Compiles the code in the READMEs and in the manual's page on transports.
#[cfg(doctest)]
mod shown {
    #[doc = include_str!("../../README.md")]
    struct Project;

    #[doc = include_str!("../README.md")]
    struct Crate;

    #[doc = include_str!("../../gossip-core/docs/transport.md")]
    struct Transports;
}
