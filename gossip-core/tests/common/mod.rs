//! A node among many members, and datagrams for it, for tests that measure what a node spends.
//!
//! Uses the public interface only: members become known by their own datagrams, updates come from a node that writes
//! them.

#![allow(dead_code, reason = "each of those who measure takes what it needs")]

use std::time::Duration;

use gossip_core::{Config, Input, Instant, Membership, Node, NodeId, Relay, TrafficClass, Transmit};

/// Start of all nodes.
const START: Instant = Instant::from_secs(1_000_000);
/// Names of entries that are written repeatedly, so that memory does not fill up during a measurement.
const NAMES: u64 = 4_096;
/// Address of the writer.
const WRITER: u32 = u32::MAX;

/// Configuration of a local network, but with datagrams that have room for a hundred updates.
fn config() -> Config {
    let mut config = Config::lan();
    config.max_datagram = 9_000;
    // Along links there would be answers to whoever has none any more.
    config.rumor.relay = Relay::Random;
    config
}

fn node(address: u32, config: Config) -> Node<u32> {
    let id = NodeId::from_name(&address.to_string());
    Node::new(id, address, config, address.into()).expect("the configuration is sound")
}

/// Returns the datagrams that a node has to send.
fn said(node: &mut Node<u32>, buffer: &mut [u8]) -> Vec<(Transmit<u32>, Vec<u8>)> {
    let mut said = Vec::new();
    while let Some(transmit) = node.poll_transmit(buffer) {
        let payload = buffer[..transmit.len].to_vec();
        said.push((transmit, payload));
    }
    while node.poll_event().is_some() {}
    said
}

pub(crate) fn hear(node: &mut Node<u32>, now: Instant, from: u32, payload: &[u8]) {
    node.handle(now, Input::Datagram { from: &from, payload }).expect("a sound datagram");
}

/// Lets two nodes meet: the guest has to prove that it receives.
fn meet(host: &mut Node<u32>, guest: &mut Node<u32>, buffer: &mut [u8]) {
    let (at, from) = (*host.address(), *guest.address());
    // The guest introduces itself, is challenged, and repeats the introduction with the proof.
    for _ in 0..3 {
        for (transmit, payload) in said(guest, buffer) {
            if transmit.to == at {
                hear(host, START, from, &payload);
            }
        }
        for (transmit, payload) in said(host, buffer) {
            if transmit.to == from {
                hear(guest, START, at, &payload);
            }
        }
    }
}

/// Returns datagrams of the first member to the node about `count` others that are not known yet, from this address on.
pub(crate) fn strangers(first: u32, count: u32) -> Vec<(u32, Vec<u8>)> {
    // Whether the node is among those that hear of them whole, in the first round, is a matter of chance.
    (0..100).find_map(|seed| told(first, count, seed)).expect("one of six attempts draws it")
}

fn told(first: u32, count: u32, seed: u64) -> Option<Vec<(u32, Vec<u8>)>> {
    let mut buffer = vec![0; 65_536];
    let mut talks = config();
    // Otherwise the rumor would cool before it is sent.
    talks.rumor.lambda = 100;
    talks.rumor.fanout = 32;
    let mut hears = Node::new(NodeId::from_name("1"), 1, talks, seed).expect("the configuration is sound");
    // With the identity of the node that is measured, so that it speaks to that as a member.
    let mut host = node(0, config());
    host.join(START, []);
    hears.join(START, [0]);
    meet(&mut host, &mut hears, &mut buffer);
    for address in first..first + count {
        let mut stranger = node(address, config());
        stranger.join(START, [1]);
        meet(&mut hears, &mut stranger, &mut buffer);
    }
    let mut now = START;
    loop {
        now += Duration::from_millis(5);
        hears.handle(now, Input::Tick).expect("a tick has nothing to refuse");
        // The rumors, not what else is said.
        let mut rumors = said(&mut hears, &mut buffer);
        rumors.retain(|(transmit, _)| transmit.class == TrafficClass::Rumor);
        if !rumors.is_empty() {
            rumors.retain(|(transmit, _)| transmit.to == 0);
            let told: Vec<_> = rumors.into_iter().map(|(_, payload)| (1, payload)).collect();
            return (!told.is_empty()).then_some(told);
        }
    }
}

