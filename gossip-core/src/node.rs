//! The node: commands and bytes in; bytes, events and one deadline out.

mod absence;
mod bounds;
mod changes;
mod clocks;
mod commands;
mod contacts;
mod coordinates;
mod events;
mod exchange;
mod formats;
mod gate;
mod handle;
mod health;
mod identity;
#[cfg(feature = "encryption")]
mod keys;
mod large;
mod learn;
mod lifecycle;
mod membership;
#[cfg(feature = "next")]
mod next;
mod overlay;
mod path;
mod query;
mod reach;
#[cfg(feature = "encryption")]
mod rotation;
mod rumors;
mod shares;
mod snapshot;
mod stats;
mod timers;
mod transmit;
mod unicast;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde::Serialize;
use smol_str::SmolStr;

use crate::absence::{Absence, Aside};
use crate::address::{Address, MAX_ADDRESS};
use crate::clock::{Clocks, Settled};
use crate::config::{Config, Membership};
use crate::coordinate::Position;
use crate::epidemic::anti_entropy::{AntiEntropy, Progress};
use crate::epidemic::rumor::Rumors;
use crate::epidemic::transfer::Transfers;
use crate::error::ConfigError;
use crate::estimate::RoundTrips;
use crate::event::{Change, Event, Member, Neighbour, Status};
use crate::id::NodeId;
use crate::outbox::{Outbox, TrafficClass};
use crate::overlay::Overlay;
use crate::path_mtu::PathMtu;
use crate::query::Queries;
use crate::replica::{Range, Replica, Room};
use crate::swim::Detector;
use crate::time::Instant;
use crate::trust::Trust;
use crate::unicast::Unicasts;
use crate::update::{Owner, Record, Update, Whose};
use crate::wire::{Envelope, Message, OVERHEAD};
use bounds::ReachedBounds;
use changes::Changes;
use contacts::Contacts;
use events::{Events, Pending};
use formats::Upgrade;
use gate::{Gate, Unreadable};
use health::Health;
use identity::{Identity, Phase};
use reach::Unreached;
use shares::Shares;

pub use changes::Portion;
#[cfg(feature = "next")]
pub use next::VersionFault;
#[cfg(feature = "encryption")]
pub use rotation::{KeyAnswer, KeyChange, Rotation, RotationStep};
pub use snapshot::Snapshot;
pub use stats::Stats;

/// Input of a node, from its driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a, A> {
    /// Time has passed. Due at the time that [`Node::poll_timeout`] returns. An early tick does nothing, a late one
    /// catches up once. If a tick is more than a probe period late, no suspicion ends during the next period: a refutation may still
    /// wait in the socket.
    Tick,
    /// A datagram arrived.
    Datagram {
        /// Address of its sender, at which it can be answered.
        from: &'a A,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The transport learned that this address cannot be reached: a hint that ends the wait of a running ping.
    Unreachable {
        /// Address that cannot be reached.
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
    /// Destination.
    pub to: A,
    /// Length in bytes.
    pub len: usize,
    /// Purpose.
    pub class: TrafficClass,
}

/// Kind of an entry: who writes it, and what ends it.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// All members write it, the newest write wins, and it stays until it is deleted.
    #[default]
    Shared,
    /// Only this member writes it, and it disappears with this boot of it: metadata.
    Own,
    /// Only this member writes it, and it stays until it is deleted, or this member is [forgotten](Node::forget): this member's
    /// share of something that all fold.
    Share,
}

/// Options of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Kind of the entry.
    pub kind: EntryKind,
    /// Time after which the entry expires; never if none.
    pub time_to_live: Option<Duration>,
}

impl PutOptions {
    /// Makes it the member's own entry.
    pub fn own(mut self) -> Self {
        self.kind = EntryKind::Own;
        self
    }

    /// Makes it the member's share.
    pub fn share(mut self) -> Self {
        self.kind = EntryKind::Share;
        self
    }

    /// Makes it expire after this time: at least [`max_ahead`](crate::Lifetimes::max_ahead) (10 s), or the write is
    /// refused as [`TooShortLived`](crate::WriteError::TooShortLived).
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }
}

