//! A machine that is no gossip node: a counter to which all nodes add, checked under every class of faults.
//!
//! A G-counter: each node counts for itself, and its knowledge of another's count only grows. Twice a second a node
//! sends all it knows to one peer. Nothing is acknowledged, and nothing needs to be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gossip_core::{Input, Instant};
use gossip_testkit::{Addr, Boot, Dice, Expectations, Machine, Outgoing, View, ViewItem, Workload, sweep};

struct Counter {
    me: Addr,
    peers: Vec<Addr>,
    turn: usize,
    counts: BTreeMap<Addr, u32>,
    next: Instant,
    due: Option<Addr>,
}

/// The only command of a user.
#[derive(Debug, Clone)]
struct Add(u32);

impl Machine for Counter {
    type Config = ();
    type Command = Add;
    type Event = ();
    type Memory = BTreeMap<Addr, u32>;

    fn expectations(_config: &()) -> Expectations {
        let max_skew = Duration::from_secs(5);
        Expectations { max_skew, ..Expectations::new(512, Duration::from_secs(1)) }
    }

    // Without its memory a process learns from the others how far it had counted. What it counts before that is
    // swallowed: nodes agree all the same, which is all that is checked here.
    fn boot(boot: &Boot<'_, ()>, memory: Option<Self::Memory>) -> Self {
        let peers = boot.nodes.iter().copied().filter(|&node| node != boot.addr).collect();
        Self { me: boot.addr, peers, turn: 0, counts: memory.unwrap_or_default(), next: boot.now, due: None }
    }

    fn into_memory(self) -> Self::Memory {
        self.counts
    }

    fn command(&mut self, _now: Instant, add: &Add) -> Result<(), String> {
        *self.counts.entry(self.me).or_default() += add.0;
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        if let Input::Datagram { payload, .. } = input {
            let (counts, sum) = payload.split_last_chunk::<4>().ok_or("too short")?;
            if checksum(counts) != *sum || counts.len() % 8 != 0 {
                return Err("damaged".to_owned());
            }
            for pair in counts.chunks(8) {
                let number = |at: usize| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
                let count = self.counts.entry(Addr(number(0))).or_default();
                *count = number(4).max(*count);
            }
        } else if now >= self.next {
            self.turn += 1;
            self.due = self.peers.get(self.turn % self.peers.len().max(1)).copied();
            self.next = now + Duration::from_millis(500);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let to = self.due.take()?;
        let mut bytes: Vec<u8> =
            self.counts.iter().flat_map(|(who, n)| [who.0, *n]).flat_map(u32::to_le_bytes).collect();
        bytes.extend(checksum(&bytes));
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: bytes.len(), label: "counts" })
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    /// Counts are their own versions: larger is newer.
    fn view(&self, _cut: Instant) -> View {
        let item = |(who, count): (&Addr, &u32)| {
            (format!("count of {who}"), ViewItem::new(u64::from(*count), count.to_string()))
        };
        View { items: self.counts.iter().map(item).collect(), ..View::default() }
    }
}

/// Fletcher's checksum.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    (high << 16 | low).to_le_bytes()
}

impl fmt::Display for Add {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "add {}", self.0)
    }
}

impl FromStr for Add {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("add ").and_then(|number| number.parse().ok());
        number.map(Self).ok_or("expected `add` and a number")
    }
}

impl Workload for Add {
    fn random(dice: &mut Dice) -> Self {
        Self(dice.within(1..=9) as u32)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", sweep::<Counter>(500)?);
    Ok(())
}

#[test]
fn a_counter_that_everybody_adds_to_converges() {
    main().unwrap();
}
