//! Gossip as a sans-IO state machine: membership, health, metadata, data and messages, spread by random peers.
//!
//! A [`Node`] owns no socket, no clock, no thread and no randomness. You bring the datagrams and the time, it brings the
//! protocol. `gossip-tokio` and `gossip-async-std` are such drivers; this is all that a driver does:
//!
//! ```no_run
//! use std::hash::{BuildHasher, RandomState};
//! use std::net::{SocketAddr, UdpSocket};
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//!
//! use gossip_core::{Config, Input, Instant, Node, NodeId};
//!
//! fn wall_clock() -> Instant {
//!     Instant::ORIGIN + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let socket = UdpSocket::bind("127.0.0.1:7000")?;
//!     let seeds: [SocketAddr; 1] = ["127.0.0.1:7001".parse()?];
//!     let mut buffer = [0; 1_500];
//!     let seed = RandomState::new().hash_one(0); // random and secret
//!     let mut node = Node::new(NodeId::from_name("db-1"), socket.local_addr()?, Config::lan(), seed)?;
//!     let started = std::time::Instant::now();
//!     let now = || Instant::ORIGIN + started.elapsed(); // timers run on monotonic time
//!     node.set_wall_clock(now(), wall_clock()); // stamps are made of the wall clock
//!     node.join(now(), seeds); // they are tried until one answers
//!     node.put(now(), "config/limit", b"10")?;
//!     loop {
//!         // 1. Send what is to be sent. A datagram that gets lost is no harm.
//!         while let Some(transmit) = node.poll_transmit(&mut buffer) {
//!             let _ = socket.send_to(&buffer[..transmit.len], transmit.to);
//!         }
//!         // 2. See what has happened.
//!         while let Some(event) = node.poll_event() {
//!             println!("{event:?}");
//!         }
//!         // 3. Wait for a datagram, but not beyond the one deadline that the node has.
//!         let Some(deadline) = node.poll_timeout() else { return Ok(()) }; // it has left
//!         socket.set_read_timeout(Some(deadline.since(now()).max(Duration::from_millis(1))))?;
//!         // 4. Tell the node what came, or that time has passed. What it refuses it has counted.
//!         let received = socket.recv_from(&mut buffer);
//!         node.set_wall_clock(now(), wall_clock());
//!         let _ = match received {
//!             Ok((length, from)) => node.handle(now(), Input::Datagram { from: &from, payload: &buffer[..length] }),
//!             Err(_) => node.handle(now(), Input::Tick),
//!         };
//!     }
//! }
//! ```
//!
//! The order of the steps does not matter, and nothing has to be drained before the next input. One rule: after every input and
//! every command, ask for the deadline anew before you wait. It may be another.
//!
//! # One idea
//!
//! Everything that spreads is an [`Update`](inspect::Update): a key, a version that is totally ordered for that key, and a body. A
//! replica holds the newest update of each key, so loss, duplication and reordering cannot hurt it. Three mechanisms of
//! Demers et al. (1987) carry updates and know nothing of what they mean: **direct mail** at once, best effort; **rumor
//! mongering** while an update is hot; **anti-entropy**, which repairs whatever was lost at a cost that follows the
//! difference. The failure detector (SWIM with Lifeguard) and the application are merely producers of updates.
//!
//! # What to know before using it
//!
//! - Entries are last-writer-wins by hybrid logical clock. For more, let each member write its share under one name
//!   ([`Node::put_share`]) and fold [`Node::shares_named`]: counters, sets and other CRDTs. What a member writes as its own
//!   ([`Node::put_own`]) is metadata, and ends with its process.
//! - What is deleted stays deleted, unless two groups are cut apart for longer than a death certificate is kept
//!   ([`Lifetimes::certificate`]).
//! - Values have up to [`Limits::max_value`] bytes (1 MiB). One that does not fit a datagram is fetched in parts and seen
//!   when it is whole; half-fetched ones take at most [`Limits::transfer_bytes`]. Names have up to 255 bytes, broadcasts
//!   must fit a datagram.
//! - Unicast ([`Node::send`], [`Node::send_acknowledged`]) and answers to queries ([`Node::query`]) must fit a datagram. For more, let the
//!   sender write an entry of its own ([`Node::put_own`]) and name it in the message.
//! - There is no ordering between keys or messages, no compare-and-set.
//! - Whoever can send datagrams to a node of your cluster can write to it, unless a keyring seals them (feature
//!   `encryption`): by themselves datagrams are checked for damage, not for forgery.
//!
//! `#![no_std]` with `alloc`, no unsafe code; the same seed and the same calls give the same bytes on every platform.

#![no_std]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod absence;
mod address;
mod clock;
mod config;
mod coordinate;
mod epidemic;
mod error;
mod estimate;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod id;
#[cfg(feature = "encryption")]
mod keyring;
#[cfg(doc)]
pub mod manual;
mod members;
mod node;
mod outbox;
mod overlay;
mod path_mtu;
mod query;
mod replica;
mod sketch;
mod swim;
mod table;
mod time;
mod trust;
mod unicast;
mod update;
mod value;
mod wire;

pub use address::{Address, MAX_ADDRESS};
pub use config::{
    AntiEntropy, Config, ConfigFile, Exchange, Healing, Lifetimes, Limits, Links, LossOfInterest, Mail, Membership,
    Policy, Probe, Relay, RemovedSetting, Response,
};
pub use coordinate::Coordinate;
pub use error::{
    AboutError, Bound, ConfigError, DatagramError, DecodeError, RestoreError, SendError, TypedError, WriteError,
};
pub use estimate::RoundTrips;
pub use event::{BroadcastId, Change, Distance, Event, Member, Neighbour, SetAside, Status};
pub use health::{Alert, Problem};
pub use id::{NodeId, ParseNodeIdError};
#[cfg(feature = "encryption")]
pub use keyring::{Key, KeyBytes, KeyError, Keyring, ParseKeyError, Plain};
pub use node::{EntryKind, Input, Node, Portion, PutOptions, Snapshot, Stats, Transmit};
#[cfg(feature = "encryption")]
pub use node::{KeyAnswer, KeyChange, Rotation, RotationStep};
pub use outbox::TrafficClass;
pub use query::{Answer, Progress, QueryId, Reply};
pub use smol_str::SmolStr;
pub use time::Instant;
pub use unicast::DeliveryId;
pub use update::{Features, Filter, Format, Formats, MAX_MEMBER_NAME, MAX_NAME, MAX_TAGS, Payload, Stamp, Tags};
pub use value::Typed;

/// Types behind [`Node::updates`] and [`Node::reconciled`], for tests and tools that compare replicas. Applications do not
/// need them.
pub mod inspect {
    pub use crate::node::Reconciled;
    #[cfg(feature = "next")]
    pub use crate::node::VersionFault;
    pub use crate::replica::CLOCKS_APART;
    pub use crate::update::{Asks, Broadcast, Certificate, End, Entry, Owner, Record, Standing, Topic, Until, Update};
}

/// Loss of interest in a rumor (Demers et al., section 1.4), for measuring it alone.
pub mod rumor {
    pub use crate::epidemic::interest::{Contact, Interest};
}
