//! A harness for whoever has a transport only: the suite drives nodes over it, a thread for each.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use gossip_core::{Address, Config, Event, Input, Member, Node, NodeId};

use super::clock;
use super::harness::{Error, Harness};
use crate::coin::mix;

/// Carries datagrams, in the shape of the adapters' `Transport`.
pub trait Transport: Send + Sync + 'static {
    /// A place that datagrams can be sent to.
    type Address: Address + Send + Sync;

    /// Sends a datagram, or drops it. Must not wait.
    ///
    /// # Errors
    /// The datagram was not sent; it counts as lost.
    fn send(&self, to: &Self::Address, payload: &[u8]) -> io::Result<()>;

    /// Waits for a datagram and writes it to the beginning of `buffer`; returns its length and its sender. The future is
    /// polled at least every 20 ms, so one that nobody wakes works, too. It is polled outside of any runtime.
    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Address)>> + Send;
}

/// Returns a harness for nodes over a transport. `attach` makes a transport at a new address each time, and says that
/// address.
///
/// ```no_run
/// use std::io;
/// use std::net::{SocketAddr, UdpSocket};
/// use std::task::Poll;
///
/// use gossip_testkit::suite;
///
/// struct Udp(UdpSocket);
///
/// impl suite::Transport for Udp {
///     type Address = SocketAddr;
///
///     fn send(&self, to: &SocketAddr, payload: &[u8]) -> io::Result<()> {
///         self.0.send_to(payload, to).map(drop)
///     }
///
///     async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
///         std::future::poll_fn(|_| match self.0.recv_from(buffer) {
///             Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
///             result => Poll::Ready(result),
///         })
///         .await
///     }
/// }
///
/// let report = suite::run(&mut suite::over(|| {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     socket.set_nonblocking(true)?;
///     let address = socket.local_addr()?;
///     Ok((Udp(socket), address))
/// }))?;
/// println!("{report}");
/// # Ok::<(), suite::Failure>(())
/// ```
pub fn over<T: Transport>(attach: impl FnMut() -> io::Result<(T, T::Address)>) -> impl Harness<Address = T::Address> {
    Over { attach, loss: Arc::default(), starts: 0 }
}

/// A share of 2^64, and the number of datagrams asked about so far.
#[derive(Default)]
struct Loss(AtomicU64, AtomicU64);

impl Loss {
    fn loses(&self) -> bool {
        mix(self.1.fetch_add(1, Ordering::Relaxed)) < self.0.load(Ordering::Relaxed)
    }
}

/// A node and its transport, shared by the node's thread and whoever gives it commands.
struct Driver<T: Transport> {
    node: Mutex<Node<T::Address>>,
    transport: T,
    loss: Arc<Loss>,
    stop: AtomicBool,
    max_datagram: usize,
}

/// Longest time between two looks at the clock and at `stop`.
const LONGEST: Duration = Duration::from_millis(20);
/// Attempts to send junk to a node whose queue is full.
const FULL: usize = 50;

impl<T: Transport> Driver<T> {
    fn lock(&self) -> MutexGuard<'_, Node<T::Address>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node and sends what it has to send, in the caller's thread.
    fn call<R>(&self, f: impl FnOnce(&mut Node<T::Address>) -> R) -> R {
        let mut buffer = vec![0; self.max_datagram];
        let mut node = self.lock();
        let now = clock::now();
        node.set_wall_clock(now, now);
        let result = f(&mut node);
        while let Some(transmit) = node.poll_transmit(&mut buffer) {
            if !self.loss.loses() {
                // A datagram that is not sent is one that is lost.
                let _ = self.transport.send(&transmit.to, &buffer[..transmit.len]);
            }
        }
        result
    }

