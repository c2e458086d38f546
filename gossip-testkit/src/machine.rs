//! Machines that can be simulated: sans-IO protocols, in the shape of [`gossip_core::Node`].
//!
//! The simulator knows machines by this trait alone, so a node in somebody's own framing, or a protocol that has never
//! heard of gossip, is checked by the same code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::{Input, Instant, Status};

use crate::address::Addr;
use crate::plan::Damage;

/// A sans-IO state machine: commands and bytes in; bytes, events and one deadline out.
///
/// Two machines that are given the same calls must answer the same: no ambient clock, no ambient randomness, no order
/// that differs from run to run.
pub trait Machine: Sized {
    /// The configuration that all nodes of a cluster have in common.
    type Config: Clone + fmt::Debug;
    /// A command of its user: the workload of a scenario, which is printed with its `Display` and read with its
    /// `FromStr`. What is printed must read back, so it has no line ends, no space at either end, no semicolon outside of
    /// double quotes, and as many of those as end what they begin; within them a backslash escapes the next character.
    type Command: Clone + fmt::Debug + fmt::Display;
    /// An event that it tells its user.
    type Event: fmt::Debug;
    /// The state that survives a crash: what a process would have on its disk.
    type Memory;

    /// Returns what may be expected of it.
    fn expectations(config: &Self::Config) -> Expectations;

    /// A process starts. `memory` is what an earlier process of this node had left, if it restarts with memory.
    fn boot(boot: &Boot<'_, Self::Config>, memory: Option<Self::Memory>) -> Self;

    /// Returns true if a process that starts like this makes use of what another had left: it may be too old.
    fn remembers(_boot: &Boot<'_, Self::Config>, _memory: &Self::Memory) -> bool {
        true
    }

    /// The process has crashed: what is left of it.
    fn into_memory(self) -> Self::Memory;

    /// Returns what a process finds of a memory that was damaged on its disk; none if it refuses that, and starts without. A machine
    /// whose memory can be damaged writes it as bytes, lets [`Damage::apply`] change them and reads them again. The invariant
    /// [`DamageRefused`](crate::invariant::DamageRefused) wants none of it taken.
    fn damaged(_memory: Self::Memory, _damage: Damage) -> Option<Self::Memory> {
        None
    }

    /// Returns the configuration of a node that sends datagrams of at most so many bytes; the same unless overridden, for machines
    /// that have no such setting.
    fn shortened(config: &Self::Config, _max_datagram: usize) -> Self::Config {
        config.clone()
    }

    /// Returns the configuration in which a setting has another value; none if the machine has no such setting, or if it does not
    /// work with the others. None unless overridden, for machines with settings that can be drawn
    /// ([`Workload::setting`](crate::Workload::setting)).
    fn set(_config: &Self::Config, _name: &str, _value: &str) -> Option<Self::Config> {
        None
    }

    /// Tells it what its wall clock says at `now`: before every other call, for machines that care.
    fn set_wall_clock(&mut self, _now: Instant, _wall: Instant) {}

    /// Its user says something.
    ///
    /// # Errors
    /// Why it was refused. That is counted and no failure.
    fn command(&mut self, now: Instant, command: &Self::Command) -> Result<(), String>;

    /// Time passes, or a datagram arrives.
    ///
    /// # Errors
    /// Why the datagram was refused. That is counted and no failure.
    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String>;

    /// The next datagram it wants sent, written to the beginning of `buffer` (65,536 bytes).
    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing>;

    /// The next thing it tells its user.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Returns the time at which it wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Its own logical clock, if it has one.
    fn clock(&self, now: Instant) -> Instant {
        now
    }

    /// Returns what it holds, as of `cut`: what lives until `cut` or earlier is left out.
    fn view(&self, cut: Instant) -> View;

    /// Equal for machines whose [`view`](Self::view)s hold equal items, different (but for collisions) for others.
    /// Called after every step when invariants are checked: override it if there is a cheap answer.
    fn fingerprint(&self, cut: Instant) -> u64 {
        self.view(cut).fingerprint()
    }

    /// Returns the status of `of` as this machine sees it.
    fn opinion(&self, of: Addr) -> Option<Status> {
        self.view(Instant::ORIGIN).members.get(&of).copied()
    }

    /// Returns its incarnation, for machines that have one: it grows when the machine says that it is alive.
    fn incarnation(&self) -> Option<u64> {
        None
    }

    /// Returns the key that a command writes and the body that it writes, none if it deletes, for commands that do. The
    /// key is one of [`View::items`]. Asked when the command was carried out.
    fn written(&self, _command: &Self::Command) -> Option<(String, Option<Vec<u8>>)> {
        None
    }

    /// Returns true if it has left the cluster: it has done its work and waits for nothing.
    fn has_left(&self) -> bool {
        false
    }

    /// Returns how much it keeps, in numbers of items and messages: at most [`Expectations::held_per_item`] for each node and each command
    /// so far. What a machine does not count here is not seen to pile up.
    fn held(&self) -> Option<usize> {
        None
    }

    /// Returns how often it has begun to compare which lengths of datagrams a path carries, for machines that do. That takes a
    /// while, and is no silence.
    fn paths_compared(&self) -> u64 {
        0
    }

    /// Translates an event for the invariants.
    fn note(_event: &Self::Event) -> Note {
        Note::Other
    }
}

/// Facts that a process knows when it starts.
#[derive(Debug)]
pub struct Boot<'a, C> {
    /// Its own address.
    pub addr: Addr,
    /// The node whose id it has, for machines that know ids: itself, or another whose twin it is.
    pub id: Addr,
    /// Everybody's addresses, its own included, in ascending order.
    pub nodes: &'a [Addr],
    /// Nodes to ask first.
    pub seeds: &'a [Addr],
    /// For its random choices: another one at every start.
    pub seed: u64,
    /// The configuration that all nodes have in common.
    pub config: &'a C,
    /// The reading of its monotonic clock, which every call gets as `now`.
    pub now: Instant,
    /// Its wall clock.
    pub wall: Instant,
}