/// Summary of the reconciled set at a cut, on which two replicas must agree.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Reconciled {
    /// Number of items.
    pub count: u64,
    /// Equal for equal sets.
    pub fingerprint: u64,
}

/// A node. Owns no socket, no clock, no thread and no source of randomness.
///
/// Commands and inputs take the current monotonic time; time that runs backwards counts as standing still. What the wall
/// clock says is told by [`set_wall_clock`](Self::set_wall_clock). The outputs can be
/// polled in any order and any number of times: nothing has to be drained before the next input.
///
/// - **Commands**: [`join`](Self::join), [`put`](Self::put), [`delete`](Self::delete),
///   [`broadcast`](Self::broadcast), [`send`](Self::send), [`query`](Self::query), [`leave`](Self::leave) and their kin.
/// - **Input**: [`handle`](Self::handle).
/// - **Outputs**: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
/// - **Getters** answer from what is known here and now.
#[derive(Debug)]
pub struct Node<A: Address> {
    identity: Identity<A>,
    config: Config,
    rng: Xoshiro256PlusPlus,
    /// Latest time seen.
    now: Instant,
    /// Agreed time, from the members' readings of their wall clocks.
    clocks: Clocks,
    /// Time that is past for good, by the time that this node was awake: what ended in it may be forgotten.
    settled: Settled,
    /// Doubts about what this node held when it was last without contact.
    absence: Absence,
    /// Values that were set aside for such a doubt.
    aside: Aside,
    /// The newest update of each key.
    replica: Replica<A>,
    /// SWIM: the member view, probes, suspicions.
    detector: Detector<A>,
    /// Rumor mongering with random peers.
    rumors: Rumors<A>,
    /// Links with neighbours, along which news goes first.
    overlay: Overlay<A>,
    /// Comparisons of whole replicas.
    anti_entropy: AntiEntropy<A>,
    /// Large values that are being fetched.
    transfers: Transfers<A>,
    unicasts: Unicasts,
    queries: Queries,
    /// Seeds, and members that are tried although they are dead.
    contacts: Contacts<A>,
    /// Datagrams of other clusters, keys and versions that have been told.
    gate: Gate<A>,
    /// Tokens that prove addresses, and the budget for answers larger than their questions.
    trust: Trust<A>,
    /// Peers that do not reach this node at its address, as they say.
    unreached: Unreached<A>,
    /// Network coordinate of this node.
    position: Position,
    /// Round trips of the pings that were answered here.
    round_trips: RoundTrips,
    /// Lengths of datagrams that the paths carry.
    paths: PathMtu<A>,
    /// Limits of `config` that have been reached.
    reached_bounds: ReachedBounds,
    /// Alerts, each with the time since when.
    health: Health,
    /// Changes of keys by order of another member.
    changes: Changes,
    /// Shares of this member that this boot has written.
    shares: Shares,
    /// Formats and features of the members.
    upgrade: Upgrade,
    #[cfg(feature = "next")]
    next: next::Next,
    outbox: Outbox<A>,
    events: Events<A>,
    envelope: Envelope,
    stats: Stats,
    /// Number of updates that this exchange's repairs may still make hot.
    relays_left: u32,
    /// Messages of the current datagram; kept for its capacity.
    messages: Vec<Message<A>>,
}

