//! A small gossip protocol with bugs that can be switched on, to test the checker itself.
//!
//! Each node keeps a log of its knowledge. Once a period it sends three peers, in turn, the records that each has not
//! acknowledged yet; those that do not fit wait. Knows nothing of gossip-core except its time.

#![allow(dead_code, reason = "each test crate uses another part of it")]

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;
use std::time::Duration;

use gossip_core::{Input, Instant};
use gossip_testkit::{
    Addr, Boot, Chance, Damage, Dice, Expectations, Idle, ItemVersion, Machine, MemberKnowledge, Note, Outgoing, View,
    ViewItem, Workload, shrink, sometimes,
};
use siphasher::sip::SipHasher13;

pub(crate) mod around;
pub(crate) mod places;
pub(crate) mod roster;
pub(crate) mod swim;
pub(crate) mod tree;

const BUDGET: usize = 512;
const LONGEST: usize = 200;
const PERIOD: Duration = Duration::from_secs(1);
const FANOUT: usize = 3;

/// Bugs that can be planted.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Sent records count as received.
    LostDeltaWatermark,
    /// The smaller version wins.
    OlderWins,
    /// Merging a record forgets those before it.
    ForgettingMerge,
    /// Versions are whole seconds: two writers may choose the same.
    EqualVersions,
    /// A time to live starts again wherever it arrives.
    ExpiryFromReceipt,
    /// Acknowledged records are sent again.
    NeverCools,
    /// Datagrams have no bound.
    OverBudget,
    /// A broadcast is delivered every time that it arrives.
    DeliveredTwice,
    /// A node whose records are acknowledged sets no timer.
    NoTimer,
    /// A deleted entry is forgotten before all can have learned of the deletion.
    BriefCertificates,
    /// A large value counts as whole when its first half has arrived.
    Halves,
    /// Received bytes are not checked for damage.
    Unverified,
    /// The next deadline is always in the past.
    Spins,
    /// Acknowledgements are never released.
    Hoards,
    /// Deleting an unknown entry deletes an older one as well.
    Collateral,
    /// A large value is accepted and not written.
    Ignored,
    /// A write is carried out a period after it was accepted.
    Late,
    /// Versions are what the clock says, also when it has been set back.
    RawClock,
}

impl Bug {
    pub(crate) const ALL: &'static [Self] = &[
        Self::LostDeltaWatermark,
        Self::OlderWins,
        Self::ForgettingMerge,
        Self::EqualVersions,
        Self::ExpiryFromReceipt,
        Self::NeverCools,
        Self::OverBudget,
        Self::DeliveredTwice,
        Self::NoTimer,
        Self::BriefCertificates,
        Self::Halves,
        Self::Unverified,
        Self::Spins,
        Self::Hoards,
        Self::Collateral,
        Self::Ignored,
        Self::Late,
        Self::RawClock,
    ];
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) bug: Option<Bug>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Put(u8, usize),
    PutFor(u8, u64),
    Delete(u8),
    Broadcast,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, length) => write!(f, "put {key} {length}"),
            Self::PutFor(key, seconds) => write!(f, "put-for {key} {seconds}"),
            Self::Delete(key) => write!(f, "delete {key}"),
            Self::Broadcast => f.write_str("broadcast"),
        }
    }
}

impl FromStr for Command {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let words: Vec<_> = text.split(' ').collect();
        let key = |word: &str| word.parse().map_err(|_| "expected a key from 0 to 255");
        Ok(match words[..] {
            ["put", k, length] => Self::Put(key(k)?, length.parse().map_err(|_| "expected a length")?),
            ["put-for", k, time] => Self::PutFor(key(k)?, time.parse().map_err(|_| "expected seconds")?),
            ["delete", k] => Self::Delete(key(k)?),
            ["broadcast"] => Self::Broadcast,
            _ => return Err("expected put, put-for, delete or broadcast"),
        })
    }
}

