//! A small failure detector with bugs that can be planted, to test the invariants on members.
//!
//! Once a period each node pings the next of the others and sends its member list with it; the ack carries the list
//! back. A member that has not answered by then is suspected, and dead three periods later unless it refutes that with
//! a larger incarnation. The dead are sometimes tried again. Knows nothing of gossip-core except its time and statuses.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gossip_core::{Input, Instant, Status};
use gossip_testkit::{
    Addr, Boot, Dice, Expectations, Idle, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem, Workload,
};

use super::{checksum, take_u64};

const BUDGET: usize = 512;
const PERIOD: Duration = Duration::from_secs(1);
const SUSPICION: Duration = Duration::from_secs(3);
/// Periods between two tries of a dead member.
const HEALING: u64 = 5;

/// Bugs that can be planted.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A process that starts without memory begins with its predecessor's incarnation.
    IncarnationReused,
    /// A node that has refuted a suspicion sets no timer.
    NoTimer,
    /// The record of a death is believed about a member that seems alive.
    DeadBelieved,
    /// Nobody tries the dead again.
    DeadAbandoned,
    /// Whoever shows an older record of this node is not answered.
    ElderIgnored,
    /// A member that has refuted five suspicions of this node is not taken back after the sixth.
    FlapsCounted,
    /// A process that restarts with memory pings nobody.
    WaitsToBePinged,
    /// A process that restarts with memory pings only the nodes through which it joined.
    SeedsOnly,
}

impl Bug {
    /// Those that the default classes of faults bring to light.
    pub(crate) const ALL: &'static [Self] = &[Self::IncarnationReused, Self::NoTimer, Self::DeadBelieved];
}

/// Its users have no commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nothing;

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

impl FromStr for Nothing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "nothing" { Ok(Self) } else { Err("expected nothing") }
    }
}

impl Workload for Nothing {
    fn random(_dice: &mut Dice) -> Self {
        Self
    }

    fn members(most: u32) -> Option<(String, String)> {
        Some(("members".to_owned(), most.to_string()))
    }
}

/// Record of a member: the larger (incarnation, dead) wins.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
struct Record {
    incarnation: u64,
    dead: bool,
    /// Number of the process.
    boot: u64,
}

impl Record {
    const fn version(&self) -> (u64, bool) {
        (self.incarnation, self.dead)
    }
}

/// A member in the view of this node.
#[derive(Debug)]
struct Seen {
    record: Record,
    status: Status,
    /// End of the suspicion.
    ends: Instant,
    /// Suspicions that it has refuted.
    refuted: u32,
}

/// Status before, and status now.
pub(crate) type Change = (Addr, Status, Status);

#[derive(Debug)]
pub(crate) struct Swim {
    me: Addr,
    bug: Option<Bug>,
    own: Record,
    others: BTreeMap<Addr, Seen>,
    /// Member pinged in this period that has not answered.
    probed: Option<Addr>,
    periods: u64,
    latest: Instant,
    next: Instant,
    refuted: bool,
    outbox: Vec<(Addr, &'static str, Vec<u8>)>,
    changes: Vec<Change>,
    seeds: Vec<Addr>,
    /// True in a process that has found a memory.
    restarted: bool,
}

impl Swim {
    fn send(&mut self, to: Addr, label: &'static str) {
        let mut bytes = vec![label.as_bytes()[0]];
        let own = (&self.me, &self.own, Status::Alive);
        let others = self.others.iter().map(|(of, seen)| (of, &seen.record, seen.status));
        for (of, record, status) in [own].into_iter().chain(others) {
            bytes.extend(u64::from(of.0).to_le_bytes());
            bytes.extend(record.incarnation.to_le_bytes());
            bytes.extend(record.boot.to_le_bytes());
            bytes.push(u8::from(record.dead) | u8::from(status != Status::Alive) << 1);
        }
        bytes.extend(checksum(&bytes));
        self.outbox.push((to, label, bytes));
    }

    fn see(&mut self, of: Addr, status: Status) {
        let Some(seen) = self.others.get_mut(&of) else { return };
        if seen.status != status {
            self.changes.push((of, seen.status, status));
            seen.status = status;
        }
    }

    fn suspect(&mut self, of: Addr) {
        let Some(seen) = self.others.get_mut(&of).filter(|seen| seen.status == Status::Alive) else { return };
        seen.ends = self.latest + SUSPICION;
        self.see(of, Status::Suspect);
        // It is told at once.
        self.send(of, "ping");
    }

    fn hear(&mut self, of: Addr, record: Record, accused: bool) {
        if of == self.me {
            let said = (record.incarnation, accused);
            if said > self.own.version() {
                self.own.incarnation = record.incarnation + 1;
                self.refuted = true;
            }
            return;
        }
        let Some(seen) = self.others.get_mut(&of).filter(|seen| record.version() > seen.record.version()) else {
            return;
        };
        seen.refuted += u32::from(seen.status == Status::Suspect && !record.dead);
        if self.bug == Some(Bug::FlapsCounted) && seen.refuted > 5 {
            return;
        }
        seen.record = record;
        match (record.dead, seen.status) {
            (false, _) => self.see(of, Status::Alive),
            (true, Status::Alive) if self.bug == Some(Bug::DeadBelieved) => self.see(of, Status::Dead),
            (true, _) => self.suspect(of),
        }
    }

