//! A small list of members with room for a few, and surroundings of a machine with bugs that only show where nodes are configured
//! differently, paths are long or seeds come back elsewhere.
//!
//! Once a period each node of the list sends the whole of it to all that it knows and to its seeds. Who has not been heard of for a
//! while is dead, and gives way when there is no room. Knows nothing of gossip-core except its time and statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gossip_core::{Input, Instant, Status};
use gossip_testkit::{Addr, Boot, Expectations, Machine, MemberKnowledge, Outgoing, View, Wrapper};

use super::swim::Nothing;
use super::{Config, Mini, checksum, take_u64};

const PERIOD: Duration = Duration::from_secs(1);
/// Time after which one of whom nothing is heard is dead.
const SILENT: Duration = Duration::from_secs(10);

/// Room that a list has, and whether its bug is there.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Members that it may know.
    pub(crate) most: usize,
    /// True if the dead keep their places: newcomers are refused.
    pub(crate) full_of_dead: bool,
}

#[derive(Debug, Copy, Clone)]
struct Row {
    at: Addr,
    /// Its own clock when it said that it was there.
    beat: u64,
    heard: Instant,
}

#[derive(Debug)]
pub(crate) struct Roster {
    id: Addr,
    at: Addr,
    room: Room,
    seeds: Vec<Addr>,
    rows: BTreeMap<Addr, Row>,
    latest: Instant,
    next: Instant,
    outbox: Vec<(Addr, Vec<u8>)>,
}

impl Roster {
    fn is_dead(&self, row: &Row) -> bool {
        self.latest.since(row.heard) > SILENT
    }

    fn hear(&mut self, id: Addr, at: Addr, beat: u64) {
        if id == self.id {
            return;
        }
        let row = Row { at, beat, heard: self.latest };
        if let Some(known) = self.rows.get_mut(&id) {
            if beat > known.beat {
                *known = row;
            }
            return;
        }
        // Who gave way for being dead does not come back by what others have yet to forget.
        if self.latest.since(Instant::from_micros(beat)) > SILENT {
            return;
        }
        // The list has a place for the node itself, too.
        if self.rows.len() + 1 >= self.room.most {
            let dead = self.rows.iter().filter(|(_, row)| self.is_dead(row)).min_by_key(|(_, row)| row.heard);
            let Some(dead) = dead.map(|(id, _)| *id).filter(|_| !self.room.full_of_dead) else { return };
            self.rows.remove(&dead);
        }
        self.rows.insert(id, row);
    }

    fn tick(&mut self) {
        if self.latest < self.next {
            return;
        }
        self.next = self.latest + PERIOD;
        let mut bytes = Vec::new();
        let own = (self.id, Row { at: self.at, beat: self.latest.as_micros(), heard: self.latest });
        // Of the dead nothing is told: others would believe that they are new.
        let living = self.rows.iter().filter(|(_, row)| !self.is_dead(row)).map(|(id, row)| (*id, *row));
        for (id, row) in [own].into_iter().chain(living) {
            for number in [u64::from(id.0), u64::from(row.at.0), row.beat] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(checksum(&bytes));
        let known = self.rows.values().map(|row| row.at);
        let to: BTreeSet<Addr> = known.chain(self.seeds.iter().copied()).filter(|to| *to != self.at).collect();
        self.outbox.extend(to.into_iter().map(|to| (to, bytes.clone())));
    }

    fn receive(&mut self, payload: &[u8]) -> Option<()> {
        let (mut rest, sum) = payload.split_at_checked(payload.len().checked_sub(4)?)?;
        if sum != checksum(rest) {
            return None;
        }
        while !rest.is_empty() {
            let (id, at) = (Addr(take_u64(&mut rest)? as u32), Addr(take_u64(&mut rest)? as u32));
            let beat = take_u64(&mut rest)?;
            self.hear(id, at, beat);
        }
        Some(())
    }
}

impl Machine for Roster {
    type Config = Room;
    type Command = Nothing;
    type Event = ();
    type Memory = ();

    fn expectations(_room: &Room) -> Expectations {
        let membership = MemberKnowledge::Detected;
        Expectations { membership, max_skew: Duration::from_secs(5), ..Expectations::new(2_000, PERIOD) }
    }

    fn boot(boot: &Boot<'_, Room>, _memory: Option<()>) -> Self {
        Self {
            id: boot.id,
            at: boot.addr,
            room: boot.config.clone(),
            seeds: boot.seeds.to_vec(),
            rows: BTreeMap::new(),
            latest: boot.now,
            next: boot.now,
            outbox: Vec::new(),
        }
    }

    fn into_memory(self) {}

    fn set(room: &Room, name: &str, value: &str) -> Option<Room> {
        let most = value.parse().ok().filter(|_| name == "members")?;
        Some(Room { most, ..room.clone() })
    }

    fn command(&mut self, _now: Instant, _command: &Nothing) -> Result<(), String> {
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.latest = self.latest.max(now);
        match input {
            Input::Datagram { payload, .. } => self.receive(payload).ok_or_else(|| "damaged".to_owned()),
            _ => {
                self.tick();
                Ok(())
            }
        }
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, bytes) = self.outbox.pop()?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: bytes.len(), label: "list" })
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn view(&self, _cut: Instant) -> View {
        let status = |row: &Row| if self.is_dead(row) { Status::Dead } else { Status::Alive };
        let others = self.rows.iter().map(|(id, row)| (*id, status(row)));
        View { members: others.chain([(self.id, Status::Alive)]).collect(), ..View::default() }
    }
}

