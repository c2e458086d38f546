//! The conformance suite against a minimal driver, a thread and a UDP socket per node, and against the same driver
//! broken in as many ways as the suite has scenarios: a checker never seen failing is not trusted.
#![expect(clippy::disallowed_types, reason = "a driver is where the clock is read")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gossip_core::{Config, Event, Input, Instant, Member, Node, NodeId};
use gossip_testkit::suite::{self, Error, Harness, Part, Problem, Suite};

/// Defect of a harness.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Defect {
    None,
    WrongAddress,
    EveryThirdPutLost,
    LongDatagramsCut,
    DeleteIgnored,
    BroadcastNeverDelivered,
    BroadcastDeliveredTwice,
    LossIgnored,
    StopIgnored,
    RestartForgetsName,
    LeaveIsACrash,
    GarbageIsAccepted,
}

/// A node, the socket that its thread reads, and the signal that ends that thread.
struct Driver {
    node: Mutex<Node<SocketAddr>>,
    socket: UdpSocket,
    stop: AtomicBool,
    loss: Arc<Threads>,
}

/// State that all nodes of a harness share: share of datagrams lost in 2⁻³², number of datagrams, defect.
struct Threads {
    share: AtomicU64,
    sent: AtomicU64,
    defect: Defect,
}

impl Threads {
    fn loses(&self, length: usize) -> bool {
        let number = self.sent.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let coin = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
        coin < self.share.load(Ordering::Relaxed) || (self.defect == Defect::LongDatagramsCut && length > 700)
    }
}

impl Driver {
    fn lock(&self) -> MutexGuard<'_, Node<SocketAddr>> {
        self.node.lock().expect("a node does not panic")
    }

    /// Sends the node's datagrams. A command calls it in its own thread, so that no other needs to be woken.
    fn flush(&self) {
        let mut buffer = [0; 1_200];
        let mut node = self.lock();
        while let Some(transmit) = node.poll_transmit(&mut buffer) {
            if !self.loss.loses(transmit.len) {
                let _ = self.socket.send_to(&buffer[..transmit.len], transmit.to);
            }
        }
    }

    fn run(&self, heard: &Sender<Vec<u8>>) {
        let mut buffer = [0; 1_201];
        while !self.stop.load(Ordering::Relaxed) {
            self.flush();
            while let Some(event) = { self.lock().poll_event() } {
                if let Event::Broadcast { payload, .. } = event {
                    // Nobody listens to a node that is being stopped.
                    let _ = heard.send(payload.to_vec());
                }
            }
            let wait = self.lock().poll_timeout().map_or(Duration::MAX, |deadline| deadline.since(now()));
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(20));
            self.socket.set_read_timeout(Some(wait)).expect("it is not zero");
            let _ = match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let result = self.lock().handle(now(), Input::Datagram { from: &from, payload: &buffer[..length] });
                    assert!(
                        self.loss.defect != Defect::GarbageIsAccepted || result.is_ok(),
                        "this panic is part of the test"
                    );
                    result
                }
                Err(_) => self.lock().handle(now(), Input::Tick),
            };
        }
    }
}

fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_micros(since.as_micros() as u64)
}

struct Blocking {
    shared: Arc<Threads>,
    puts: u32,
    starts: u64,
}

struct Running {
    driver: Arc<Driver>,
    thread: JoinHandle<()>,
    heard: Receiver<Vec<u8>>,
}

impl Blocking {
    fn new(defect: Defect) -> Self {
        let shared = Threads { share: AtomicU64::new(0), sent: AtomicU64::new(0), defect };
        Self { shared: Arc::new(shared), puts: 0, starts: 0 }
    }

    fn has(&self, defect: Defect) -> bool {
        self.shared.defect == defect
    }
}

impl Harness for Blocking {
    type Address = SocketAddr;
    type Node = Running;

    fn start(&mut self, name: &str, config: Config, seeds: &[SocketAddr]) -> Result<Running, Error> {
        self.starts += 1;
        let known = self.starts <= 4 || !self.has(Defect::RestartForgetsName);
        let id = if known { NodeId::from_name(name) } else { NodeId::new(self.starts) };
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let mut node = Node::new(id, socket.local_addr()?, config, self.starts)?;
        node.join(now(), seeds.iter().copied());
        let (sender, heard) = channel();
        let stop = AtomicBool::new(false);
        let driver = Arc::new(Driver { node: Mutex::new(node), socket, stop, loss: Arc::clone(&self.shared) });
        let thread = thread::spawn({
            let driver = Arc::clone(&driver);
            move || driver.run(&sender)
        });
        Ok(Running { driver, thread, heard })
    }

    fn stop(&mut self, node: Running) {
        if !self.has(Defect::StopIgnored) {
            node.driver.stop.store(true, Ordering::Relaxed);
            let ended = node.thread.join();
            assert!(ended.is_ok() || self.has(Defect::GarbageIsAccepted));
        }
    }

    fn address(&self, node: &Running) -> SocketAddr {
        let mut address = *node.driver.lock().address();
        if self.has(Defect::WrongAddress) {
            address.set_port(address.port() ^ 1);
        }
        address
    }

    fn put(&mut self, node: &Running, name: &str, value: &[u8]) -> Result<(), Error> {
        self.puts += 1;
        if !self.has(Defect::EveryThirdPutLost) || !self.puts.is_multiple_of(3) {
            node.driver.lock().put(now(), name, value)?;
            node.driver.flush();
        }
        Ok(())
    }