/// Makes a node whose only peer never answers, and returns it with its time.
pub(crate) fn unanswered() -> (Node<u32>, Instant) {
    let mut given = config();
    given.membership = Membership::Given;
    let mut node = node(0, given);
    node.set_peers(START, [1]);
    (node, START)
}

/// Makes a node with `entries` entries, and returns it with its time and a sketch from a peer that lacks `difference`
/// of them.
pub(crate) fn sketched(entries: u32, difference: u32) -> (Node<u32>, Instant, Vec<u8>) {
    let mut buffer = vec![0; 65_536];
    let (mut holds, mut lacks) = (node(0, config()), node(1, config()));
    holds.join(START, []);
    lacks.join(START, [0]);
    let mut now = START;
    let mut written = 0;
    loop {
        now += Duration::from_millis(50);
        lacks.handle(now, Input::Tick).expect("a tick has nothing to refuse");
        if written < entries {
            // Then it only answers: had it begun the exchange, the sketch would be its own.
            holds.handle(now, Input::Tick).expect("a tick has nothing to refuse");
        }
        for (transmit, payload) in said(&mut lacks, &mut buffer) {
            // A summary is shorter than that, and so is everything else that is sent about missing entries.
            if written == entries && transmit.class == TrafficClass::AntiEntropy && payload.len() > 150 {
                return (holds, now, payload);
            }
            hear(&mut holds, now, 1, &payload);
        }
        for (transmit, payload) in said(&mut holds, &mut buffer) {
            // The node learns the last entries by anti-entropy or not at all.
            if written < entries || transmit.class == TrafficClass::AntiEntropy {
                hear(&mut lacks, now, 0, &payload);
            }
        }
        if written == 0 {
            for number in 0..entries - difference {
                holds.put(now, &format!("name-{number}"), b"value").expect("there is room");
            }
            written = entries - difference;
        } else if written < entries && lacks.entries("").count() == written as usize && holds.hot_rumors() == 0 {
            for number in written..entries {
                holds.put(now, &format!("name-{number}"), b"value").expect("there is room");
            }
            written = entries;
        }
    }
}

/// A node with many members, all of which answer it, and one more that writes.
pub(crate) struct Scene {
    pub(crate) node: Node<u32>,
    pub(crate) now: Instant,
    pub(crate) buffer: Vec<u8>,
    others: Vec<Node<u32>>,
    writer: Node<u32>,
    written: u64,
}

impl Scene {
    /// Makes a node that knows all members, with no hot rumors. The writer sends `hot` updates at a time in its
    /// summaries.
    pub(crate) fn new(members: u32, hot: usize) -> Self {
        let mut writes = config();
        writes.membership = Membership::Given;
        writes.limits.hot = hot.max(16);
        (writes.rumor.interval, writes.rumor.relay_delay) = (Duration::from_secs(3_600), Duration::from_secs(3_600));
        writes.mail.fanout = 0;
        // It never hears an answer: all that is measured has to lie within the life of one token.
        writes.anti_entropy.interval = Duration::from_millis(2_500);
        let mut scene = Self {
            node: node(0, config()),
            now: START,
            buffer: vec![0; 65_536],
            others: (1..=members).map(|address| node(address, config())).collect(),
            writer: node(WRITER, writes),
            written: 0,
        };
        scene.node.join(START, []);
        for other in &mut scene.others {
            other.join(START, [0]);
            meet(&mut scene.node, other, &mut scene.buffer);
        }
        scene.writer.set_peers(START, [0]);
        meet(&mut scene.node, &mut scene.writer, &mut scene.buffer);
        while scene.node.hot_rumors() > 0 {
            scene.pass(Duration::from_millis(50));
        }
        scene
    }

