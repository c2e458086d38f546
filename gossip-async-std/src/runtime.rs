//! The interface to async-std: sockets, sleeping, spawning, resolving. The only source file that differs from the tokio
//! crate's.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

pub(crate) use async_std::future::timeout;
use async_std::net::{ToSocketAddrs, UdpSocket};
pub(crate) use async_std::task::{sleep, yield_now};
use futures_util::FutureExt as _;

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
        // One poll sends the datagram, or finds that sending would block.
        let sent = self.socket.send_to(payload, to_wire(self.bound, *to)).now_or_never();
        sent.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())).map(drop)
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
    drop(async_std::task::spawn(task));
    Ok(())
}

pub(crate) async fn resolve(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs().await?.collect())
}

#[cfg(test)]
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    async_std::task::block_on(test);
}