    fn receive(&mut self, from: Addr, payload: &[u8]) -> Option<()> {
        let (body, sum) = payload.split_at_checked(payload.len().checked_sub(4)?)?;
        let (kind, mut rest) = body.split_first()?;
        if sum != checksum(body) {
            return None;
        }
        let mut heard = Vec::new();
        while !rest.is_empty() {
            let of = Addr(take_u64(&mut rest)? as u32);
            let (incarnation, boot) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
            let (flags, after) = rest.split_first()?;
            rest = after;
            heard.push((of, Record { incarnation, boot, dead: flags & 1 == 1 }, *flags != 0));
        }
        let is_elder = |(of, record, _): &(Addr, Record, bool)| {
            *of == self.me && record.dead && record.incarnation < self.own.incarnation
        };
        if self.bug == Some(Bug::ElderIgnored) && heard.iter().any(is_elder) {
            return Some(());
        }
        heard.into_iter().for_each(|(of, record, accused)| self.hear(of, record, accused));
        if *kind == b'p' {
            self.send(from, "ack");
        } else if self.probed == Some(from) {
            self.probed = None;
        }
        Some(())
    }

    fn tick(&mut self) {
        let over = |seen: &Seen| seen.status == Status::Suspect && seen.ends <= self.latest;
        let dead: Vec<Addr> = self.others.iter().filter(|(_, seen)| over(seen)).map(|(of, _)| *of).collect();
        for of in dead {
            if let Some(seen) = self.others.get_mut(&of) {
                seen.record.dead = true;
            }
            self.see(of, Status::Dead);
        }
        if self.latest < self.next {
            return;
        }
        self.next = self.latest + PERIOD;
        self.periods += 1;
        if let Some(silent) = self.probed.take() {
            self.suspect(silent);
        }
        let nth = |dead: bool, turn: u64| {
            let some = self.others.iter().filter(|(_, seen)| (seen.status == Status::Dead) == dead);
            let some: Vec<Addr> = some.map(|(of, _)| *of).collect();
            some.get((turn % some.len().max(1) as u64) as usize).copied()
        };
        let pings = |to: &Addr| match self.bug {
            Some(Bug::WaitsToBePinged) => !self.restarted,
            Some(Bug::SeedsOnly) => !self.restarted || self.seeds.contains(to),
            _ => true,
        };
        let tries = self.periods.is_multiple_of(HEALING) && self.bug != Some(Bug::DeadAbandoned);
        let probed = nth(false, self.periods).filter(pings);
        let tried = nth(true, self.periods / HEALING).filter(|to| tries && pings(to));
        self.probed = probed;
        for to in probed.into_iter().chain(tried) {
            self.send(to, "ping");
        }
    }
}

impl Machine for Swim {
    type Config = Option<Bug>;
    type Command = Nothing;
    type Event = Change;
    type Memory = Self;

    fn expectations(_config: &Option<Bug>) -> Expectations {
        Expectations {
            max_datagram: BUDGET,
            period: PERIOD,
            max_skew: Duration::from_secs(5),
            idle: Some(Idle { datagrams: 2.5, bytes: 2.5 * BUDGET as f64 }),
            membership: MemberKnowledge::Detected,
            held_per_item: 1,
            members_kept: Duration::MAX,
            clocks_apart: Duration::MAX,
        }
    }

    fn boot(boot: &Boot<'_, Option<Bug>>, memory: Option<Self>) -> Self {
        let now = boot.now.as_micros();
        let incarnation = match &memory {
            Some(memory) => now.max(memory.own.incarnation + 1),
            None if *boot.config == Some(Bug::IncarnationReused) => 1,
            None => now,
        };
        let unknown = || Seen {
            record: Record { incarnation: 0, dead: false, boot: 0 },
            status: Status::Alive,
            ends: Instant::ORIGIN,
            refuted: 0,
        };
        let others = boot.nodes.iter().filter(|&&other| other != boot.addr).map(|&other| (other, unknown()));
        Self {
            me: boot.addr,
            bug: *boot.config,
            own: Record { incarnation, dead: false, boot: boot.seed },
            restarted: memory.is_some(),
            seeds: boot.seeds.to_vec(),
            others: memory.map_or_else(|| others.collect(), |memory| memory.others),
            probed: None,
            periods: 0,
            latest: boot.now,
            // Not everybody starts at once.
            next: boot.now + 2 * PERIOD,
            refuted: false,
            outbox: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn into_memory(self) -> Self {
        self
    }

    fn command(&mut self, _now: Instant, _command: &Nothing) -> Result<(), String> {
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

    fn poll_event(&mut self) -> Option<Change> {
        if self.changes.is_empty() { None } else { Some(self.changes.remove(0)) }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.bug == Some(Bug::NoTimer) && self.refuted {
            return None;
        }
        let ends = self.others.values().filter(|seen| seen.status == Status::Suspect).map(|seen| seen.ends);
        ends.chain([self.next]).min()
    }

    fn view(&self, _cut: Instant) -> View {
        let item = |of: &Addr, record: &Record| {
            let version = gossip_testkit::ItemVersion([record.incarnation, record.dead.into(), 0, 0, 0]);
            (format!("member {of}"), ViewItem::new(version, format!("boot {:x}", record.boot)))
        };
        let records = self.others.iter().map(|(of, seen)| item(of, &seen.record));
        let opinions = self.others.iter().map(|(of, seen)| (*of, seen.status));
        View {
            items: records.chain([item(&self.me, &self.own)]).collect(),
            members: opinions.chain([(self.me, Status::Alive)]).collect(),
        }
    }

    fn incarnation(&self) -> Option<u64> {
        Some(self.own.incarnation)
    }

    fn held(&self) -> Option<usize> {
        Some(self.others.len() + 1)
    }

    fn note(&(of, was, status): &Change) -> Note {
        Note::Member { of, was: Some(was), status }
    }
}
