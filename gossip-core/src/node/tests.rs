//! Contracts of the node's face; whole clusters are tested in the testkit.

mod about;
mod absence;
mod bounds;
mod contracts;
mod coordinates;
mod entries;
#[cfg(feature = "next")]
mod formats;
mod gate;
mod health;
mod hostile;
mod idle;
#[cfg(feature = "encryption")]
mod keys;
mod large;
mod lifetimes;
mod membership;
mod reconcile;
mod recordings;
mod shares;
mod stories;
mod unicast;

use std::string::String;
use std::vec;
use std::vec::Vec;

use core::time::Duration;

use super::Stats;
use crate::outbox::TrafficClass;
use crate::update::{Entry, Record, Stamp, Standing, Until, Update};
use crate::wire::{HEADER, Header, Item, Message, Suspicion, TRAILER, Writer};
use crate::{Config, Event, Input, Instant, Node, NodeId};

pub(super) const START: Instant = Instant::from_secs(1_700_000_000);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Nodes whose datagrams arrive at once, unless `lose` says otherwise. Addresses are positions.
pub(super) struct Net {
    pub(super) nodes: Vec<Node<u32>>,
    pub(super) now: Instant,
    pub(super) lose: fn(from: usize, to: usize) -> bool,
}

pub(super) fn node(at: u32, config: Config) -> Node<u32> {
    Node::new(NodeId::new(u64::from(at) + 1), at, config, u64::from(at)).unwrap()
}

impl Net {
    pub(super) fn new(nodes: u32, config: &Config) -> Self {
        let nodes = (0..nodes).map(|at| node(at, config.clone())).collect();
        Self { nodes, now: START, lose: |_, _| false }
    }

    /// All joined through the first.
    pub(super) fn joined(nodes: u32, config: &Config) -> Self {
        let mut net = Self::new(nodes, config);
        for node in &mut net.nodes {
            node.join(START, [0]);
        }
        net.run(Duration::from_secs(20));
        net
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.deliver();
            let next = self.nodes.iter().filter_map(Node::poll_timeout).min().unwrap_or(end).max(self.now);
            if next > end {
                break;
            }
            self.now = next;
            for node in &mut self.nodes {
                if node.poll_timeout().is_some_and(|at| at <= next) {
                    node.handle(next, Input::Tick).unwrap();
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let mut buffer = [0; 2_000];
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in 0..self.nodes.len() {
                while let Some(transmit) = self.nodes[from].poll_transmit(&mut buffer) {
                    quiet = false;
                    let to = transmit.to as usize;
                    if to < self.nodes.len() && !(self.lose)(from, to) {
                        let input =
                            Input::Datagram { from: &u32::try_from(from).unwrap(), payload: &buffer[..transmit.len] };
                        let _ = self.nodes[to].handle(self.now, input);
                    }
                }
            }
        }
    }

    pub(super) fn agree(&self) -> bool {
        let cut = self.nodes[0].clock(self.now).floor_to(Duration::from_secs(1));
        let first = self.nodes[0].reconciled(cut);
        self.nodes.iter().all(|node| node.reconciled(cut) == first)
    }

    pub(super) fn events(&mut self, at: usize) -> Vec<Event<u32>> {
        core::iter::from_fn(|| self.nodes[at].poll_event()).collect()
    }
}

/// A datagram of somebody who holds this node's record, with anything in it.
pub(super) fn sealed_as(node: &mut Node<u32>, sender: u64, body: &[u8]) -> Vec<u8> {
    sealed_for(node, sender, body, Some(node.envelope.pass()))
}

/// A datagram of somebody who speaks by this pass, or as a stranger.
pub(super) fn sealed_for(node: &mut Node<u32>, sender: u64, body: &[u8], pass: Option<u64>) -> Vec<u8> {
    let header = Header::new(NodeId::new(sender), START.as_micros(), Standing::Alive, node.clock(START));
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    bytes.extend([0; TRAILER]);
    let len = node.envelope.seal(&header, &mut bytes, body.len(), pass);
    bytes.truncate(len);
    bytes
}

pub(super) fn datagram(node: &mut Node<u32>, messages: &[Message<u32>]) -> Vec<u8> {
    let body = written(messages);
    sealed_as(node, 900, &body)
}

pub(super) fn written(messages: &[Message<u32>]) -> Vec<u8> {
    let mut body = vec![0; 1_200 - HEADER - TRAILER];
    let mut writer = Writer::new(&mut body);
    assert!(messages.iter().all(|message| writer.push(message)));
    let used = writer.used();
    body.truncate(used);
    body
}

/// The same from a stranger.
pub(super) fn strange(node: &mut Node<u32>, messages: &[Message<u32>]) -> Vec<u8> {
    let body = written(messages);
    sealed_for(node, 900, &body, None)
}

pub(super) fn hear(node: &mut Node<u32>, now: Instant, messages: &[Message<u32>]) {
    let payload = datagram(node, messages);
    node.handle(now, Input::Datagram { from: &900, payload: &payload }).unwrap();
}

pub(super) fn tick(node: &mut Node<u32>, now: Instant) {
    node.handle(now, Input::Tick).unwrap();
}

/// Everything about a node but what it has counted.
pub(super) fn state(node: &mut Node<u32>) -> (String, Stats) {
    let stats = core::mem::take(&mut node.stats);
    let state = std::format!("{node:?}");
    node.stats = stats.clone();
    (state, stats)
}

pub(super) fn counted(stats: &Stats) -> u64 {
    stats.datagrams_malformed
        + stats.datagrams_unasked
        + stats.datagrams_foreign
        + stats.datagrams_after_leaving
        + stats.datagrams_too_old
        + stats.datagrams_replayed
}

/// All datagrams that wait, with where they go.
pub(super) fn transmits(node: &mut Node<u32>) -> Vec<(u32, TrafficClass, Vec<u8>)> {
    let mut buffer = [0; 1_200];
    let mut out = Vec::new();
    while let Some(transmit) = node.poll_transmit(&mut buffer) {
        assert!(transmit.len <= 1_200);
        out.push((transmit.to, transmit.class, buffer[..transmit.len].to_vec()));
    }
    out
}

pub(super) fn entry(name: &str, value: &[u8]) -> Update<u32> {
    let stamp = Stamp { time: START, counter: 0, node: NodeId::new(5) };
    Update::Entry(Entry { owner: None, name: name.into(), stamp, ends: None, value: Some(value.into()), extra: None })
}

pub(super) fn record(id: u64, standing: Standing) -> Record<u32> {
    let until = if standing == Standing::Alive { Until::NEVER } else { Until::at(START + 3_600 * SECOND) };
    let boot = START - SECOND;
    let (id, incarnation) = (NodeId::new(id), boot.as_micros());
    Record { id, incarnation, boot, pass: id.get(), standing, until, address: 4_000, about: None }
}

pub(super) fn suspicion(about: u64) -> Suspicion {
    Suspicion { about: NodeId::new(about), incarnation: START.as_micros(), accuser: NodeId::new(900) }
}

/// A node that has met others and has written something.
pub(super) fn met() -> Node<u32> {
    let mut net = Net::joined(4, &Config::lan());
    net.nodes[1].put(net.now, "a", &[7; 300]).unwrap();
    net.nodes[1].put_own(net.now, "b", b"own").unwrap();
    net.run(SECOND);
    let mut node = net.nodes.swap_remove(1);
    transmits(&mut node);
    node
}