impl Workload for Command {
    fn random(dice: &mut Dice) -> Self {
        let key = dice.within(0..=3) as u8;
        match dice.within(0..=5) {
            0..=1 => Self::Put(key, 1),
            2 => Self::Put(key, LONGEST),
            3 => Self::PutFor(key, dice.within(2..=5)),
            4 if dice.chance(Chance::percent(50)) => Self::Delete(key),
            _ => Self::Broadcast,
        }
    }

    /// Draws a setting of what surrounds the machine.
    fn setting(dice: &mut Dice) -> Option<(String, String)> {
        Some(("short".to_owned(), dice.chance(Chance::percent(50)).to_string()))
    }

    fn shrink(&self) -> impl Iterator<Item = Self> {
        let smaller: Vec<Self> = match *self {
            Self::Put(key, length) => {
                let keys = shrink::number(key.into(), 0).map(|key| Self::Put(key as u8, length));
                keys.chain(shrink::number(length as u64, 1).map(|length| Self::Put(key, length as usize))).collect()
            }
            Self::PutFor(key, time) => {
                let keys = shrink::number(key.into(), 0).map(|key| Self::PutFor(key as u8, time));
                keys.chain(shrink::number(time, 1).map(|time| Self::PutFor(key, time))).collect()
            }
            Self::Delete(key) => shrink::number(key.into(), 0).map(|key| Self::Delete(key as u8)).collect(),
            Self::Broadcast => Vec::new(),
        };
        smaller.into_iter()
    }
}

/// `b`, a time and the author for a broadcast; the same with `t` for what lives for a time, so that it never replaces
/// anything; `k` and the number of the key for an entry.
type Key = (u8, u64, u32);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    version: (u64, u32),
    until: u64,
    value: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Peer {
    /// The process that was last heard.
    boot: u64,
    /// Length of the log that it has acknowledged.
    acked: u64,
    heard: Instant,
}

#[derive(Debug)]
pub(crate) struct Mini {
    me: Addr,
    bug: Option<Bug>,
    boot: u64,
    items: BTreeMap<Key, Held>,
    /// Keys in the order of their last change.
    log: Vec<Key>,
    peers: BTreeMap<Addr, Peer>,
    turn: usize,
    /// Microseconds by which the wall clock is ahead of the monotonic clock. This machine has but one time, the former.
    ahead: i64,
    latest: Instant,
    next: Instant,
    outbox: Vec<(Addr, &'static str, Vec<u8>)>,
    delivered: Vec<u128>,
    acks: usize,
    late: Vec<(Key, Held)>,
}

impl Mini {
    fn wall(&self, now: Instant) -> Instant {
        Instant::from_micros(now.as_micros().saturating_add_signed(self.ahead))
    }

    fn now(&mut self, now: Instant) -> u64 {
        self.latest = self.latest.max(self.wall(now));
        self.latest.as_micros()
    }

    fn take(&mut self, key: Key, held: Held) -> bool {
        let known = self.items.get(&key);
        sometimes(known.is_some_and(|known| held.version < known.version), "an older version arrives");
        sometimes(held.value.is_none(), "a deletion arrives");
        let wins = match self.bug {
            Some(Bug::OlderWins) => known.is_none_or(|known| held.version < known.version),
            _ => known.is_none_or(|known| held.version > known.version),
        };
        if wins {
            let new = known.is_none();
            if self.bug == Some(Bug::ForgettingMerge) && self.items.len() > 2 && new {
                self.items.pop_first();
            }
            if self.bug == Some(Bug::Collateral) && held.value.is_none() && new {
                let older = |other: &Held| other.value.is_some() && other.version < held.version;
                let victim = self.items.iter().find(|(key, other)| key.0 == b'k' && older(other)).map(|(key, _)| *key);
                victim.map(|victim| self.items.remove(&victim));
            }
            self.items.insert(key, held);
            self.log.push(key);
        }
        wins
    }

