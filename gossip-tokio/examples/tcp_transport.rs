//! A transport for networks without UDP: frames over TCP, each after its length.
//!
//! A datagram is put into the queue of a connection, which is made if there is none. Datagrams are lost while the queue
//! is full or the peer does not answer: gossip expects that, and no call ever waits. The first frame of a connection
//! names the address at which its maker listens, since nobody can connect to the port it calls from.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_channel::{Receiver, Sender, TrySendError, bounded};
use gossip_tokio::{Transport, gossip_core::Config, over};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const QUEUE: usize = 256;
type Frame = (SocketAddr, Vec<u8>);

pub(crate) struct Tcp {
    pub(crate) address: SocketAddr,
    received: Receiver<Frame>,
    connections: Mutex<HashMap<SocketAddr, Sender<Vec<u8>>>>,
    /// Dropping it ends the listener and all readers.
    _listener: JoinSet<io::Result<()>>,
}

impl Tcp {
    pub(crate) async fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, received) = bounded(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, sender));
        Ok(Self { address, received, connections: Mutex::default(), _listener: tasks })
    }
}

impl Transport for Tcp {
    type Address = SocketAddr;

    fn send(&self, to: &SocketAddr, payload: &[u8]) -> io::Result<()> {
        let mut connections = self.connections.lock().expect("nothing panics while it is locked");
        let connection = connections.entry(*to).or_insert_with(|| connect(self.address, *to));
        match connection.try_send(payload.to_vec()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TrySendError::Closed(_)) => {
                connections.remove(to); // The next datagram tries again.
                Err(io::ErrorKind::NotConnected.into())
            }
        }
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (from, frame) = self.received.recv().await.map_err(|_| io::ErrorKind::NotConnected)?;
        let length = frame.len().min(buffer.len());
        buffer[..length].copy_from_slice(&frame[..length]);
        Ok((length, from))
    }
}

/// Makes a connection that lives until its queue is dropped or the other side goes away.
fn connect(own: SocketAddr, to: SocketAddr) -> Sender<Vec<u8>> {
    let (sender, queue) = bounded::<Vec<u8>>(QUEUE);
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        write(&mut stream, own.to_string().as_bytes()).await?;
        while let Ok(frame) = queue.recv().await {
            write(&mut stream, &frame).await?;
        }
        io::Result::Ok(())
    });
    sender
}

async fn accept(listener: TcpListener, sender: Sender<Frame>) -> io::Result<()> {
    let mut readers = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        let sender = sender.clone();
        readers.spawn(async move {
            let hello = String::from_utf8(read(&mut stream).await?).map_err(io::Error::other)?;
            let from = hello.parse().map_err(io::Error::other)?;
            loop {
                // A full queue loses the datagram.
                let _ = sender.try_send((from, read(&mut stream).await?));
            }
            #[expect(unreachable_code, reason = "says what the block gives")]
            io::Result::Ok(())
        });
        while readers.try_join_next().is_some() {}
    }
}

async fn write(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u16::try_from(frame.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), frame].concat();
    stream.write_all(&framed).await
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut nodes: Vec<gossip_tokio::Gossip> = Vec::new();
    for _ in 0..3 {
        let transport = Tcp::bind("127.0.0.1:0").await?;
        let address = transport.address;
        let seed = nodes.first().map(gossip_tokio::Gossip::address);
        nodes.push(over(transport, address).config(Config::local()).join(seed).spawn().await?);
    }
    for node in &nodes {
        node.wait_members(nodes.len()).await?;
        println!("{} sees {} members", node.address(), node.members().len());
    }
    nodes[2].put("greeting", b"hello")?;
    for node in &nodes {
        let value = node.wait_for("greeting").await?;
        println!("{} has {:?}", node.address(), String::from_utf8_lossy(&value));
    }
    Ok(())
}
