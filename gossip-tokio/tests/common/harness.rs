//! The conformance suite's harness for this adapter, over any medium.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use gossip_testkit::suite::{Error, Harness};

use super::gossip::gossip_core::{Config, Event, Member};
use super::gossip::{Events, Gossip, Lagged, Memory, Network, Transport, Udp, over};
use super::millis;
use super::runtime::Runtime;

/// Source of transports.
pub trait Medium {
    type Transport: Transport;

    /// Makes a transport at a new address.
    fn attach(&mut self) -> impl Future<Output = io::Result<(Self::Transport, Address<Self>)>>;

    /// Sends bytes as a stranger would.
    fn inject(&mut self, to: &Address<Self>, bytes: &[u8]) -> io::Result<()>;
}

pub type Address<M> = <<M as Medium>::Transport as Transport>::Address;

/// UDP on the loopback.
pub struct Loopback;

impl Medium for Loopback {
    type Transport = Udp;

    async fn attach(&mut self) -> io::Result<(Udp, SocketAddr)> {
        let socket = Udp::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = socket.local_addr();
        Ok((socket, address))
    }

    fn inject(&mut self, to: &SocketAddr, bytes: &[u8]) -> io::Result<()> {
        UdpSocket::bind("127.0.0.1:0")?.send_to(bytes, to).map(drop)
    }
}

/// A network inside the process, and the last address used.
#[derive(Default)]
pub struct InProcess(Network, u64);

impl Medium for InProcess {
    type Transport = Memory;

    async fn attach(&mut self) -> io::Result<(Memory, u64)> {
        self.1 += 1;
        Ok((self.0.attach(self.1)?, self.1))
    }

    fn inject(&mut self, to: &u64, bytes: &[u8]) -> io::Result<()> {
        self.0.attach(0)?.send(to, bytes)
    }
}

/// Loses a share of the datagrams, over any transport.
struct Lossy<T>(T, Arc<Loss>);

/// Share in 2⁻⁶⁴, and number of datagrams so far.
#[derive(Default)]
struct Loss(AtomicU64, AtomicU64);

impl Loss {
    fn loses(&self) -> bool {
        // splitmix64 of the datagram's number.
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) < self.0.load(Ordering::Relaxed)
    }
}

impl<T: Transport> Transport for Lossy<T> {
    type Address = T::Address;

    fn send(&self, to: &T::Address, payload: &[u8]) -> io::Result<()> {
        if self.1.loses() { Ok(()) } else { self.0.send(to, payload) }
    }

    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, T::Address)>> + Send {
        self.0.recv(buffer)
    }

    fn max_datagram(&self) -> usize {
        self.0.max_datagram()
    }
}

/// Nodes of this adapter over a medium.
pub struct Adapter<M> {
    medium: M,
    runtime: Runtime,
    loss: Arc<Loss>,
}

impl<M: Medium> Adapter<M> {
    pub fn new(medium: M) -> Self {
        Self { medium, runtime: Runtime::new(), loss: Arc::default() }
    }
}

/// A running node, and its stream of events.
pub struct Running<M: Medium>(Gossip<Address<M>>, Events<Address<M>>);

impl<M: Medium> Harness for Adapter<M> {
    type Address = Address<M>;
    type Node = Running<M>;

    fn start(&mut self, name: &str, config: Config, seeds: &[Address<M>]) -> Result<Running<M>, Error> {
        self.runtime.block_on(async {
            let (transport, address) = self.medium.attach().await?;
            let builder = over(Lossy(transport, Arc::clone(&self.loss)), address).name(name).config(config);
            // Nobody reads the events while the suite waits for something else.
            let gossip = builder.events(10_000).join(seeds.iter().cloned()).spawn().await?;
            let events = gossip.events();
            Ok(Running(gossip, events))
        })
    }

    fn stop(&mut self, Running(gossip, _): Running<M>) {
        gossip.stop();
        self.runtime.block_on(gossip.stopped()).expect("it did not end before");
    }

    fn address(&self, node: &Running<M>) -> Address<M> {
        node.0.address()
    }

    fn put(&mut self, node: &Running<M>, name: &str, value: &[u8]) -> Result<(), Error> {
        Ok(node.0.put(name, value).map(drop)?)
    }

    fn delete(&mut self, node: &Running<M>, name: &str) -> Result<(), Error> {
        Ok(node.0.delete(name).map(drop)?)
    }

    fn broadcast(&mut self, node: &Running<M>, payload: &[u8]) -> Result<(), Error> {
        Ok(node.0.broadcast(payload).map(drop)?)
    }

    fn leave(&mut self, node: &Running<M>) -> Result<(), Error> {
        Ok(self.runtime.block_on(node.0.leave(millis(30_000)))?)
    }

    fn get(&self, node: &Running<M>, name: &str) -> Option<Vec<u8>> {
        node.0.get(name).map(|value| value.to_vec())
    }

    fn members(&self, node: &Running<M>) -> Vec<Member<Address<M>>> {
        node.0.members()
    }

    fn heard(&mut self, node: &mut Running<M>) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while let Some(Some(event)) = node.1.next().now_or_never() {
            match event {
                Ok(Event::Broadcast { payload, .. }) => heard.push(payload.to_vec()),
                Ok(_) => {}
                Err(Lagged { missed }) => panic!("{missed} events are lost, broadcasts perhaps among them"),
            }
        }
        heard
    }

    fn lose(&mut self, share: f64) {
        // Saturates at everything: all but one of 2⁶⁴.
        self.loss.0.store((share * 2_f64.powi(64)) as u64, Ordering::Relaxed);
    }

    fn inject(&mut self, to: &Address<M>, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.medium.inject(to, bytes)?)
    }
}
