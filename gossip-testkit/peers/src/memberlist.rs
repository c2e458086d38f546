//! memberlist-core, the protocol behind memberlist and memberlist-proto, with `Options::lan` and without its metrics.
//!
//! memberlist-proto holds messages alone; the protocol is async code over a `Transport` and a runtime. Both are simulated
//! here: [`Simulated`] time, and a transport whose packets are datagrams and whose connections are parts of one stream for each
//! pair of processes. Messages are user data in the transmit-limited queue that its README names, as in the Go original;
//! whoever receives one for the first time queues it as well. It leaves it to its user to join again while nobody is there:
//! this one does so every second.
//!
//! Two things are not simulated. It draws its random numbers from the thread's generator, so runs differ a little. And the
//! time since which a member is dead is the platform's: in the few milliseconds that a run takes no dead member is ever
//! forgotten, nor is gossip to it ended after 30 s.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use agnostic_lite::RuntimeLite;
use agnostic_lite::time::Instant as _;
use bytes::Bytes;
use gossip_core::{Input, Instant, Status};
use gossip_testkit::{Addr, Boot, Expectations, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem};
use memberlist_core::delegate::{CompositeDelegate, EventDelegate, NodeDelegate, VoidDelegate};
use memberlist_core::proto::{MaybeResolvedAddress, NodeState, Payload, ProtoReader, ProtoWriter};
use memberlist_core::queue::TransmitLimitedQueue;
use memberlist_core::transport::resolver::socket_addr::SocketAddrResolver;
use memberlist_core::transport::{
    Connection, Packet, PacketProducer, PacketSubscriber, StreamProducer, StreamSubscriber, Transport, TransportError,
    packet_stream, promised_stream,
};
use memberlist_core::{Broadcast, Memberlist, Options};
use smol_str::{SmolStr, format_smolstr};

use crate::runtime::{Simulated, Tick, World};
use crate::say::{Peer, Say, key, number};
use crate::stream::{Arrived, Streams};

mod machine;

pub use machine::Members;

/// Longest packet, as that of its own UDP transport.
const PACKET: usize = 1_400;
/// Bytes of a connection that one frame of the stream carries.
const PIECE: usize = 1_200;
/// Port of all nodes.
const PORT: u16 = 7_946;
/// Time between two attempts to join while nobody is there.
const AGAIN: Duration = Duration::from_secs(1);

fn socket(addr: Addr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | addr.0), PORT))
}