macro_rules! around {
    ($config:ty, |$of:ident| $part:expr) => {
        type Inner = Mini;
        type Config = $config;
        type Memory = Mini;

        fn inner(&self) -> &Mini {
            &self.inner
        }

        fn inner_mut(&mut self) -> &mut Mini {
            &mut self.inner
        }

        fn inner_config($of: &$config) -> &Config {
            $part
        }

        fn into_memory(self) -> Mini {
            self.inner
        }
    };
}

/// A transport that asks the nodes through which it joined, and nobody else, until a restarted process has heard from somebody.
pub(crate) struct AsksSeeds {
    inner: Mini,
    seeds: Vec<Addr>,
    heard: bool,
}

impl Wrapper for AsksSeeds {
    around!(Config, |config| config);

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        let heard = memory.is_none();
        Self { inner: Machine::boot(boot, memory), seeds: boot.seeds.to_vec(), heard }
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.heard |= matches!(input, Input::Datagram { .. });
        Machine::handle(&mut self.inner, now, input)
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        loop {
            let outgoing = self.inner.poll_transmit(buffer)?;
            if self.heard || self.seeds.contains(&outgoing.to) {
                return Some(outgoing);
            }
        }
    }
}

/// Bytes of a sender's clock in front of a datagram.
const STAMP: usize = 8;
/// Age at which a datagram counts as a recording.
const STALE: Duration = Duration::from_secs(2);

/// A transport that takes in nothing that was sent longer ago than a sensible network takes.
pub(crate) struct Fresh {
    inner: Mini,
    now: Instant,
    buffer: Vec<u8>,
}

impl Wrapper for Fresh {
    around!(Config, |config| config);

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        Self { inner: Machine::boot(boot, memory), now: boot.now, buffer: Vec::new() }
    }

    fn expectations(config: &Config) -> Expectations {
        longer(Mini::expectations(config), STAMP)
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.now = now;
        let Input::Datagram { from, payload } = input else { return Machine::handle(&mut self.inner, now, input) };
        let (stamp, payload) = payload.split_first_chunk::<STAMP>().ok_or("too short")?;
        if now.since(Instant::from_micros(u64::from_le_bytes(*stamp))) > STALE {
            return Err("a recording".to_owned());
        }
        Machine::handle(&mut self.inner, now, Input::Datagram { from, payload })
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        self.buffer.resize(buffer.len() - STAMP, 0);
        let outgoing = self.inner.poll_transmit(&mut self.buffer)?;
        let (stamp, rest) = buffer.split_at_mut(STAMP);
        stamp.copy_from_slice(&self.now.as_micros().to_le_bytes());
        rest[..outgoing.len].copy_from_slice(&self.buffer[..outgoing.len]);
        Some(Outgoing { len: outgoing.len + STAMP, ..outgoing })
    }
}

/// Expectations of a machine whose datagrams are so many bytes longer.
fn longer(mut expectations: Expectations, bytes: usize) -> Expectations {
    expectations.max_datagram += bytes;
    if let Some(idle) = &mut expectations.idle {
        idle.bytes += idle.datagrams * bytes as f64;
    }
    expectations
}

/// Configuration with a setting that says in which of two ways datagrams begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Framing {
    inner: Config,
    short: bool,
}

/// A transport that reads only datagrams which begin as its own do, and says so nowhere.
pub(crate) struct ReadsItsOwn {
    inner: Mini,
    short: bool,
    buffer: Vec<u8>,
}

impl ReadsItsOwn {
    const fn first(&self) -> &'static [u8] {
        if self.short { b"s" } else { b"long" }
    }
}

impl Wrapper for ReadsItsOwn {
    around!(Framing, |framing| &framing.inner);

    fn boot(boot: &Boot<'_, Framing>, memory: Option<Mini>) -> Self {
        let inner = Machine::boot(&boot.with_config(&boot.config.inner), memory);
        Self { inner, short: boot.config.short, buffer: Vec::new() }
    }

    fn expectations(framing: &Framing) -> Expectations {
        longer(Mini::expectations(&framing.inner), 4)
    }

    fn set(framing: &Framing, name: &str, value: &str) -> Option<Framing> {
        let short = value.parse().ok().filter(|_| name == "short")?;
        Some(Framing { short, ..framing.clone() })
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        let Input::Datagram { from, payload } = input else { return Machine::handle(&mut self.inner, now, input) };
        let payload = payload.strip_prefix(self.first()).ok_or("it begins in another way")?;
        Machine::handle(&mut self.inner, now, Input::Datagram { from, payload })
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let first = self.first();
        self.buffer.resize(buffer.len() - first.len(), 0);
        let outgoing = self.inner.poll_transmit(&mut self.buffer)?;
        let (begin, rest) = buffer.split_at_mut(first.len());
        begin.copy_from_slice(first);
        rest[..outgoing.len].copy_from_slice(&self.buffer[..outgoing.len]);
        Some(Outgoing { len: outgoing.len + first.len(), ..outgoing })
    }
}