impl<A: Address> Node<A> {
    /// A node that does nothing until it is told the time, by a command or a tick. `address`: where the others reach
    /// it. `seed`: where its randomness comes from. It has to be random and secret, and different at every start, for cookies, the pass and the
    /// numbers of pings are made from it: draw it from the operating system.
    ///
    /// # Errors
    /// A configuration or an address that cannot work, with the value and the bound.
    pub fn new(id: NodeId, address: A, config: Config, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        check_address(&address)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ id.get().rotate_left(32));
        #[cfg_attr(not(feature = "encryption"), allow(unused_mut, reason = "no senders are remembered"))]
        let mut envelope = Envelope::new(&config.label, config.max_datagram);
        #[cfg(feature = "encryption")]
        envelope.remember(config.limits.members);
        let most = Room { items: config.limits.entries, bytes: config.limits.bytes };
        let replica = Replica::new(&config.label, config.lifetimes.shrink, config.limits.parked)
            .whole_up_to(commands::largest_update(&config))
            .holds_up_to(most)
            .certificates_up_to(config.limits.certificates);
        let rumors = Rumors::new(config.rumor.clone(), config.limits.hot, &mut rng);
        let overlay = Overlay::new(config.overlay.clone(), config.rumor.relay_delay, config.limits.hot);
        let anti_entropy = AntiEntropy::new(config.anti_entropy.clone(), envelope.body().len(), config.probe.timeout);
        let trust = Trust::new(&mut rng);
        let transfers = Transfers::new(&config.limits, config.max_datagram - OVERHEAD, config.probe.timeout);
        Ok(Self {
            detector: Detector::new(id, config.probe.clone(), config.membership == Membership::Probed, &mut rng),
            outbox: Outbox::new(config.limits.outbox),
            events: Events::new(config.limits.members + config.limits.entries, config.limits.undelivered),
            identity: Identity::new(id, address),
            rng,
            now: Instant::ORIGIN,
            clocks: Clocks::new(config.lifetimes.max_ahead),
            settled: Settled::default(),
            absence: Absence::new(id, config.lifetimes.certificate, config.anti_entropy.interval),
            aside: Aside::new(most),
            replica,
            rumors,
            overlay,
            anti_entropy,
            transfers,
            unicasts: Unicasts::default(),
            queries: Queries::default(),
            contacts: Contacts::default(),
            gate: Gate::default(),
            trust,
            unreached: Unreached::default(),
            position: Position::default(),
            round_trips: RoundTrips::default(),
            paths: PathMtu::new(config.max_datagram, config.probe.timeout),
            reached_bounds: ReachedBounds::default(),
            health: Health::default(),
            changes: Changes::default(),
            shares: Shares::default(),
            upgrade: Upgrade::default(),
            #[cfg(feature = "next")]
            next: next::Next::default(),
            envelope,
            stats: Stats::default(),
            relays_left: 0,
            messages: Vec::new(),
            config,
        })
    }

    // Outputs; `poll_transmit` is in `transmit`.

    /// Takes the next event, if there is one.
    pub fn poll_event(&mut self) -> Option<Event<A>> {
        if let Some(Progress { received, expected, done }) = self.anti_entropy.take_news() {
            return Some(Event::CatchUp { received, expected, done });
        }
        loop {
            return Some(match self.events.pop()? {
                Pending::Member { id, was, moved } => match (self.member(id), was) {
                    (Some(member), _) if moved || was != Some(member.status) => Event::Member { was, member },
                    (None, Some(_)) => Event::Reaped { id },
                    // It is unchanged, or appeared and disappeared between two polls.
                    _ => continue,
                },
                Pending::Entry(whose, name) => {
                    let entry = self.replica.entry(whose, &name, self.agreed());
                    let written = entry.and_then(|entry| entry.value.clone().map(|value| (value, entry.stamp)));
                    let change = written.map_or(Change::Gone, |(value, stamp)| Change::Written { value, stamp });
                    match whose {
                        Whose::Everyone => Event::Entry { owner: None, name, change },
                        Whose::Own(owner) => Event::Entry { owner: Some(owner), name, change },
                        Whose::Share(owner) => Event::Share { owner, name, change },
                    }
                }
                Pending::Message(message) => match message {
                    events::Message::Broadcast(id, payload) => Event::Broadcast { id, payload },
                    events::Message::Unicast(from, payload) => Event::Unicast { from, payload },
                    events::Message::Query(id, payload) => Event::Query { id, payload },
                    events::Message::Delivered { id, to, received } => Event::Delivered { id, to, received },
                    events::Message::ShareLost(name, value, stamp) => Event::ShareLost { name, value, stamp },
                },
                Pending::Answers(query) => Event::Answers { query },
                Pending::Isolated(isolated) => Event::Isolated(isolated),
                Pending::IdentityConflict(address) => Event::IdentityConflict { address },
                Pending::ClockWrong { peers, own } => Event::ClockWrong { peers, own },
                Pending::SetAside(count) => Event::SetAside { count },
                Pending::Full(bound) => Event::Full { bound },
                Pending::Unreadable(Unreadable::Label, address) => Event::ForeignCluster { address },
                Pending::Unreadable(Unreadable::Key(key), address) => Event::UnknownKey { key, address },
                Pending::Unreadable(Unreadable::Version(version), address) => {
                    Event::UnknownVersion { version, address }
                }
                Pending::Unreadable(Unreadable::Size(length), address) => {
                    Event::LargerDatagrams { length, longest: self.config.max_datagram, address }
                }
                Pending::Incompatible(id, formats) => Event::Incompatible { id, formats },
                Pending::Features(features) => Event::Features(features),
                Pending::Unreachable { advertised, seen } => Event::Unreachable { advertised, seen },
                Pending::NarrowPath { address, longest } => Event::NarrowPath { address, longest },
                Pending::Left => Event::Left,
            });
        }
    }

    /// Forgets the events on members and entries that wait, for an application that reads the state instead: after
    /// [`restore`](Self::restore) there are as many as it brought. Other events stay.
    pub fn discard_events(&mut self) {
        self.events.discard();
    }

    // Getters.

    /// Returns this node's id.
    pub const fn id(&self) -> NodeId {
        self.identity.id
    }

    /// Returns the address by which others reach this node.
    pub const fn address(&self) -> &A {
        &self.identity.address
    }

    /// Returns the number by which what is sent to it is keyed.
    #[cfg(any(test, fuzzing))]
    pub(crate) const fn pass(&self) -> u64 {
        self.identity.pass
    }

    /// Returns the proof that this address would have, had it asked for it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn proof_for(&self, address: &A) -> Message<A> {
        crate::wire::Trust::Proof { cookie: self.trust.token(address, self.now) }.into()
    }

    /// Returns whether this is a proof for this address.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_proof(&self, address: &A, token: u32) -> bool {
        self.trust.proves(address, token, self.now)
    }

    /// Takes what seals and opens datagrams in the name of this node.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn into_envelope(self) -> Envelope {
        self.envelope
    }

    /// Returns the configuration of this node.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Lists all members that are not forgotten, including dead and departed ones; this node comes first.
    pub fn members(&self) -> impl Iterator<Item = Member<A>> + '_ {
        let others = self.detector.members().iter().filter_map(|seen| self.member(seen.id));
        self.member(self.identity.id).into_iter().chain(others)
    }

    /// Returns a member in the view of this node.
    pub fn member(&self, id: NodeId) -> Option<Member<A>> {
        let record = self.replica.member(id)?;
        let (status, rtt) = if id == self.identity.id {
            (self.identity.status(), None)
        } else {
            let seen = self.detector.members().get(id)?;
            (seen.status, seen.trip())
        };
        let Record { incarnation, boot, address, about, .. } = record.clone();
        Some(Member { id, address, status, incarnation, boot, about, rtt })
    }

    /// The members that this node has links with: see [`Relay::Tree`](crate::Relay::Tree).
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.overlay.neighbours()
    }

    /// Returns the number of members alive or suspected, including this node while it has not left.
    pub fn live_members(&self) -> usize {
        self.detector.members().peers() + usize::from(self.identity.status() == Status::Alive)
    }

    /// Returns the value of a shared entry.
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.value_of(Whose::Everyone, name)
    }

    /// Returns the value of a member's own entry.
    pub fn get_own(&self, owner: NodeId, name: &str) -> Option<Arc<[u8]>> {
        self.value_of(Whose::Own(owner), name)
    }

    fn value_of(&self, whose: Whose, name: &str) -> Option<Arc<[u8]>> {
        self.replica.entry(whose, name, self.agreed())?.value.clone()
    }

    /// Lists the shared entries whose names begin with `prefix`, by name.
    pub fn entries(&self, prefix: &str) -> impl Iterator<Item = (SmolStr, Arc<[u8]>)> + '_ {
        let prefix: SmolStr = prefix.into();
        self.replica
            .entries_from(prefix.clone(), self.agreed())
            .take_while(move |entry| entry.name.starts_with(&*prefix))
            .filter(|entry| entry.owner.is_none())
            .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
    }

    /// Lists the members' own entries of this name, by owner.
    pub fn entries_named(&self, name: &str) -> impl Iterator<Item = (NodeId, Arc<[u8]>)> + '_ {
        let own = self.named(name).filter(|(owner, _)| !owner.has_share());
        own.map(|(owner, value)| (owner.id, value))
    }

    /// Lists what members own of this name, by kind and owner.
    fn named(&self, name: &str) -> impl Iterator<Item = (Owner, Arc<[u8]>)> + '_ {
        let name: SmolStr = name.into();
        self.replica
            .entries_from(name.clone(), self.agreed())
            .take_while(move |entry| entry.name == name)
            .filter_map(|entry| Some((entry.owner?, entry.value.clone()?)))
    }

    /// Returns the number of shared entries that have a value, at no cost; one that has expired counts until it takes no room.
    pub const fn entry_count(&self) -> usize {
        self.replica.shared()
    }

    /// Returns the bytes of all values and payloads that are held, at no cost.
    pub const fn value_bytes(&self) -> usize {
        self.replica.bytes()
    }

    /// Returns the number of members with this status in the view of this node, itself included. Looks at each, and copies
    /// nothing.
    pub fn count_members(&self, status: Status) -> usize {
        let others = self.detector.members().iter().filter(|seen| seen.status == status).count();
        others + usize::from(self.replica.has(self.own_key()) && self.identity.status() == status)
    }

    /// Returns Lifeguard's local health multiplier: 0 is healthy.
    pub const fn local_health(&self) -> u32 {
        self.detector.health()
    }

    /// Returns true if this node knows of others (members that died, or seeds) and has contact to none. A join has three
    /// protocol periods before that is said.
    pub const fn is_isolated(&self) -> bool {
        self.contacts.is_isolated()
    }

    /// Returns true if this node has left: it sends nothing, unless it [joins](Self::join) again.
    pub fn has_left(&self) -> bool {
        self.identity.phase == Phase::Left
    }

    /// Returns the progress of catching up with a peer: items received, items expected.
    pub fn catching_up(&self) -> Option<(u64, u64)> {
        self.anti_entropy.progress()
    }

    /// Returns the number of large values being fetched or waiting for it, and the bytes held for them.
    pub fn transfers(&self) -> (usize, usize) {
        self.transfers.under_way()
    }

    /// Returns the number of hot rumors.
    pub fn hot_rumors(&self) -> usize {
        self.rumors.len()
    }

    /// The time that the members agree on, at `now`: this node's wall clock, unless most of the others say that it is
    /// wrong. Leases end by it. It may step back.
    pub fn clock(&self, now: Instant) -> Instant {
        self.clocks.agreed(self.now.max(now))
    }

    /// Summarises the reconciled set at `cut` (a [`clock`](Self::clock) rounded down to a second).
    pub fn reconciled(&self, cut: Instant) -> Reconciled {
        let (count, fingerprint) = self.replica.summary(cut);
        Reconciled { count, fingerprint }
    }

    /// Lists the updates in the reconciled set at `cut`, in the same order on every node that holds the same set.
    pub fn updates(&self, cut: Instant) -> impl Iterator<Item = Update<A>> + '_ {
        self.replica.in_range(Range::ALL, cut).map(|(_, update)| update)
    }
}

fn check_address<A: Address>(address: &A) -> Result<(), ConfigError> {
    let mut buffer = [0; MAX_ADDRESS];
    let Ok(bytes) = postcard::to_slice(address, &mut buffer) else {
        return Err(ConfigError::AddressTooLong { length: crate::wire::encoded_len(address), longest: MAX_ADDRESS });
    };
    match postcard::from_bytes::<A>(bytes) {
        Ok(decoded) if decoded == *address => Ok(()),
        _ => Err(ConfigError::AddressChanges { address: format!("{address:?}") }),
    }
}

#[cfg(test)]
mod tests;