    fn write(&mut self, now: Instant, key: Key, until: Option<u64>, value: Option<Vec<u8>>) {
        let reading = self.wall(now).as_micros();
        let now = self.now(now);
        let known = self.items.get(&key).map(|held| held.version.0);
        let version = match self.bug {
            Some(Bug::EqualVersions) => (now / 1_000_000, 0),
            Some(Bug::RawClock) => (if known == Some(reading) { reading + 1 } else { reading }, self.me.0),
            _ => (self.items.get(&key).map_or(now, |held| now.max(held.version.0 + 1)), self.me.0),
        };
        let held = Held { version, until: until.map_or(u64::MAX, |time| now + time), value };
        if self.bug == Some(Bug::Late) {
            self.late.push((key, held));
        } else {
            self.take(key, held);
        }
    }

    fn expire(&mut self) {
        let now = self.latest.as_micros();
        self.items.retain(|_, held| held.until > now);
    }

    fn send(&mut self, to: Addr, label: &'static str, mut bytes: Vec<u8>) {
        let sum = checksum(&bytes);
        bytes.extend(sum);
        self.outbox.push((to, label, bytes));
    }

    fn delta(&mut self, to: Addr) {
        let Peer { acked, heard, .. } = self.peers[&to];
        // Who has been silent for long is asked whether it is there before it is sent anything.
        let silent = self.latest.since(heard) > 8 * PERIOD;
        sometimes(silent, "a peer that was silent for long");
        let mut bytes = vec![b'd'];
        bytes.extend(self.boot.to_le_bytes());
        let mut sent = acked as usize;
        let mut items = Vec::new();
        while let Some(key) = self.log.get(sent).filter(|_| !silent) {
            if let Some(held) = self.items.get(key).filter(|_| !self.log[sent + 1..].contains(key)) {
                let item = encode(key, held, self.bug, self.latest.as_micros());
                if 1 + 8 + 8 + items.len() + item.len() + 4 > BUDGET && self.bug != Some(Bug::OverBudget) {
                    break;
                }
                items.extend(item);
            }
            sent += 1;
        }
        bytes.extend((sent as u64).to_le_bytes());
        bytes.extend(items);
        if self.bug == Some(Bug::LostDeltaWatermark) {
            self.peers.entry(to).and_modify(|peer| peer.acked = sent as u64);
        }
        self.send(to, "delta", bytes);
    }

    fn heard(&mut self, from: Addr, boot: u64, acked: Option<u64>) {
        let peer = self.peers.entry(from).or_default();
        peer.heard = self.latest;
        sometimes(peer.boot != 0 && peer.boot != boot, "another process at a known address");
        if peer.boot != boot {
            // Another process: it has nothing of what its predecessor had.
            (peer.boot, peer.acked) = (boot, 0);
        } else if let Some(acked) = acked.filter(|_| self.bug != Some(Bug::NeverCools)) {
            peer.acked = peer.acked.max(acked.min(self.log.len() as u64));
        }
    }

    /// Writes what it holds as on a disk without a checksum, damages that, and reads as much as can be read.
    fn reread(mut self, damage: Damage) -> Self {
        let mut bytes: Vec<u8> = self.items.iter().flat_map(|(key, held)| encode(key, held, None, 0)).collect();
        damage.apply(&mut bytes);
        let mut rest = &bytes[..];
        self.items = std::iter::from_fn(|| decode(&mut rest, None, 0)).collect();
        self.log = self.items.keys().copied().collect();
        self
    }

