//! [`gossip-core`](gossip_core) on async-std: a node in one line.
//!
//! async-std is discontinued (RUSTSEC-2025-0052). Take this crate in a program that still runs on it, or on **smol**: it
//! works there unchanged, since both runtimes share a reactor (`examples/smol.rs`). For a new program take its twin
//! `gossip-tokio`, which differs only in the runtime.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gossip = gossip_async_std::bind("127.0.0.1:7000").name("db-1").join(["127.0.0.1:7001"]).spawn().await?;
//! gossip.put("config/limit", b"10")?; // plain calls, also outside async
//! gossip.wait_members(2).await?;
//! println!("{:?}", gossip.members());
//! gossip.leave(std::time::Duration::from_secs(5)).await?;
//! # Ok(()) }
//! ```
//!
//! [`bind`] makes a node with a UDP socket, [`over`] one with a [`Transport`] of your own. Both return a [`Builder`],
//! which spawns a [`Gossip`]: the handle of a node that runs until the last handle is dropped. [`gossip_core`] is the
//! state machine inside, with its configuration, events and errors.
//!
//! # Events, and waiting for a condition
//!
//! [`Memory`] is a network inside the process, for tests and for examples such as this:
//!
//! ```
//! use gossip_async_std::gossip_core::{Config, Event};
//! use gossip_async_std::{Lagged, Network, over};
//!
//! # #[async_std::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::default();
//! let first = over(network.attach(1)?, 1).config(Config::local()).spawn().await?;
//! let second = over(network.attach(2)?, 2).config(Config::local()).join([1]).spawn().await?;
//! let mut events = second.events();
//!
//! first.put("config/limit", b"10")?;
//! assert_eq!(&*second.wait_for("config/limit").await?, b"10");
//! first.delete("config/limit")?;
//! second.wait_until(|gossip| gossip.get("config/limit").is_none()).await?;
//!
//! first.broadcast(b"hello")?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Ok(Event::Broadcast { payload, .. }) => {
//!             assert_eq!(&*payload, b"hello");
//!             break;
//!         }
//!         Ok(_) => {}
//!         Err(Lagged { missed }) => eprintln!("too slow: {missed} events are lost"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # One member, and all of them
//!
//! [`Gossip::send_to`] sends a message to one member, [`Gossip::send_to_acknowledged`] waits until it has it. [`Gossip::query`] asks all members, or
//! some; each answers what [`Gossip::questions`] gives it. It ends as soon as all that live have answered, and names who has not.
//!
//! [`Events`] is also a `Stream`. Every wait is cancel-safe, so all of them may be used in a `select`.
//!
//! # A transport of your own
//!
//! A transport is anything that carries datagrams, or bytes that can be cut into datagrams. This one loses every third:
//!
//! ```
//! use std::io;
//! use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
//! use gossip_async_std::{Memory, Network, Transport, gossip_core::Config, over};
//!
//! struct Lossy(Memory, AtomicUsize);
//!
//! impl Transport for Lossy {
//!     type Address = u64;
//!
//!     fn send(&self, to: &u64, payload: &[u8]) -> io::Result<()> {
//!         if self.1.fetch_add(1, Relaxed) % 3 == 2 { Ok(()) } else { self.0.send(to, payload) }
//!     }
//!
//!     async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
//!         self.0.recv(buffer).await
//!     }
//! }
//!
//! # #[async_std::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::default();
//! let end = |address| network.attach(address).map(|end| Lossy(end, AtomicUsize::new(0)));
//! let first = over(end(1)?, 1).config(Config::local()).spawn().await?;
//! let second = over(end(2)?, 2).config(Config::local()).join([1]).spawn().await?;
//! first.wait_members(2).await?;
//! second.wait_members(2).await?;
//! # Ok(()) }
//! ```
//!
//! # Typed values, keys
//!
//! [`Typed`](gossip_core::Typed) encodes at the edge: `gossip.put(LIMIT.name(), LIMIT.encode(&10)?)?`, and
//! `gossip.inspect(|node| LIMIT.get(node))?`. With the feature `encryption`, `Builder::key` seals every datagram:
//! `bind(address).key(std::fs::read_to_string("cluster.key")?.trim().parse()?)`.
//!
//! # When things go wrong
//!
//! A node outlives its network. It counts errors of the transport ([`DriverStats`]) and goes on, tries seeds until one
//! answers, and resolves their names again. [`Gossip::stopped`] reports whatever ends a node's task, other than
//! [`Gossip::stop`] and the drop of the last handle. A slow reader of events loses the oldest and is told their number;
//! it never delays the protocol. Spans and events of `tracing` carry the node's id; at debug, each exchange with a peer has a
//! span of its own.

mod builder;
mod clock;
mod driver;
mod error;
mod events;
mod exchanges;
mod gossip;
mod journal;
mod keeper;
mod lock;
mod memory;
pub mod metrics;
mod query;
#[cfg(feature = "encryption")]
mod rotation;
mod runtime;
mod seeds;
mod shared;
mod stats;
mod storage;
mod transport;
mod udp;
mod unicast;
mod watch;
mod within;

pub use builder::{Bind, Builder, Over, bind, over};
#[cfg(feature = "encryption")]
pub use error::RotationError;
pub use error::{DeliveryError, Lagged, LeaveError, SpawnError, Stopped, TaskError, WaitError};
pub use events::Events;
pub use gossip::Gossip;
pub use gossip_core;
pub use memory::{Memory, Network};
pub use query::{Answers, Gathered, Query, Question, Questions};
#[cfg(feature = "encryption")]
pub use rotation::KeyAnswers;
pub use runtime::Udp;
pub use stats::{DriverStats, Stats};
pub use transport::Transport;
pub use watch::{EntryState, MemberLists, Subscription};
pub use within::Within;
