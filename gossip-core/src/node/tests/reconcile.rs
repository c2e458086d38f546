//! What anti-entropy costs: two nodes in virtual time, every byte counted by what it was sent for.

use core::time::Duration;
use std::collections::BTreeMap;
use std::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::START;
use crate::config::Membership;
use crate::update::{Entry, Stamp, Until, Update};
use crate::wire::{Item, Message, encoded_len, read};
use crate::{Config, Input, Instant, Node, NodeId};

const LATENCY: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Bytes sent, in all and those of the updates themselves.
#[derive(Debug, Clone, Default)]
struct Counted {
    datagrams: u64,
    bytes: u64,
    updates: u64,
    update_bytes: u64,
    /// Messages and their bytes, without the updates in them, by kind.
    kinds: BTreeMap<&'static str, (u64, u64)>,
}

impl Counted {
    fn identification(&self) -> u64 {
        self.bytes - self.update_bytes
    }

    fn count(&mut self, datagram: usize, messages: &[Message<u32>]) {
        self.datagrams += 1;
        self.bytes += datagram as u64;
        for message in messages {
            let (kind, updates): (_, Vec<&Update<u32>>) = match message {
                Message::Summary { .. } => ("summary", Vec::new()),
                Message::Sketch { .. } => ("sketch", Vec::new()),
                Message::Split { .. } => ("split", Vec::new()),
                Message::Decoded { .. } => ("decoded", Vec::new()),
                Message::Pull { .. } => ("pull", Vec::new()),
                Message::Page { updates, .. } => ("page", updates.iter().collect()),
                Message::Updates(updates) => ("updates", updates.iter().collect()),
                Message::Mail(Item::Update(update)) => ("mail", [update].into()),
                _ => ("other", Vec::new()),
            };
            let bytes: usize = updates.iter().map(|update| encoded_len(*update)).sum();
            self.updates += updates.len() as u64;
            self.update_bytes += bytes as u64;
            let counted = self.kinds.entry(kind).or_default();
            counted.0 += 1;
            counted.1 += (encoded_len(message) - bytes) as u64;
        }
    }
}

/// Nodes whose datagrams take a fixed time and are lost with a fixed probability.
struct Link {
    nodes: Vec<Node<u32>>,
    now: Instant,
    on_the_way: BTreeMap<(Instant, u64), (u32, u32, Vec<u8>)>,
    sent: u64,
    /// In percent.
    loss: u32,
    rng: Xoshiro256PlusPlus,
    counted: Counted,
    names: u64,
}

impl Link {
    /// Nodes that know one another; only the first begins exchanges of its own accord.
    fn new(nodes: u32) -> Self {
        let nodes: Vec<Node<u32>> = (0..nodes)
            .map(|at| {
                let mut config = Config::lan();
                config.membership = Membership::Given;
                if at > 0 {
                    config.anti_entropy.interval = Duration::from_secs(3_600);
                }
                super::node(at, config)
            })
            .collect();
        let mut link = Self {
            nodes,
            now: START,
            on_the_way: BTreeMap::new(),
            sent: 0,
            loss: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(1),
            counted: Counted::default(),
            names: 0,
        };
        let all = link.nodes.len() as u32;
        for at in 0..all {
            link.nodes[at as usize].set_peers(START, (0..all).filter(|peer| *peer != at));
        }
        link.run(60 * SECOND);
        link.counted = Counted::default();
        link
    }

    fn transmit(&mut self) {
        let mut buffer = [0; 2_000];
        let mut messages = Vec::new();
        for at in 0..self.nodes.len() {
            while let Some(transmit) = self.nodes[at].poll_transmit(&mut buffer) {
                let payload = &buffer[..transmit.len];
                let (_, body) = self.nodes[at].envelope.open(payload).unwrap();
                read(body, &mut messages).unwrap();
                self.counted.count(transmit.len, &messages);
                self.sent += 1;
                if self.rng.random_range(0..100) >= self.loss {
                    let arrives = (self.now + LATENCY, self.sent);
                    self.on_the_way.insert(arrives, (at as u32, transmit.to, payload.to_vec()));
                }
            }
        }
    }