    fn receive(&mut self, from: Addr, payload: &[u8]) -> Option<()> {
        let (body, sum) = payload.split_at_checked(payload.len().checked_sub(4)?)?;
        if sum != checksum(body) && self.bug != Some(Bug::Unverified) {
            return None;
        }
        let mut rest = body.get(1..)?;
        let boot = take_u64(&mut rest)?;
        let seq = take_u64(&mut rest)?;
        if body[0] == b'a' {
            // It acknowledges what this process sent, not what an earlier one did.
            if take_u64(&mut rest)? == self.boot {
                self.acks += 1;
                self.heard(from, boot, Some(seq));
            }
            return Some(());
        }
        self.heard(from, boot, None);
        while !rest.is_empty() {
            let (key, held) = decode(&mut rest, self.bug, self.latest.as_micros())?;
            let past = held.until <= self.latest.as_micros();
            let news = !past && self.take(key, held);
            if key.0 == b'b' && (news || self.bug == Some(Bug::DeliveredTwice)) {
                self.delivered.push(u128::from(key.1) << 32 | u128::from(key.2));
            }
        }
        let mut ack = vec![b'a'];
        for number in [self.boot, seq, boot] {
            ack.extend(number.to_le_bytes());
        }
        self.send(from, "ack", ack);
        Some(())
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut hasher = SipHasher13::new_with_keys(1, 2);
    hasher.write(bytes);
    (hasher.finish() as u32).to_le_bytes()
}

fn encode(key: &Key, held: &Held, bug: Option<Bug>, now: u64) -> Vec<u8> {
    let until = match bug {
        Some(Bug::ExpiryFromReceipt) if held.until < u64::MAX => held.until - now,
        _ => held.until,
    };
    let mut bytes = vec![key.0, u8::from(held.value.is_some())];
    for number in [key.1, u64::from(key.2), held.version.0, u64::from(held.version.1), until] {
        bytes.extend(number.to_le_bytes());
    }
    let mut value = held.value.as_deref().unwrap_or_default();
    if bug == Some(Bug::Halves) && value.len() == LONGEST {
        value = &value[..LONGEST / 2];
    }
    bytes.push(value.len() as u8);
    bytes.extend(value);
    bytes
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn decode(rest: &mut &[u8], bug: Option<Bug>, now: u64) -> Option<(Key, Held)> {
    let (&[kind, has], after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    let key = (kind, take_u64(rest)?, take_u64(rest)? as u32);
    let version = (take_u64(rest)?, take_u64(rest)? as u32);
    let mut until = take_u64(rest)?;
    if bug == Some(Bug::ExpiryFromReceipt) && until < u64::MAX {
        // As if the whole time to live were sent along.
        until += now + 2_000_000;
    }
    let (&length, after) = rest.split_first()?;
    let (value, after) = after.split_at_checked(length.into())?;
    *rest = after;
    Some((key, Held { version, until, value: (has == 1).then(|| value.to_vec()) }))
}

impl Machine for Mini {
    type Config = Config;
    type Command = Command;
    type Event = u128;
    type Memory = Self;

    fn expectations(_config: &Config) -> Expectations {
        Expectations {
            max_datagram: BUDGET,
            period: PERIOD,
            max_skew: Duration::from_secs(5),
            idle: Some(Idle { datagrams: 6.5, bytes: 80.0 * f64::from(FANOUT as u32) }),
            membership: MemberKnowledge::None,
            held_per_item: 1,
            members_kept: Duration::MAX,
            clocks_apart: Duration::MAX,
        }
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Self>) -> Self {
        let mut mini = memory.unwrap_or_else(|| Self {
            me: boot.addr,
            bug: boot.config.bug,
            boot: boot.seed,
            items: BTreeMap::new(),
            log: Vec::new(),
            peers: boot.nodes.iter().filter(|&&peer| peer != boot.addr).map(|&peer| (peer, Peer::default())).collect(),
            turn: 0,
            ahead: boot.wall.as_micros() as i64 - boot.now.as_micros() as i64,
            latest: Instant::ORIGIN,
            next: Instant::ORIGIN,
            outbox: Vec::new(),
            delivered: Vec::new(),
            acks: 0,
            late: Vec::new(),
        });
        mini.now(boot.now);
        mini.next = mini.latest;
        mini
    }

    fn into_memory(self) -> Self {
        self
    }

    fn command(&mut self, now: Instant, command: &Command) -> Result<(), String> {
        let at = self.now(now);
        match *command {
            Command::Put(_, length) if length > LONGEST => return Err(format!("{length} bytes are too long")),
            Command::Put(_, LONGEST) if self.bug == Some(Bug::Ignored) => {}
            Command::Put(key, length) => {
                self.write(now, (b'k', key.into(), 0), None, Some(vec![b'a' + self.me.0 as u8; length]));
            }
            Command::PutFor(key, seconds) => {
                self.write(now, (b't', at, self.me.0), Some(seconds * 1_000_000), Some(vec![key]));
            }
            Command::Delete(key) => {
                let kept = (self.bug == Some(Bug::BriefCertificates)).then_some(3_000_000);
                self.write(now, (b'k', key.into(), 0), kept, None);
            }
            Command::Broadcast => {
                self.write(now, (b'b', at, self.me.0), None, Some(vec![b'!']));
                self.delivered.push(u128::from(at) << 32 | u128::from(self.me.0));
            }
        }
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        let at = self.now(now);
        self.expire();
        for (key, held) in std::mem::take(&mut self.late) {
            self.take(key, held);
        }
        match input {
            Input::Datagram { from, payload } => self.receive(*from, payload).ok_or_else(|| "damaged".to_owned())?,
            _ if at >= self.next.as_micros() && !self.peers.is_empty() => {
                for _ in 0..FANOUT.min(self.peers.len()) {
                    self.turn += 1;
                    let to = *self.peers.keys().nth(self.turn % self.peers.len()).expect("not empty");
                    self.delta(to);
                }
                self.next = self.latest + PERIOD;
            }
            _ if at >= self.next.as_micros() => self.next = self.latest + PERIOD,
            _ => {}
        }
        Ok(())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, label, bytes) = self.outbox.pop()?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: bytes.len(), label })
    }

