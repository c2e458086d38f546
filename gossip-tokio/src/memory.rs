//! A network inside the process, for tests and examples without sockets. Knows queues of bytes, nothing of gossip.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::transport::Transport;

/// Datagrams that wait at one endpoint. Further ones are lost, as in a socket's buffer.
const QUEUE: usize = 1_024;

type Queue = async_channel::Sender<(u64, Box<[u8]>)>;

/// A network inside the process, whose addresses are numbers. It loses only what exceeds the 1,024 datagrams that each
/// endpoint queues. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    ends: Arc<Mutex<HashMap<u64, Queue>>>,
}

impl Network {
    /// Makes the endpoint with this address, which exists until it is dropped.
    ///
    /// # Errors
    /// `AddrInUse` while another endpoint has the address.
    pub fn attach(&self, address: u64) -> io::Result<Memory> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        // Removes endpoints that were dropped.
        ends.retain(|_, queue| !queue.is_closed());
        if ends.contains_key(&address) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("address {address} is taken")));
        }
        let (sender, queue) = async_channel::bounded(QUEUE);
        ends.insert(address, sender);
        Ok(Memory { network: self.clone(), address, queue })
    }
}

/// An endpoint of a [`Network`].
#[derive(Debug)]
pub struct Memory {
    network: Network,
    address: u64,
    queue: async_channel::Receiver<(u64, Box<[u8]>)>,
}

impl Transport for Memory {
    type Address = u64;

    fn send(&self, to: &u64, payload: &[u8]) -> io::Result<()> {
        if let Some(queue) = self.network.ends.lock().unwrap_or_else(PoisonError::into_inner).get(to) {
            // A full queue, or an endpoint that is being dropped, loses the datagram as a network would.
            let _ = queue.try_send((self.address, payload.into()));
        }
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        // The network holds a sender as long as this endpoint exists.
        let (from, payload) = self.queue.recv().await.map_err(|_| io::ErrorKind::NotConnected)?;
        let length = payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&payload[..length]);
        Ok((length, from))
    }

    fn max_datagram(&self) -> usize {
        65_507
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_one_endpoint_until_it_is_dropped() {
        let network = Network::default();
        let first = network.attach(1).unwrap();
        assert_eq!(network.attach(1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(network.attach(1).is_ok());
    }

    #[test]
    fn what_overflows_the_queue_or_goes_nowhere_is_lost() {
        let network = Network::default();
        let (a, b) = (network.attach(1).unwrap(), network.attach(2).unwrap());
        for _ in 0..QUEUE + 10 {
            a.send(&2, b"x").unwrap();
        }
        assert_eq!(b.queue.len(), QUEUE);
        a.send(&3, b"x").unwrap();
    }
}
