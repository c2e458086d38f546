//! Contracts of the node's face; whole clusters are tested in the testkit.

mod contracts;
mod stories;

use std::vec::Vec;

use core::time::Duration;

use crate::{Config, Event, Input, Instant, Node, NodeId};

pub(super) const START: Instant = Instant::from_secs(1_700_000_000);

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
