//! What carries datagrams. Knows bytes and addresses; must not know what the bytes mean.

use std::future::Future;
use std::io;
use std::sync::Arc;

use gossip_core::Address;

/// Carries datagrams between nodes. Bring your own in fewer than 40 lines; the crate documentation shows one.
///
/// A transport may lose, duplicate and reorder datagrams, and that is all that it may do to them. It is the place for
/// framing and for everything else between the node's bytes and the network.
pub trait Transport: Send + Sync + 'static {
    /// What it sends to. What [`recv`](Self::recv) reports must be what [`send`](Self::send) takes.
    type Address: Address + Send + Sync + 'static;

    /// Sends one datagram or drops it. Never blocks: it is called from the task that runs the protocol.
    ///
    /// # Errors
    /// `WouldBlock` is a drop: it is counted, and nothing else comes of it. Any other error is also told to the node
    /// as a hint that this address cannot be reached. An implementation need not notice anything by itself.
    fn send(&self, to: &Self::Address, payload: &[u8]) -> io::Result<()>;

    /// Receives one datagram into `buffer` and says how long it is and where it came from. Of a datagram longer than
    /// the buffer (one byte more than the cluster's `max_datagram`), the rest is dropped, as UDP does it.
    ///
    /// There is one call at a time, and its future is kept until it is ready or the node stops: it need not be safe
    /// to cancel.
    ///
    /// # Errors
    /// Any, any number of times: errors are counted and survived. After each of several in a row the driver waits
    /// longer before it calls again, from a millisecond to a tenth of a second.
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Address)>> + Send;

    /// The longest datagram that it carries, in bytes; `max_datagram` of the configuration must not be larger.
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