fn addr(socket: &SocketAddr) -> Addr {
    match socket {
        SocketAddr::V4(v4) => Addr(v4.ip().to_bits() & 0x00ff_ffff),
        SocketAddr::V6(_) => Addr(u32::MAX),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection is known by the process that opened it and a number of that.
type Number = (bool, u32);

/// Wires of a process: what its transport sends, and where what arrives goes to.
#[derive(Default)]
struct Wires {
    packets: VecDeque<(Addr, Bytes)>,
    /// Parts of connections to send: the end of one, if empty.
    parts: VecDeque<(Addr, Number, Vec<u8>)>,
    pipes: BTreeMap<(Addr, Number), Arc<Mutex<Pipe>>>,
    opened: u32,
}

/// Received bytes of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
}

impl Pipe {
    fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Both ends of a connection in one process.
pub struct Conn {
    reader: Reader,
    writer: Writer,
}

pub struct Reader(Arc<Mutex<Pipe>>);

impl Reader {
    /// Waits for `least` bytes or the end, and copies what is there.
    async fn copy(&self, buffer: &mut [u8], least: usize, take: bool) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut pipe = lock(&self.0);
            if pipe.bytes.len() < least && !pipe.ended {
                pipe.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = buffer.len().min(pipe.bytes.len());
            buffer.iter_mut().zip(&pipe.bytes).for_each(|(to, from)| *to = *from);
            if take {
                pipe.bytes.drain(..count);
            }
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn copy_all(&self, buffer: &mut [u8], take: bool) -> io::Result<()> {
        match self.copy(buffer, buffer.len(), take).await? {
            count if count < buffer.len() => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl ProtoReader for Reader {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(buf, 1, true).await
    }

    async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.copy_all(buf, true).await
    }

    async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(buf, 1, false).await
    }

    async fn peek_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.copy_all(buf, false).await
    }
}

pub struct Writer {
    wires: Arc<Mutex<Wires>>,
    to: Addr,
    number: Number,
    ended: bool,
}

impl Writer {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            lock(&self.wires).parts.push_back((self.to, self.number, Vec::new()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl ProtoWriter for Writer {
    async fn close(&mut self) -> io::Result<()> {
        self.end();
        Ok(())
    }

    async fn write_all(&mut self, payload: &[u8]) -> io::Result<()> {
        let parts = payload.chunks(PIECE).map(|part| (self.to, self.number, part.to_vec()));
        lock(&self.wires).parts.extend(parts);
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Conn {
    type Reader = Reader;
    type Writer = Writer;

    fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).await
    }

    async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buf).await
    }

    async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.peek(buf).await
    }

    async fn peek_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.reader.peek_exact(buf).await
    }

    async fn write_all(&mut self, payload: &[u8]) -> io::Result<()> {
        self.writer.write_all(payload).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.close().await
    }
}

/// Error of the transport. Nothing but the end of a connection makes one.
#[derive(Debug)]
pub struct NetError(io::Error);

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NetError {}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl TransportError for NetError {
    fn is_remote_failure(&self) -> bool {
        true
    }

    fn custom(err: Cow<'static, str>) -> Self {
        Self(io::Error::other(err.into_owned()))
    }
}

type Packets = PacketProducer<SocketAddr, Tick>;
type Connections = StreamProducer<SocketAddr, Conn>;

/// The transport over the simulated network.
pub struct Net {
    id: SmolStr,
    me: SocketAddr,
    wires: Arc<Mutex<Wires>>,
    packets: PacketSubscriber<SocketAddr, Tick>,
    connections: StreamSubscriber<SocketAddr, Conn>,
}

impl Transport for Net {
    type Error = NetError;
    type Id = SmolStr;
    type Address = SocketAddr;
    type ResolvedAddress = SocketAddr;
    type Resolver = SocketAddrResolver<Simulated>;
    type Connection = Conn;
    type Runtime = Simulated;
    type Options = Self;

    async fn new(options: Self) -> Result<Self, NetError> {
        Ok(options)
    }

    async fn resolve(&self, addr: &SocketAddr) -> Result<SocketAddr, NetError> {
        Ok(*addr)
    }

    fn local_id(&self) -> &SmolStr {
        &self.id
    }

    fn local_address(&self) -> &SocketAddr {
        &self.me
    }

    fn advertise_address(&self) -> &SocketAddr {
        &self.me
    }

    fn max_packet_size(&self) -> usize {
        PACKET
    }

    fn header_overhead(&self) -> usize {
        0
    }

    fn blocked_address(&self, _: &SocketAddr) -> Result<(), NetError> {
        Ok(())
    }

    async fn send_to(&self, to: &SocketAddr, packet: Payload) -> Result<(usize, Tick), NetError> {
        let bytes = Bytes::copy_from_slice(packet.as_slice());
        let length = bytes.len();
        lock(&self.wires).packets.push_back((addr(to), bytes));
        Ok((length, Tick::now()))
    }

    async fn open(&self, to: &SocketAddr, _: Tick) -> Result<Conn, NetError> {
        let mut wires = lock(&self.wires);
        wires.opened += 1;
        let (to, number) = (addr(to), (true, wires.opened));
        let pipe = wires.pipes.entry((to, number)).or_default().clone();
        let writer = Writer { wires: self.wires.clone(), to, number, ended: false };
        Ok(Conn { reader: Reader(pipe), writer })
    }

    fn packet(&self) -> PacketSubscriber<SocketAddr, Tick> {
        self.packets.clone()
    }

    fn stream(&self) -> StreamSubscriber<SocketAddr, Conn> {
        self.connections.clone()
    }

    fn packet_reliable(&self) -> bool {
        false
    }

    fn packet_secure(&self) -> bool {
        false
    }

    fn stream_secure(&self) -> bool {
        false
    }

    async fn shutdown(&self) -> Result<(), NetError> {
        Ok(())
    }
}