    /// Lets time pass, and lets every member that is contacted answer.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.tick();
        self.answer();
    }

    /// Ticks the node.
    pub(crate) fn tick(&mut self) {
        self.node.handle(self.now, Input::Tick).expect("a tick has nothing to refuse");
    }

    /// Takes the node's datagrams and delivers the answers.
    pub(crate) fn answer(&mut self) {
        loop {
            let said_here = said(&mut self.node, &mut self.buffer);
            if said_here.is_empty() {
                return;
            }
            for (transmit, payload) in said_here {
                let Some(other) = self.others.get_mut(transmit.to.wrapping_sub(1) as usize) else { continue };
                hear(other, self.now, 0, &payload);
                for (answer, payload) in said(other, &mut self.buffer) {
                    // The members do not know one another, and need not.
                    if answer.to == 0 {
                        hear(&mut self.node, self.now, transmit.to, &payload);
                    }
                }
            }
        }
    }

    /// Delivers a datagram to the node.
    pub(crate) fn hear(&mut self, (from, payload): &(u32, Vec<u8>)) {
        self.node.handle(self.now, Input::Datagram { from, payload }).expect("a sound datagram");
    }

    /// Takes the node's datagrams. Returns their bytes in total.
    pub(crate) fn drain(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(transmit) = self.node.poll_transmit(&mut self.buffer) {
            bytes += transmit.len;
        }
        while self.node.poll_event().is_some() {}
        bytes
    }

    /// Returns a ping of the first member as it is at rest: the first ones carry coordinates.
    pub(crate) fn ping(&mut self) -> (u32, Vec<u8>) {
        // Two nodes with the same identities, so that there is no other member to ping.
        let (mut pinged, mut pings) = (node(0, config()), node(1, config()));
        pinged.join(START, []);
        pings.join(START, [0]);
        let mut now = START;
        loop {
            for (transmit, payload) in said(&mut pings, &mut self.buffer) {
                let at_rest = pings.hot_rumors() == 0 && payload.len() <= 40;
                if transmit.class == TrafficClass::Probe && at_rest {
                    return (1, payload);
                }
                hear(&mut pinged, now, 1, &payload);
            }
            for (_, payload) in said(&mut pinged, &mut self.buffer) {
                hear(&mut pings, now, 0, &payload);
            }
            now += Duration::from_millis(50);
            for node in [&mut pinged, &mut pings] {
                node.handle(now, Input::Tick).expect("a tick has nothing to refuse");
            }
        }
    }

    /// Writes entries that the node does not know yet.
    pub(crate) fn write(&mut self, entries: usize) {
        for _ in 0..entries {
            self.written += 1;
            let (name, value) = (format!("name-{}", self.written % NAMES), self.written.to_le_bytes());
            self.writer.put(self.now, &name, &value).expect("there is room");
        }
    }

    /// Returns a summary with all that is hot at the writer.
    pub(crate) fn summary(&mut self) -> (u32, Vec<u8>) {
        loop {
            self.pass(Duration::from_millis(500));
            self.writer.handle(self.now, Input::Tick).expect("a tick has nothing to refuse");
            let said = said(&mut self.writer, &mut self.buffer);
            if let Some((_, payload)) =
                said.into_iter().find(|(transmit, _)| transmit.class == TrafficClass::AntiEntropy)
            {
                return (WRITER, payload);
            }
        }
    }

    /// Returns a datagram with `updates` updates, half of them (and the odd one) new to the node.
    ///
    /// The writer's hot list holds as many: those that are new in one datagram are known in the next.
    pub(crate) fn news(&mut self, updates: usize) -> (u32, Vec<u8>) {
        self.write(updates.div_ceil(2));
        self.summary()
    }
}
