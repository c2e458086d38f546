//! The node: commands and bytes in; bytes, events and one deadline out.

use alloc::sync::Arc;
use core::time::Duration;

use serde::Serialize;

use crate::address::Address;
use crate::config::Config;
use crate::error::{ConfigError, DatagramError, WriteError};
use crate::event::{BroadcastId, Event, Member};
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Stamp, Update};

/// What a driver tells a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a, A> {
    /// Time has passed. Due when [`Node::poll_timeout`] says so; early is harmless, late catches up once.
    Tick,
    /// A datagram arrived.
    Datagram {
        /// Where it came from, in the terms in which it can be answered.
        from: &'a A,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The transport learned that this address cannot be reached: a hint that ends the wait of a running ping.
    Unreachable {
        /// Which address.
        to: &'a A,
    },
}

impl<A> Copy for Input<'_, A> {}
impl<A> Clone for Input<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

/// A datagram to be sent: its bytes are the first `len` of the buffer given to [`Node::poll_transmit`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the datagram is in the buffer and nowhere else"]
#[non_exhaustive]
pub struct Transmit<A> {
    /// Where to.
    pub to: A,
    /// How many bytes.
    pub len: usize,
    /// What it was sent for.
    pub kind: Kind,
}

/// What a datagram was sent for; others may ride along. In the order in which they are sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Kind {
    /// An answer to a probe.
    Ack,
    /// A probe, for oneself or for another.
    Probe,
    /// Direct mail, rumors and what answers them.
    Rumor,
    /// Summaries and sketches.
    AntiEntropy,
    /// What a replica lacked.
    Bulk,
}

/// How an entry is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Whether it is this member's own (metadata, gone with its life) or shared.
    pub own: bool,
    /// How long it lives; for ever if none.
    pub time_to_live: Option<Duration>,
}

impl PutOptions {
    /// This member's own entry.
    pub fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// An entry that expires.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }
}

/// What a node has counted since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed to the driver.
    pub datagrams_sent: u64,
    /// Bytes handed to the driver.
    pub bytes_sent: u64,
    /// Datagrams accepted.
    pub datagrams_received: u64,
    /// Bytes accepted.
    pub bytes_received: u64,
    /// Datagrams refused: too short or long, malformed, damaged.
    pub datagrams_malformed: u64,
    /// Datagrams refused: another cluster's, another version's, or sealed with an unknown key.
    pub datagrams_foreign: u64,
    /// Datagrams refused: their sender's clock is too far ahead.
    pub datagrams_ahead: u64,
    /// Updates that were news.
    pub updates_new: u64,
    /// Updates that were known or outdated.
    pub updates_known: u64,
    /// Updates refused: past their time.
    pub updates_expired: u64,
    /// Updates refused: stamped too far ahead.
    pub updates_ahead: u64,
    /// Updates refused: the node is full.
    pub updates_full: u64,
    /// Messages dropped because the outbox was full.
    pub outbox_dropped: u64,
    /// Rumors that cooled because there were too many.
    pub hot_dropped: u64,
    /// Owned entries of unknown members dropped because there were too many.
    pub parked_dropped: u64,
    /// Broadcasts the application did not fetch in time.
    pub broadcasts_dropped: u64,
    /// Anti-entropy exchanges begun here.
    pub exchanges: u64,
    /// Members suspected here.
    pub suspicions: u64,
    /// Members declared dead here.
    pub deaths: u64,
    /// Times that this node refuted what was said of it.
    pub refutations: u64,
}

/// What two replicas must agree on: the reconciled set at a cut, in short.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Reconciled {
    /// Items in it.
    pub count: u64,
    /// Equal for equal sets.
    pub fingerprint: u64,
}

/// A node. Owns no socket, no clock, no thread and no source of randomness.
#[derive(Debug)]
pub struct Node<A: Address> {
    id: NodeId,
    address: A,
    config: Config,
    stats: Stats,
}

#[expect(
    unused_variables,
    clippy::todo,
    clippy::needless_pass_by_ref_mut,
    missing_docs,
    reason = "the face before the body"
)]
impl<A: Address> Node<A> {
    pub fn new(id: NodeId, address: A, config: Config, seed: u64) -> Result<Self, ConfigError> {
        todo!()
    }

    // Commands.

    pub fn join(&mut self, now: Instant, seeds: impl IntoIterator<Item = A>) {
        todo!()
    }
    pub fn set_peers(&mut self, now: Instant, peers: impl IntoIterator<Item = A>) {
        todo!()
    }
    /// The node can be reached elsewhere from now on.
    pub fn set_address(&mut self, now: Instant, address: A) -> Result<(), ConfigError> {
        todo!()
    }
    pub fn put(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        todo!()
    }
    pub fn put_own(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        todo!()
    }
    pub fn put_with(
        &mut self,
        now: Instant,
        name: &str,
        value: &[u8],
        options: PutOptions,
    ) -> Result<Stamp, WriteError> {
        todo!()
    }
    pub fn delete(&mut self, now: Instant, name: &str) -> Result<Stamp, WriteError> {
        todo!()
    }
    pub fn delete_own(&mut self, now: Instant, name: &str) -> Result<Stamp, WriteError> {
        todo!()
    }
    pub fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<BroadcastId, WriteError> {
        todo!()
    }
    pub fn leave(&mut self, now: Instant) {
        todo!()
    }
    pub fn forget(&mut self, now: Instant, id: NodeId) {
        todo!()
    }

    // Input.

    pub fn handle(&mut self, now: Instant, input: Input<'_, A>) -> Result<(), DatagramError> {
        todo!()
    }

    // Outputs.

    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit<A>> {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<Event<A>> {
        todo!()
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    // Getters.

    pub fn id(&self) -> NodeId {
        todo!()
    }
    pub fn address(&self) -> &A {
        todo!()
    }
    pub fn config(&self) -> &Config {
        todo!()
    }
    /// This node itself included.
    pub fn members(&self) -> impl Iterator<Item = Member<A>> + '_ {
        core::iter::empty()
    }
    pub fn member(&self, id: NodeId) -> Option<Member<A>> {
        todo!()
    }
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        todo!()
    }
    pub fn get_own(&self, owner: NodeId, name: &str) -> Option<Arc<[u8]>> {
        todo!()
    }
    /// Shared entries whose name begins with `prefix`, by name.
    pub fn entries(&self, prefix: &str) -> impl Iterator<Item = (Arc<str>, Arc<[u8]>)> + '_ {
        core::iter::empty()
    }
    /// Owned entries of this name, by owner.
    pub fn entries_named(&self, name: &str) -> impl Iterator<Item = (NodeId, Arc<[u8]>)> + '_ {
        core::iter::empty()
    }
    /// Lifeguard's local health multiplier: 0 is healthy.
    pub fn local_health(&self) -> u32 {
        todo!()
    }
    pub fn is_isolated(&self) -> bool {
        todo!()
    }
    pub fn has_left(&self) -> bool {
        todo!()
    }
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
    /// The reconciled set at `cut` (hybrid-logical-clock time, see [`clock`](Self::clock)).
    pub fn reconciled(&self, cut: Instant) -> Reconciled {
        todo!()
    }
    /// The hybrid logical clock at `now`: the later of `now` and everything seen.
    pub fn clock(&self, now: Instant) -> Instant {
        todo!()
    }
    /// Every update in the reconciled set at `cut`, in no order that means anything.
    pub fn updates(&self, cut: Instant) -> impl Iterator<Item = &Update<A>> + '_ {
        core::iter::empty()
    }
}
