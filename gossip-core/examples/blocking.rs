//! A driver with nothing but std: one UDP socket and one thread per node, no async, no runtime.
//!
//! Three nodes on the loopback; the first writes an entry, all wait until they have it.
#![expect(clippy::disallowed_types, reason = "a driver is where the clock is read")]

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gossip_core::{Change, Config, Event, Input, Instant, Node, NodeId};

const NODES: usize = 3;
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let sockets = (0..NODES).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let seed = sockets[0].local_addr()?;
    let done = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let spawn = |(number, socket)| {
            scope.spawn(move || run(number, socket, seed, done).inspect_err(|_| done.store(NODES, Ordering::Relaxed)))
        };
        let threads: Vec<_> = sockets.iter().enumerate().map(spawn).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a node does not panic"))
    })
}

/// Drives one node until all nodes have the entry.
fn run(number: usize, socket: &UdpSocket, seed: SocketAddr, done: &AtomicUsize) -> Result<(), Failure> {
    let config = Config::local();
    let mut buffer = vec![0; config.max_datagram + 1];
    let mut node =
        Node::new(NodeId::new(number as u64), socket.local_addr()?, config, RandomState::new().hash_one(number))?;
    // Timers run on monotonic time, stamps are made of the wall clock.
    let started = std::time::Instant::now();
    let now = || Instant::ORIGIN + started.elapsed();
    node.set_wall_clock(now(), wall_clock());
    if number == 0 {
        node.put(now(), "greeting", b"hello")?;
        done.fetch_add(1, Ordering::Relaxed);
    } else {
        node.join(now(), [seed]);
    }
    while done.load(Ordering::Relaxed) < NODES {
        // 1. Send the node's datagrams. A datagram that cannot be sent is a lost datagram, which the node expects.
        while let Some(transmit) = node.poll_transmit(&mut buffer) {
            let _ = socket.send_to(&buffer[..transmit.len], transmit.to);
        }
        // 2. Read the node's events.
        while let Some(event) = node.poll_event() {
            match event {
                Event::Member { member, .. } => println!("{number}: {} is {}", member.id, member.status),
                Event::Entry { name, change: Change::Written { value, .. }, .. } if number != 0 => {
                    println!("{number}: {name} is {:?}", String::from_utf8_lossy(&value));
                    done.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        // 3. Wait for a datagram, but not beyond the node's deadline. (And look at `done` now and then.)
        let wait = node.poll_timeout().map_or(Duration::MAX, |deadline| deadline.since(now()));
        socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(50))))?;
        // 4. Hand it to the node, or report that time has passed. The node has counted a datagram that it refuses.
        let received = socket.recv_from(&mut buffer);
        node.set_wall_clock(now(), wall_clock());
        let _ = match received {
            Ok((length, from)) => {
                let payload = &buffer[..length];
                node.handle(now(), Input::Datagram { from: &from, payload })
            }
            Err(_) => node.handle(now(), Input::Tick),
        };
    }
    Ok(())
}

/// UNIX time.
fn wall_clock() -> Instant {
    Instant::ORIGIN + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