impl<'a, C> Boot<'a, C> {
    /// The same start with another configuration.
    pub const fn with_config<D>(&self, config: &'a D) -> Boot<'a, D> {
        let Self { addr, id, nodes, seeds, seed, now, wall, .. } = *self;
        Boot { addr, id, nodes, seeds, seed, config, now, wall }
    }
}

/// A datagram that a machine wants sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: Addr,
    /// Its length; the bytes are in the buffer.
    pub len: usize,
    /// Its name in a trace.
    pub label: &'static str,
}

/// Expectations of a machine: bounds, and what it knows of members.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectations {
    /// The largest datagram it may send.
    pub max_datagram: usize,
    /// Its protocol period: what the bound on convergence is counted in.
    pub period: Duration,
    /// Largest error of a clock that it must cope with.
    pub max_skew: Duration,
    /// Bounds on what it sends when it has nothing to do; none if it need not be silent.
    pub idle: Option<Idle>,
    /// Its knowledge of members.
    pub membership: MemberKnowledge,
    /// Items it may hold for each node and each command so far.
    pub held_per_item: usize,
    /// Age, by its own clock, up to which the members in a process's memory are believed after its restart. Of an older
    /// memory they are addresses to try: all others may have forgotten some of them.
    pub members_kept: Duration,
    /// Difference between the clocks of two nodes up to which they agree on what ends.
    pub clocks_apart: Duration,
}

impl Expectations {
    /// Expectations of a protocol that counts in periods of this length: clocks are right, an idle cluster need not be
    /// silent, nothing is known of members, and at most one item is held for each node and each command.
    pub const fn new(max_datagram: usize, period: Duration) -> Self {
        let (max_skew, membership) = (Duration::ZERO, MemberKnowledge::None);
        let (members_kept, clocks_apart) = (Duration::MAX, Duration::MAX);
        Self { max_datagram, period, max_skew, idle: None, membership, held_per_item: 1, members_kept, clocks_apart }
    }

    /// Returns the expectations of two nodes together, of which each keeps its own.
    pub(crate) fn least(self, other: Self) -> Self {
        let period = self.period.max(other.period);
        // In as many of the longer periods as either sends more.
        let idle = |of: &Self| {
            let periods = period.as_secs_f64() / of.period.as_secs_f64();
            of.idle.map(|Idle { datagrams, bytes }| Idle { datagrams: datagrams * periods, bytes: bytes * periods })
        };
        let more = |(a, b): (Idle, Idle)| Idle { datagrams: a.datagrams.max(b.datagrams), bytes: a.bytes.max(b.bytes) };
        Self {
            max_datagram: self.max_datagram.max(other.max_datagram),
            max_skew: self.max_skew.min(other.max_skew),
            idle: idle(&self).zip(idle(&other)).map(more),
            membership: self.membership.min(other.membership),
            held_per_item: self.held_per_item.max(other.held_per_item),
            members_kept: self.members_kept.min(other.members_kept),
            clocks_apart: self.clocks_apart.min(other.clocks_apart),
            period,
        }
    }
}

/// Bounds on what a node sends per protocol period when there is nothing to do.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct Idle {
    /// Datagrams.
    pub datagrams: f64,
    /// Bytes.
    pub bytes: f64,
}

