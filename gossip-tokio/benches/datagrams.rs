//! Cost of a node per datagram, beside a bare loop that sends back what it receives.
//!
//! A client sends windows of 128 datagrams over the loopback and waits until all are received. The node receives a
//! probe of a member that it knows; the bare loop receives the same bytes. The bare loop answers each datagram, the
//! node packs its answers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gossip_tokio::bind;
use gossip_tokio::gossip_core::{Config, Input, Instant, Node, NodeId, TrafficClass};
use tokio::runtime::Runtime;

const WINDOW: u64 = 128;

fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    Instant::from_micros(since.as_micros() as u64)
}

/// Becomes a member through the node at `server`. Returns its first probe.
fn probe(socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let config = Config::local();
    let mut buffer = vec![0; config.max_datagram + 1];
    let mut node = Node::new(NodeId::new(7), socket.local_addr().expect("it is bound"), config, 7).expect("a node");
    node.join(now(), [server]);
    loop {
        while let Some(transmit) = node.poll_transmit(&mut buffer) {
            if transmit.class == TrafficClass::Probe && node.live_members() > 1 {
                buffer.truncate(transmit.len);
                return buffer;
            }
            socket.send_to(&buffer[..transmit.len], transmit.to).expect("the loopback takes it");
        }
        let input = socket.recv_from(&mut buffer);
        let _ = match &input {
            Ok((length, from)) => node.handle(now(), Input::Datagram { from, payload: &buffer[..*length] }),
            Err(_) => node.handle(now(), Input::Tick),
        };
    }
}

/// Sends a window of datagrams and waits until the receiver's count shows that all have arrived.
fn exchange(socket: &UdpSocket, server: SocketAddr, datagram: &[u8], count: impl Fn() -> u64) {
    let begun = count();
    for _ in 0..WINDOW {
        socket.send_to(datagram, server).expect("the loopback takes it");
    }
    // Answers that do not fit into the socket's buffer are lost, which concerns nobody.
    while count() < begun + WINDOW {
        // Asking takes the node's lock: seldom enough not to be in the way.
        thread::sleep(Duration::from_micros(20));
    }
}

fn datagrams(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");

    let node = runtime.block_on(bind("127.0.0.1:0").config(Config::local()).spawn()).expect("a node");
    let datagram = probe(&socket, node.address());

    let bare = runtime.block_on(tokio::net::UdpSocket::bind("127.0.0.1:0")).expect("a socket");
    let bare_address = bare.local_addr().expect("it is bound");
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    runtime.spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            if let Ok((length, from)) = bare.recv_from(&mut buffer).await {
                let _ = bare.send_to(&buffer[..length], from).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    let mut group = c.benchmark_group("datagrams");
    group.throughput(Throughput::Elements(WINDOW));
    let count = || received.load(Ordering::Relaxed);
    group.bench_function("bare", |b| b.iter(|| exchange(&socket, bare_address, &datagram, count)));
    let count = || node.stats().node.datagrams_received;
    group.bench_function("node", |b| b.iter(|| exchange(&socket, node.address(), &datagram, count)));
    group.finish();
}

criterion_group!(benches, datagrams);
criterion_main!(benches);
