//! Transports, which carry datagrams. Knows bytes and addresses; must not know what the bytes mean.

use std::future::Future;
use std::io;
use std::sync::Arc;

use gossip_core::Address;

/// Carries datagrams between nodes. An implementation takes fewer than 40 lines; the crate documentation shows one.
///
/// A transport may lose, duplicate and reorder datagrams, but not change them. It is the place for framing and for
/// everything else between the node's bytes and the network.
pub trait Transport: Send + Sync + 'static {
    /// Destinations. Addresses reported by [`recv`](Self::recv) must be usable in [`send`](Self::send).
    type Address: Address + Send + Sync + 'static;

    /// Sends one datagram or drops it. Must not block: the task that runs the protocol calls it.
    ///
    /// # Errors
    /// `WouldBlock` drops the datagram, which is counted. Any other error is also passed to the node, as a hint that
    /// the address cannot be reached. An implementation need not detect errors.
    fn send(&self, to: &Self::Address, payload: &[u8]) -> io::Result<()>;

    /// Receives one datagram into `buffer`. Returns its length and source. The rest of a datagram longer than the
    /// buffer (one byte more than the cluster's `max_datagram`) is dropped, as UDP does it.
    ///
    /// There is one call at a time, and its future is kept until it is ready or the node stops: it need not be
    /// cancel-safe.
    ///
    /// # Errors
    /// Any error, any number of times: errors are counted, and the node goes on. The driver pauses after each error
    /// before it calls again, from 1 ms after the first to 100 ms after several in a row.
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Address)>> + Send;

    /// Returns the size of the longest datagram that it carries, in bytes. `max_datagram` of the configuration must not
    /// be larger.
    fn max_datagram(&self) -> usize {
        1_200
    }
}

macro_rules! forward {
    ($($pointer:ident)*) => {$(
        impl<T: Transport> Transport for $pointer<T> {
            type Address = T::Address;

            fn send(&self, to: &T::Address, payload: &[u8]) -> io::Result<()> {
                (**self).send(to, payload)
            }

            fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, T::Address)>> + Send {
                (**self).recv(buffer)
            }

            fn max_datagram(&self) -> usize {
                (**self).max_datagram()
            }
        }
    )*};
}
// `Arc`: the application keeps a hold of its transport, to look at its counters or to close it.
forward! { Arc Box }