    /// Lets the next thing happen, unless it happens after `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.transmit();
        let arrival = self.on_the_way.keys().next().map(|(at, _)| *at);
        let timer = self.nodes.iter().filter_map(Node::poll_timeout).min();
        let Some(next) = arrival.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(first) = self.on_the_way.first_entry()
            && first.key().0 <= self.now
        {
            let (from, to, payload) = first.remove();
            let input = Input::Datagram { from: &from, payload: &payload };
            self.nodes[to as usize].handle(self.now, input).unwrap();
        }
        for node in &mut self.nodes {
            if node.poll_timeout().is_some_and(|at| at <= self.now) {
                node.handle(self.now, Input::Tick).unwrap();
            }
        }
        true
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Until all agree and nothing is under way; how long that took.
    fn settle(&mut self, limit: Duration) -> Duration {
        let (begin, end) = (self.now, self.now + limit);
        while !(self.agree() && self.is_quiet()) {
            assert!(self.step(end), "no agreement after {limit:?}: {:?}", self.counted);
        }
        self.now.since(begin)
    }

    fn is_quiet(&self) -> bool {
        self.on_the_way.is_empty() && self.nodes.iter().all(|node| node.anti_entropy.is_quiet())
    }

    fn agree(&self) -> bool {
        let first = self.nodes[0].replica.summary(self.now);
        self.nodes.iter().all(|node| node.replica.summary(self.now) == first)
    }

    /// An entry of this size, written long ago, that nobody holds yet.
    fn entry(&mut self, size: usize) -> Update<u32> {
        self.names += 1;
        let mut value = std::vec![0; size];
        self.rng.fill_bytes(&mut value);
        let stamp = Stamp {
            time: START - Duration::from_secs(3_600) + Duration::from_micros(1_000 * self.names),
            counter: 0,
            node: NodeId::new(1_000),
        };
        let (expires, until) = (Until::NEVER, Until::NEVER);
        let name = std::format!("entry-{}", self.names);
        Update::Entry(Entry {
            owner: None,
            name: name.as_str().into(),
            stamp,
            expires,
            until,
            value: Some(value.into()),
        })
    }

    fn hold(&mut self, at: usize, update: &Update<u32>) {
        let replica = &mut self.nodes[at].replica;
        replica.merge(update.clone());
        replica.take_touched().for_each(drop);
    }

    /// As many entries that all hold; their encoded size.
    fn fill(&mut self, entries: usize, size: usize, holders: core::ops::Range<usize>) -> u64 {
        let mut bytes = 0;
        for _ in 0..entries {
            let update = self.entry(size);
            bytes += encoded_len(&update) as u64;
            holders.clone().for_each(|at| self.hold(at, &update));
        }
        bytes
    }

    fn differ(&mut self, differences: usize) {
        for _ in 0..differences {
            let (update, at) = (self.entry(40), self.rng.random_range(0..2));
            self.hold(at, &update);
        }
    }
}

/// The mean of the bytes that it takes two replicas to find out where they differ.
fn identification(items: usize, differences: usize, loss: u32, runs: u64) -> u64 {
    let mut link = Link::new(2);
    link.fill(items, 40, 0..2);
    link.loss = loss;
    let mut slowest = Duration::ZERO;
    for _ in 0..runs {
        if differences == 0 {
            let begun = link.nodes[0].stats().exchanges;
            while link.nodes[0].stats().exchanges == begun {
                link.step(Instant::MAX);
            }
        }
        link.differ(differences);
        slowest = slowest.max(link.settle(300 * SECOND));
    }
    let mean = link.counted.identification() / runs;
    std::println!("d = {differences}, loss {loss} %: {mean} bytes, slowest {slowest:?}");
    for (kind, (number, bytes)) in &link.counted.kinds {
        std::println!("  {kind} {} × {}", *number as f64 / runs as f64, *bytes as f64 / *number as f64);
    }
    let counted = &link.counted;
    std::println!(
        "  {} datagrams, {} updates",
        counted.datagrams as f64 / runs as f64,
        counted.updates as f64 / runs as f64
    );
    mean
}

#[test]
#[ignore]
fn measure() {
    for loss in [0, 10] {
        for (differences, runs) in [(0, 20), (10, 100), (30, 100), (100, 100), (300, 50), (1_000, 20), (10_000, 5)] {
            identification(100_000, differences, loss, runs);
        }
    }
}

#[test]
#[ignore]
fn measure_newcomer() {
    for loss in [0, 20] {
        let mut link = Link::new(2);
        let bytes = link.fill(100_000, 100, 1..2);
        link.loss = loss;
        let took = link.settle(600 * SECOND);
        let counted = &link.counted;
        std::println!(
            "newcomer {loss} %: {} of {bytes}, {}, took {took:?}\n{counted:?}",
            counted.bytes,
            counted.bytes as f64 / bytes as f64
        );
    }
}