/// A machine's knowledge of members.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberKnowledge {
    /// Nothing.
    None,
    /// It knows who has joined, but not who has crashed.
    Joined,
    /// It knows who is there: the crashed and the cut off are found out.
    Detected,
}

/// Meaning of an event.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Note {
    /// A message to all was delivered. Two of one number at one process are a failure.
    Delivered(u128),
    /// A member is seen in another way than before.
    Member {
        /// The member.
        of: Addr,
        /// Its status before; none if it was not known.
        was: Option<Status>,
        /// Its status now.
        status: Status,
    },
    /// It has forgotten what it knew, on purpose: as if it had started without memory.
    Forgot,
    /// It holds a value larger than a datagram, written by this one.
    Large(Addr),
    /// Nothing that the invariants would understand.
    Other,
}

/// The order of two items of one key: larger is newer. Equal versions are the same item.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ItemVersion(pub [u64; 5]);

impl From<u64> for ItemVersion {
    fn from(version: u64) -> Self {
        Self([version, 0, 0, 0, 0])
    }
}

impl fmt::Debug for ItemVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().rposition(|&part| part != 0).map_or(1, |last| last + 1);
        for (i, part) in self.0[..used].iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "v" } else { "." })?;
        }
        Ok(())
    }
}

/// The item that is held for one key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ViewItem {
    /// Its version.
    pub version: ItemVersion,
    /// End of its time, by the machine's logical clock.
    pub until: Option<Instant>,
    /// End of its time if it replaces something that lives for longer.
    pub kept: Option<Instant>,
    /// Its bytes; none if it says that the value was deleted.
    pub body: Option<Arc<[u8]>>,
    /// True if it may vanish for other reasons than its time, as what a member owns does with the member.
    pub bound: bool,
    /// True if it says of a member that it is there.
    pub member: bool,
}

impl ViewItem {
    /// An item that stays.
    pub fn new(version: impl Into<ItemVersion>, body: impl AsRef<[u8]>) -> Self {
        Self {
            version: version.into(),
            until: None,
            kept: None,
            body: Some(Arc::from(body.as_ref())),
            bound: false,
            member: false,
        }
    }

    /// A death certificate.
    pub fn deleted(version: impl Into<ItemVersion>) -> Self {
        Self { version: version.into(), until: None, kept: None, body: None, bound: false, member: false }
    }

    /// The same, for a time.
    pub fn until(mut self, until: Instant) -> Self {
        (self.until, self.kept) = (Some(until), Some(until));
        self
    }

    /// The same, but it may vanish before.
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Returns true if it is past its time at `cut`.
    pub fn is_past(&self, cut: Instant) -> bool {
        self.until.is_some_and(|until| until <= cut)
    }

    /// Returns true if it is past its time at `cut` whatever it has replaced.
    pub fn is_long_past(&self, cut: Instant) -> bool {
        self.kept.is_some_and(|kept| kept <= cut)
    }
}

impl fmt::Display for ViewItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Some(body) => write!(f, "\"{}\" {:?}", body.escape_ascii(), self.version)?,
            None => write!(f, "deleted {:?}", self.version)?,
        }
        self.until.map_or(Ok(()), |until| write!(f, " until {until}"))
    }
}

impl fmt::Debug for ViewItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The content of a machine, in terms that can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Items that all must agree on in the end, by key.
    pub items: BTreeMap<String, ViewItem>,
    /// Status of the members, itself included; empty for machines that know none.
    pub members: BTreeMap<Addr, Status>,
}

impl View {
    /// A digest of the items.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::Hasher;
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(0x7669_6577, 0);
        for (key, item) in &self.items {
            hasher.write(key.as_bytes());
            hasher.write_u8(0xff);
            for part in item.version.0 {
                hasher.write(&part.to_le_bytes());
            }
            hasher.write(&item.until.map_or(0, Instant::as_micros).to_le_bytes());
            if let Some(body) = &item.body {
                hasher.write(&(body.len() as u64 + 1).to_le_bytes());
                hasher.write(body);
            } else {
                hasher.write(&0u64.to_le_bytes());
            }
        }
        hasher.finish()
    }

    /// Returns what differs between the items of two views, a line each: `-` for this one's, `+` for the other's.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let keys: std::collections::BTreeSet<_> = self.items.keys().chain(other.items.keys()).collect();
        for key in keys {
            let (mine, theirs) = (self.items.get(key), other.items.get(key));
            if mine != theirs {
                for (sign, item) in [('-', mine), ('+', theirs)] {
                    match item {
                        Some(item) => lines.push(format!("{sign} {key} = {item}")),
                        None => lines.push(format!("{sign} {key}: nothing")),
                    }
                }
            }
        }
        lines
    }
}