    fn delete(&mut self, node: &Running, name: &str) -> Result<(), Error> {
        if !self.has(Defect::DeleteIgnored) {
            node.driver.lock().delete(now(), name)?;
            node.driver.flush();
        }
        Ok(())
    }

    fn broadcast(&mut self, node: &Running, payload: &[u8]) -> Result<(), Error> {
        node.driver.lock().broadcast(now(), payload)?;
        node.driver.flush();
        Ok(())
    }

    fn leave(&mut self, node: &Running) -> Result<(), Error> {
        if self.has(Defect::LeaveIsACrash) {
            node.driver.stop.store(true, Ordering::Relaxed);
        } else {
            node.driver.lock().leave(now());
            node.driver.flush();
        }
        Ok(())
    }

    fn get(&self, node: &Running, name: &str) -> Option<Vec<u8>> {
        node.driver.lock().get(name).map(|value| value.to_vec())
    }

    fn members(&self, node: &Running) -> Vec<Member<SocketAddr>> {
        node.driver.lock().members().collect()
    }

    fn heard(&mut self, node: &mut Running) -> Vec<Vec<u8>> {
        let heard: Vec<_> = node.heard.try_iter().collect();
        match self.shared.defect {
            Defect::BroadcastNeverDelivered => Vec::new(),
            Defect::BroadcastDeliveredTwice => [heard.clone(), heard].concat(),
            _ => heard,
        }
    }

    fn lose(&mut self, share: f64) {
        if !self.has(Defect::LossIgnored) {
            self.shared.share.store((share * 2_f64.powi(32)) as u64, Ordering::Relaxed);
        }
    }

    fn inject(&mut self, to: &SocketAddr, bytes: &[u8]) -> Result<(), Error> {
        UdpSocket::bind("127.0.0.1:0")?.send_to(bytes, to)?;
        Ok(())
    }
}

/// A transport that has nothing but two functions, and nobody to wake it. Its queue is full at its first datagram.
struct Udp {
    socket: UdpSocket,
    tried: AtomicBool,
    /// Longer datagrams are cut.
    longest: usize,
}

impl suite::Transport for Udp {
    type Address = SocketAddr;

    fn send(&self, to: &SocketAddr, payload: &[u8]) -> std::io::Result<()> {
        if !self.tried.swap(true, Ordering::Relaxed) {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        self.socket.send_to(&payload[..payload.len().min(self.longest)], to).map(drop)
    }

    async fn recv(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        std::future::poll_fn(|_| match self.socket.recv_from(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::task::Poll::Pending,
            result => std::task::Poll::Ready(result),
        })
        .await
    }
}

fn attach(longest: usize) -> std::io::Result<(Udp, SocketAddr)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((Udp { socket, tried: AtomicBool::new(false), longest }, address))
}

#[test]
fn a_transport_of_two_functions_conforms_and_one_that_cuts_datagrams_does_not() {
    let report = suite::run(&mut suite::over(|| attach(usize::MAX))).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.times.len(), Part::ALL.len());
    let suite = Suite::default().patience(Duration::from_secs(5));
    let failure = suite.run_part(Part::Broadcast, &mut suite::over(|| attach(700))).expect_err("it cuts what is long");
    assert!(failure.to_string().contains("has not heard"), "{failure}");
}

#[test]
fn a_driver_of_threads_and_sockets_conforms() {
    let report = suite::run(&mut Blocking::new(Defect::None)).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.times.iter().map(|(part, _)| *part).collect::<Vec<_>>(), *Part::ALL);
    eprintln!("{report}");
}

/// Every defect is found by the scenario that is there to find it, and reported by name.
#[test]
fn a_broken_harness_is_found_out_in_every_scenario() {
    let planted = [
        (Part::Join, Defect::WrongAddress, "it is elsewhere"),
        (Part::Put, Defect::EveryThirdPutLost, "has nothing as \"from/2\""),
        (Part::Broadcast, Defect::LongDatagramsCut, "has not heard 944 bytes"),
        (Part::Delete, Defect::DeleteIgnored, "has \"value\" as \"gone\", not nothing"),
        (Part::Broadcast, Defect::BroadcastNeverDelivered, "has not heard \"from a\""),
        (Part::Broadcast, Defect::BroadcastDeliveredTwice, "twice"),
        (Part::Loss, Defect::LossIgnored, "crossed a network that was told to lose everything"),
        (Part::Crash, Defect::StopIgnored, "sees d alive"),
        (Part::Restart, Defect::RestartForgetsName, "d "),
        (Part::Leave, Defect::LeaveIsACrash, "sees d "),
        (Part::Garbage, Defect::GarbageIsAccepted, "waited"),
    ];
    // They spend their time waiting for what never comes: all at once.
    thread::scope(|scope| {
        for (part, defect, said) in planted {
            scope.spawn(move || {
                let suite = Suite::default().patience(Duration::from_secs(15));
                let failure = suite.run_part(part, &mut Blocking::new(defect)).expect_err("the defect is found");
                let text = failure.to_string();
                assert!(text.starts_with(&format!("scenario `{part}` failed: ")), "{defect:?}: {text}");
                assert!(text.contains(said), "{defect:?}: {text}");
                if let Problem::TimedOut { waited, .. } = failure.problem {
                    assert!(waited >= Duration::from_secs(15), "{defect:?}: {text}");
                }
            });
        }
    });
    assert!(Part::ALL.iter().all(|part| planted.iter().any(|(planted, ..)| planted == part)));
}
