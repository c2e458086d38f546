//! A protocol that loses writes, and the testkit's report about it.
//!
//! Each node tells each of the others, once, how far its user has raised its number, which suffices as long as no
//! datagram is lost. The output is kept in `failing.txt` beside this file and shown in the crate's documentation.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gossip_core::{Input, Instant};
use gossip_testkit::{
    Addr, Boot, Dice, Expectations, Machine, Outgoing, Swarm, View, ViewItem, Workload, check, shrink,
};

/// Sends everything once.
#[derive(Debug)]
pub(crate) struct Once {
    me: Addr,
    peers: Vec<Addr>,
    numbers: BTreeMap<Addr, u8>,
    outbox: VecDeque<(Addr, u8)>,
    latest: Instant,
}

/// Raises a node's own number.
#[derive(Debug, Clone)]
pub(crate) struct Raise(u8);

impl Machine for Once {
    type Config = ();
    type Command = Raise;
    type Event = ();
    type Memory = Self;

    fn expectations(_config: &()) -> Expectations {
        let max_skew = Duration::from_secs(5);
        Expectations { max_skew, held_per_item: 9, ..Expectations::new(1, Duration::from_secs(1)) }
    }

    fn boot(boot: &Boot<'_, ()>, memory: Option<Self>) -> Self {
        let peers = boot.nodes.iter().copied().filter(|&node| node != boot.addr).collect();
        let (numbers, outbox) = (BTreeMap::new(), VecDeque::new());
        memory.unwrap_or(Self { me: boot.addr, peers, numbers, outbox, latest: boot.now })
    }

    fn into_memory(self) -> Self {
        self
    }

    fn command(&mut self, _now: Instant, raise: &Raise) -> Result<(), String> {
        let number = self.numbers.entry(self.me).or_default();
        *number += raise.0;
        self.outbox.extend(self.peers.iter().map(|&peer| (peer, *number)));
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.latest = now;
        if let Input::Datagram { from, payload: &[number] } = input {
            let known = self.numbers.entry(*from).or_insert(number);
            *known = number.max(*known);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let (to, number) = self.outbox.pop_front()?;
        buffer[0] = number;
        Some(Outgoing { to, len: 1, label: "number" })
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.latest + Duration::from_secs(60))
    }

    fn view(&self, _cut: Instant) -> View {
        let item = |(who, n): (&Addr, &u8)| (format!("number of {who}"), ViewItem::new(u64::from(*n), n.to_string()));
        View { items: self.numbers.iter().map(item).collect(), ..View::default() }
    }
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "raise by {}", self.0)
    }
}

impl FromStr for Raise {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let by = text.strip_prefix("raise by ").and_then(|by| by.parse().ok());
        by.map(Self).ok_or("expected `raise by` and a number")
    }
}

impl Workload for Raise {
    fn random(dice: &mut Dice) -> Self {
        Self(dice.within(1..=9) as u8)
    }

    fn shrink(&self) -> impl Iterator<Item = Self> {
        shrink::number(self.0.into(), 1).map(|by| Self(by as u8))
    }
}

/// The report, as text.
pub(crate) fn report() -> String {
    let swarm = Swarm { classes: vec!["loss", "burst", "duplicate", "delay", "cut"], ..Swarm::default() };
    let failure = (0..100).find_map(|number| check::<Once>(&swarm.scenario(number)).err());
    failure.expect("a datagram is lost soon enough").to_string()
}

// The test that compares the text has no use for it.
#[allow(dead_code, reason = "this file is also a module of a test")]
fn main() {
    println!("{}", report());
}
