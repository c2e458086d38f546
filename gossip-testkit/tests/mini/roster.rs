//! A small failure detector with bugs that can be switched on: what the invariants on members are tested with.
//!
//! Once a period each node tells all the others what it makes of everybody. Who is not heard for some periods is
//! suspected, and dead when that has lasted; who hears that it is said to be anything but alive contradicts with a
//! larger incarnation. Knows nothing of gossip-core but time and what a member's status can be.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::{Input, Instant, Status};
use gossip_testkit::{Addr, Boot, Item, Limits, Machine, Membership, Note, Outgoing, View};

use super::{Command, checksum, take_u64};

const PERIOD: Duration = Duration::from_secs(1);
/// So many periods of silence make a suspect, and so many of suspicion a dead member.
const PATIENCE: u32 = 4;

/// What can be wrong with it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Every process begins with the same incarnation, and takes what it hears of that for its own.
    ReusedIncarnation,
    /// Who is said to be dead is taken for dead.
    Hearsay,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
struct Record {
    incarnation: u64,
    status: Status,
    /// Which process it is about.
    boot: u64,
    /// Since when it is suspected here.
    since: Instant,
}

#[derive(Debug)]
pub(crate) struct Roster {
    me: Addr,
    bug: Option<Bug>,
    peers: Vec<Addr>,
    records: BTreeMap<Addr, Record>,
    heard: BTreeMap<Addr, Instant>,
    latest: Instant,
    next: Instant,
    outbox: Vec<(Addr, Vec<u8>)>,
    events: Vec<(Addr, Status)>,
}

impl Roster {
    fn own(&self) -> Record {
        self.records[&self.me]
    }

    fn see(&mut self, of: Addr, record: Record) {
        if self.records.insert(of, record).is_none_or(|was| was.status != record.status) {
            self.events.push((of, record.status));
        }
    }

    fn hear_of(&mut self, of: Addr, incarnation: u64, status: Status, boot: u64) {
        let heard = Record { incarnation, status, boot, since: self.latest };
        if of == self.me {
            let own = self.own();
            let other = match self.bug {
                Some(Bug::ReusedIncarnation) => status != Status::Alive,
                _ => status != Status::Alive || boot != own.boot,
            };
            if incarnation > own.incarnation || (incarnation == own.incarnation && other) {
                self.see(of, Record { incarnation: incarnation + 1, ..own });
            }
            return;
        }
        let news = match self.records.get(&of) {
            Some(known) => (incarnation, status) > (known.incarnation, known.status),
            None => true,
        };
        if !news {
            return;
        }
        match status {
            // It may have an answer to that.
            Status::Dead if self.bug != Some(Bug::Hearsay) => {
                let known = self.records.get(&of).map(|known| (known.incarnation, known.status));
                if known.is_none_or(|known| known < (incarnation, Status::Suspect)) {
                    self.see(of, Record { status: Status::Suspect, ..heard });
                }
            }
            _ => self.see(of, heard),
        }
    }

    fn judge(&mut self) {
        let mut judged = Vec::new();
        for (of, record) in self.records.iter().filter(|(of, _)| **of != self.me) {
            let silent = self.latest.since(self.heard.get(of).copied().unwrap_or_default()) > PATIENCE * PERIOD;
            let over = self.latest.since(record.since) > PATIENCE * PERIOD;
            match record.status {
                Status::Alive if silent => judged.push((*of, Status::Suspect, *record)),
                Status::Suspect if over => judged.push((*of, Status::Dead, *record)),
                _ => {}
            }
        }
        for (of, status, record) in judged {
            self.see(of, Record { status, since: self.latest, ..record });
        }
    }

    fn tell_all(&mut self) {
        let mut bytes = Vec::new();
        for (of, record) in &self.records {
            let status = match record.status {
                Status::Alive => 0,
                Status::Suspect => 1,
                _ => 2,
            };
            for number in [u64::from(of.0), record.incarnation, status, record.boot] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(checksum(&bytes));
        self.outbox.extend(self.peers.iter().map(|peer| (*peer, bytes.clone())));
    }

    fn receive(&mut self, from: Addr, payload: &[u8]) -> Option<()> {
        let (mut rest, sum) = payload.split_at_checked(payload.len().checked_sub(4)?)?;
        if sum != checksum(rest) {
            return None;
        }
        self.heard.insert(from, self.latest);
        while !rest.is_empty() {
            let (of, incarnation) = (Addr(take_u64(&mut rest)? as u32), take_u64(&mut rest)?);
            let status = [Status::Alive, Status::Suspect, Status::Dead].get(take_u64(&mut rest)? as usize).copied()?;
            self.hear_of(of, incarnation, status, take_u64(&mut rest)?);
        }
        Some(())
    }
}

impl Machine for Roster {
    type Config = Option<Bug>;
    type Command = Command;
    type Event = (Addr, Status);
    type Memory = Self;

    fn limits(_config: &Option<Bug>) -> Limits {
        let max_skew = Duration::from_secs(5);
        let membership = Membership::Detected;
        Limits { max_datagram: 512, period: PERIOD, max_skew, idle: None, membership, held_per_item: 1 }
    }

    fn boot(boot: &Boot<'_, Option<Bug>>, memory: Option<Self>) -> Self {
        let incarnation = match boot.config {
            Some(Bug::ReusedIncarnation) => 1,
            _ => boot.now.as_micros(),
        };
        let own = Record { incarnation, status: Status::Alive, boot: boot.seed, since: boot.now };
        let mut roster = memory.unwrap_or_else(|| Self {
            me: boot.addr,
            bug: *boot.config,
            peers: boot.nodes.iter().copied().filter(|&peer| peer != boot.addr).collect(),
            records: BTreeMap::from([(boot.addr, own)]),
            heard: BTreeMap::new(),
            latest: boot.now,
            next: boot.now,
            outbox: Vec::new(),
            events: Vec::new(),
        });
        roster.latest = roster.latest.max(boot.now);
        roster.next = roster.latest;
        // Nobody was heard while this process was away, which says nothing about them.
        roster.heard = roster.peers.iter().map(|&peer| (peer, roster.latest)).collect();
        roster
    }

    fn into_memory(self) -> Self {
        self
    }

    fn command(&mut self, _now: Instant, _command: &Command) -> Result<(), String> {
        Err("there is nothing to be said".to_owned())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.latest = self.latest.max(now);
        match input {
            Input::Datagram { from, payload } => self.receive(*from, payload).ok_or_else(|| "damaged".to_owned())?,
            _ if self.latest >= self.next => {
                self.judge();
                self.tell_all();
                self.next = self.latest + PERIOD;
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, bytes) = self.outbox.pop()?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: bytes.len(), label: "roster" })
    }

    fn poll_event(&mut self) -> Option<(Addr, Status)> {
        self.events.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn clock(&self, now: Instant) -> Instant {
        self.latest.max(now)
    }

    /// Which process each member is: opinions of it are no facts.
    fn view(&self, _cut: Instant) -> View {
        let item = |(of, record): (&Addr, &Record)| {
            (format!("process of {of}"), Item::new(record.incarnation, record.boot.to_le_bytes()))
        };
        let members = self.records.iter().map(|(of, record)| (*of, record.status)).collect();
        View { items: self.records.iter().map(item).collect(), members }
    }

    fn incarnation(&self) -> Option<u64> {
        Some(self.own().incarnation)
    }

    fn note(&(of, status): &(Addr, Status)) -> Note {
        Note::Member(of, status)
    }
}
