//! A small broadcast tree with bugs that can be planted, to test the checker on an overlay.
//!
//! Every link begins eager: messages are sent along it. The receiver of a message that it knows makes the link lazy, on
//! both sides. Once a period each node sends one of the others, in turn, the ids of what it holds; what that one lacks it
//! asks for, which makes the link eager again. Knows nothing of gossip-core except its time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gossip_core::{Input, Instant};
use gossip_testkit::{
    Addr, Boot, Dice, Expectations, Idle, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem, Workload, sometimes,
};

use super::{checksum, take_u64};

const BUDGET: usize = 512;
const PERIOD: Duration = Duration::from_secs(1);
/// Ids in a datagram.
const IDS: usize = 30;

/// Bugs that can be planted.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Ids are sent along eager links only.
    RepairAlongTree,
    /// An item that was asked for once is not asked for again.
    AskedOnce,
    /// A message is delivered every time that it arrives.
    EachDelivered,
}

impl Bug {
    pub(crate) const ALL: &'static [Self] = &[Self::RepairAlongTree, Self::AskedOnce, Self::EachDelivered];
}

/// Sends a message to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Say;

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("say")
    }
}

impl FromStr for Say {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "say" { Ok(Self) } else { Err("expected say") }
    }
}

impl Workload for Say {
    fn random(_dice: &mut Dice) -> Self {
        Self
    }
}

/// Id of a message: its time in microseconds, and its author.
type Id = (u64, u32);

#[derive(Debug)]
pub(crate) struct Tree {
    me: Addr,
    bug: Option<Bug>,
    held: BTreeSet<Id>,
    /// All peers, with true for those behind an eager link.
    links: BTreeMap<Addr, bool>,
    asked: BTreeSet<Id>,
    periods: usize,
    latest: Instant,
    next: Instant,
    outbox: Vec<(Addr, &'static str, Vec<u8>)>,
    delivered: Vec<u128>,
}

impl Tree {
    fn send<'a>(&mut self, to: Addr, label: &'static str, ids: impl IntoIterator<Item = &'a Id>) {
        let mut bytes = vec![label.as_bytes()[0]];
        for (at, author) in ids {
            bytes.extend(at.to_le_bytes());
            bytes.extend(u64::from(*author).to_le_bytes());
        }
        bytes.extend(checksum(&bytes));
        self.outbox.push((to, label, bytes));
    }

    fn link(&mut self, with: Addr, eager: bool) {
        self.links.insert(with, eager);
    }

    /// Sends a message along the eager links but that on which it came.
    fn flood(&mut self, id: Id, except: Option<Addr>) {
        let to: Vec<Addr> = self.links.iter().filter(|(_, eager)| **eager).map(|(peer, _)| *peer).collect();
        for peer in to.into_iter().filter(|peer| Some(*peer) != except) {
            self.send(peer, "message", [&id]);
        }
    }

    fn take(&mut self, from: Addr, id: Id) -> bool {
        let new = self.held.insert(id);
        if new || self.bug == Some(Bug::EachDelivered) {
            self.delivered.push(u128::from(id.0) << 32 | u128::from(id.1));
        }
        if new {
            self.flood(id, Some(from));
        }
        new
    }

    fn receive(&mut self, from: Addr, payload: &[u8]) -> Option<()> {
        let (body, sum) = payload.split_at_checked(payload.len().checked_sub(4)?)?;
        let (kind, mut rest) = body.split_first()?;
        if sum != checksum(body) {
            return None;
        }
        let mut ids = Vec::new();
        while !rest.is_empty() {
            ids.push((take_u64(&mut rest)?, take_u64(&mut rest)? as u32));
        }
        match kind {
            b'm' => {
                for id in ids {
                    let new = self.take(from, id);
                    self.link(from, new);
                    if !new {
                        self.send(from, "prune", []);
                    }
                }
            }
            b'a' => {
                for id in ids {
                    self.take(from, id);
                }
            }
            b'p' => self.link(from, false),
            b'h' => {
                ids.retain(|id| !self.held.contains(id));
                if self.bug == Some(Bug::AskedOnce) {
                    ids.retain(|id| self.asked.insert(*id));
                }
                sometimes(!ids.is_empty(), "a message that the tree has not brought");
                if !ids.is_empty() {
                    self.link(from, true);
                    self.send(from, "graft", &ids);
                }
            }
            _ => {
                self.link(from, true);
                ids.retain(|id| self.held.contains(id));
                self.send(from, "answer", &ids);
            }
        }
        Some(())
    }

    fn tick(&mut self) {
        if self.latest < self.next {
            return;
        }
        self.next = self.latest + PERIOD;
        self.periods += 1;
        let along = |eager: bool| eager || self.bug != Some(Bug::RepairAlongTree);
        let peers: Vec<Addr> = self.links.iter().filter(|(_, eager)| along(**eager)).map(|(peer, _)| *peer).collect();
        let Some(to) = peers.get(self.periods % peers.len().max(1)).copied() else { return };
        let first = self.periods / peers.len() * IDS % self.held.len().max(1);
        let ids: Vec<Id> = self.held.iter().cycle().skip(first).take(IDS.min(self.held.len())).copied().collect();
        self.send(to, "held", &ids);
    }
}

impl Machine for Tree {
    type Config = Option<Bug>;
    type Command = Say;
    type Event = u128;
    type Memory = Self;

    fn expectations(_config: &Option<Bug>) -> Expectations {
        Expectations {
            max_datagram: BUDGET,
            period: PERIOD,
            max_skew: Duration::from_secs(5),
            idle: Some(Idle { datagrams: 1.5, bytes: 1.5 * BUDGET as f64 }),
            membership: MemberKnowledge::None,
            held_per_item: 1,
            members_kept: Duration::MAX,
            clocks_apart: Duration::MAX,
        }
    }

    fn boot(boot: &Boot<'_, Option<Bug>>, memory: Option<Self>) -> Self {
        let peers = boot.nodes.iter().filter(|&&peer| peer != boot.addr);
        Self {
            me: boot.addr,
            bug: *boot.config,
            held: memory.map_or_else(BTreeSet::new, |memory| memory.held),
            links: peers.map(|&peer| (peer, true)).collect(),
            asked: BTreeSet::new(),
            periods: 0,
            latest: boot.now,
            next: boot.now + PERIOD,
            outbox: Vec::new(),
            delivered: Vec::new(),
        }
    }

    fn into_memory(self) -> Self {
        self
    }

    fn command(&mut self, now: Instant, _say: &Say) -> Result<(), String> {
        self.latest = self.latest.max(now);
        let id = (self.latest.as_micros(), self.me.0);
        if self.held.insert(id) {
            self.delivered.push(u128::from(id.0) << 32 | u128::from(id.1));
            self.flood(id, None);
        }
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.latest = self.latest.max(now);
        match input {
            Input::Datagram { from, payload } => self.receive(*from, payload).ok_or_else(|| "damaged".to_owned()),
            _ => {
                self.tick();
                Ok(())
            }
        }
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
        Some(self.next)
    }

    fn view(&self, _cut: Instant) -> View {
        let item = |(at, author): &Id| (format!("message {at} of {author}"), ViewItem::new(*at, *b"!"));
        View { items: self.held.iter().map(item).collect(), ..View::default() }
    }

    fn held(&self) -> Option<usize> {
        Some(self.held.len() + self.outbox.len())
    }

    fn note(event: &u128) -> Note {
        Note::Delivered(*event)
    }
}