    fn poll_event(&mut self) -> Option<u128> {
        self.delivered.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.bug {
            Some(Bug::NoTimer) if self.acks > 0 => None,
            Some(Bug::Spins) if self.acks > 0 => Some(Instant::ORIGIN),
            _ => Some(Instant::from_micros(self.next.as_micros().saturating_add_signed(-self.ahead))),
        }
    }

    fn set_wall_clock(&mut self, now: Instant, wall: Instant) {
        self.ahead = wall.as_micros() as i64 - now.as_micros() as i64;
    }

    fn clock(&self, now: Instant) -> Instant {
        self.latest.max(self.wall(now))
    }

    fn view(&self, cut: Instant) -> View {
        let item = |(key, held): (&Key, &Held)| {
            let version = ItemVersion([held.version.0, held.version.1.into(), 0, 0, 0]);
            let until = (held.until < u64::MAX).then(|| Instant::from_micros(held.until));
            let body = held.value.as_deref().map(Into::into);
            (
                format!("{}{}.{}", key.0 as char, key.1, key.2),
                ViewItem { version, until, kept: until, body, bound: false, member: false },
            )
        };
        View { items: self.items.iter().map(item).filter(|(_, item)| !item.is_past(cut)).collect(), ..View::default() }
    }

    /// Nothing where another bug is planted than one of a session: those are found by other invariants.
    fn written(&self, command: &Command) -> Option<(String, Option<Vec<u8>>)> {
        if !matches!(self.bug, None | Some(Bug::Ignored | Bug::Late | Bug::RawClock)) {
            return None;
        }
        match *command {
            Command::Put(key, length) => Some((format!("k{key}.0"), Some(vec![b'a' + self.me.0 as u8; length]))),
            Command::Delete(key) => Some((format!("k{key}.0"), None)),
            Command::PutFor(..) | Command::Broadcast => None,
        }
    }

    fn held(&self) -> Option<usize> {
        let hoard = if self.bug == Some(Bug::Hoards) { self.acks } else { 0 };
        Some(self.items.len() + self.outbox.len() + hoard)
    }

    fn note(event: &u128) -> Note {
        Note::Delivered(*event)
    }
}