    fn run(&self, heard: &Sender<Vec<u8>>) {
        // A byte more than fits: what is larger is refused, not cut.
        let mut buffer = vec![0; self.max_datagram + 1];
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        while !self.stop.load(Ordering::Relaxed) {
            let received = {
                let mut receiving = pin!(self.transport.recv(&mut buffer));
                loop {
                    if let Poll::Ready(result) = receiving.as_mut().poll(&mut context) {
                        break result;
                    }
                    let deadline = self.call(|node| {
                        node.handle(clock::now(), Input::Tick).expect("a tick has nothing to refuse");
                        node.poll_timeout()
                    });
                    self.tell(heard);
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let wait = deadline.map_or(LONGEST, |deadline| deadline.since(clock::now()));
                    thread::park_timeout(wait.clamp(Duration::from_millis(1), LONGEST));
                }
            };
            match received {
                Ok((length, from)) => {
                    let payload = &buffer[..length.min(self.max_datagram + 1)];
                    // What is refused is counted by the node.
                    let _ = self.call(|node| node.handle(clock::now(), Input::Datagram { from: &from, payload }));
                    self.tell(heard);
                }
                Err(_) => thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }

    fn tell(&self, heard: &Sender<Vec<u8>>) {
        while let Some(event) = { self.lock().poll_event() } {
            if let Event::Broadcast { payload, .. } = event {
                // Nobody listens to a node that is being stopped.
                let _ = heard.send(payload.to_vec());
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

struct Over<F> {
    attach: F,
    loss: Arc<Loss>,
    starts: u64,
}

struct Running<T: Transport> {
    driver: Arc<Driver<T>>,
    thread: JoinHandle<()>,
    heard: Receiver<Vec<u8>>,
}

impl<T: Transport, F: FnMut() -> io::Result<(T, T::Address)>> Harness for Over<F> {
    type Address = T::Address;
    type Node = Running<T>;

    fn start(&mut self, name: &str, config: Config, seeds: &[T::Address]) -> Result<Running<T>, Error> {
        self.starts += 1;
        let (transport, address) = (self.attach)()?;
        let max_datagram = config.max_datagram;
        let mut node = Node::new(NodeId::from_name(name), address, config, self.starts)?;
        node.join(clock::now(), seeds.iter().cloned());
        let (sender, heard) = channel();
        let (loss, stop) = (Arc::clone(&self.loss), AtomicBool::new(false));
        let driver = Arc::new(Driver { node: Mutex::new(node), transport, loss, stop, max_datagram });
        let thread = thread::spawn({
            let driver = Arc::clone(&driver);
            move || driver.run(&sender)
        });
        Ok(Running { driver, thread, heard })
    }

    fn stop(&mut self, node: Running<T>) {
        node.driver.stop.store(true, Ordering::Relaxed);
        node.thread.thread().unpark();
        // A panic in a transport is its author's to see.
        if let Err(panic) = node.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn address(&self, node: &Running<T>) -> T::Address {
        node.driver.lock().address().clone()
    }

    fn put(&mut self, node: &Running<T>, name: &str, value: &[u8]) -> Result<(), Error> {
        Ok(node.driver.call(|node| node.put(clock::now(), name, value).map(drop))?)
    }

    fn delete(&mut self, node: &Running<T>, name: &str) -> Result<(), Error> {
        Ok(node.driver.call(|node| node.delete(clock::now(), name).map(drop))?)
    }

    fn broadcast(&mut self, node: &Running<T>, payload: &[u8]) -> Result<(), Error> {
        Ok(node.driver.call(|node| node.broadcast(clock::now(), payload).map(drop))?)
    }

    fn leave(&mut self, node: &Running<T>) -> Result<(), Error> {
        node.driver.call(|node| node.leave(clock::now()));
        Ok(())
    }

    fn get(&self, node: &Running<T>, name: &str) -> Option<Vec<u8>> {
        node.driver.lock().get(name).map(|value| value.to_vec())
    }

    fn members(&self, node: &Running<T>) -> Vec<Member<T::Address>> {
        node.driver.lock().members().collect()
    }

    fn heard(&mut self, node: &mut Running<T>) -> Vec<Vec<u8>> {
        node.heard.try_iter().collect()
    }

    fn lose(&mut self, share: f64) {
        // Saturates at everything: all but one of 2^64.
        self.loss.0.store((share * 2_f64.powi(64)) as u64, Ordering::Relaxed);
    }

    fn inject(&mut self, to: &T::Address, bytes: &[u8]) -> Result<(), Error> {
        let (stranger, _) = (self.attach)()?;
        // A queue that is full is emptied by the node's own thread.
        for _ in 0..FULL {
            match stranger.send(to, bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(LONGEST),
                sent => return Ok(sent?),
            }
        }
        Ok(stranger.send(to, bytes)?)
    }
}
