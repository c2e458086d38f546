//! A node under observation: what it is called with can be written down, and bodies that arrive are counted.

use std::fmt;
use std::sync::Arc;

use gossip_core::{Config, Input, Instant, Node, Snapshot};

use crate::address::Addr;
use crate::command::Command;
use crate::machine::{Boot, Machine};
use crate::wrapper::Wrapper;

/// Beginning of the values of an experiment, so that they can be found in a datagram.
pub(super) const MARK: &str = "\u{1}mark\u{2}:)\u{3}";

/// A value of `length` bytes that can be told from all others.
pub(super) fn marked(number: u32, length: usize) -> String {
    let mut value = format!("{MARK}{number:08x}");
    value.extend(std::iter::repeat_n('.', length.saturating_sub(value.len())));
    value
}

/// Counts the values of an experiment that a datagram carries.
pub(super) fn bodies(payload: &[u8]) -> u64 {
    let (mut count, mut rest) = (0, payload);
    while let Some(at) = rest.iter().position(|&byte| byte == MARK.as_bytes()[0]) {
        rest = &rest[at..];
        count += u64::from(rest.starts_with(MARK.as_bytes()));
        rest = &rest[1..];
    }
    count
}

/// Settings that observed nodes have in common.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Configuration of all nodes.
    pub config: Config,
    /// True if the bodies that arrive are counted.
    pub count_bodies: bool,
    /// Nodes of which everything is written down.
    pub logged: Arc<[Addr]>,
}

impl Setting {
    /// Nothing is counted or written down.
    pub fn new(config: Config) -> Self {
        Self { config, count_bodies: false, logged: Arc::from([]) }
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

/// A node, and what was observed of it.
#[derive(Debug)]
pub struct Observed {
    node: Node<Addr>,
    bodies: Option<u64>,
    log: Option<Log>,
}

impl Observed {
    /// The node itself.
    pub const fn node(&self) -> &Node<Addr> {
        &self.node
    }

    /// Number of marked bodies that have arrived here.
    pub fn bodies(&self) -> u64 {
        self.bodies.unwrap_or(0)
    }

    /// Takes the log of what the node was called with, if there is one.
    pub fn take_log(&mut self) -> Option<Log> {
        self.log.take()
    }

    /// Lets it take in what another knows.
    pub(super) fn restore(&mut self, now: Instant, snapshot: &Arc<Snapshot<Addr>>) {
        self.note(now, || Call::Restore(snapshot.clone()));
        self.node.restore(now, Snapshot::clone(snapshot)).expect("what was taken just now is not too old");
    }

    fn note(&mut self, at: Instant, call: impl FnOnce() -> Call) {
        if let Some(log) = &mut self.log {
            log.calls.push((at, call()));
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Tick,
    Datagram { from: Addr, payload: Box<[u8]> },
    Command(Command),
    Restore(Arc<Snapshot<Addr>>),
}

/// Everything that one node was called with since it started. Nodes are deterministic, so this is the node: it can be
/// lived through once more, alone, by somebody who has a clock or counts allocations.
#[derive(Clone)]
pub struct Log {
    addr: Addr,
    id: Addr,
    nodes: Vec<Addr>,
    seeds: Vec<Addr>,
    seed: u64,
    start: Instant,
    config: Config,
    calls: Vec<(Instant, Call)>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("addr", &self.addr).field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

/// A life that is lived through once more.
#[derive(Debug)]
pub struct Replay<'a> {
    node: Node<Addr>,
    rest: &'a [(Instant, Call)],
    buffer: Box<[u8]>,
}

impl Log {
    /// Begins anew.
    pub fn replay(&self) -> Replay<'_> {
        let Self { addr, id, nodes, seeds, seed, start, config, calls } = self;
        let boot = Boot { addr: *addr, id: *id, nodes, seeds, seed: *seed, config, now: *start, wall: *start };
        let mut replay =
            Replay { node: Machine::boot(&boot, None), rest: calls, buffer: vec![0; config.max_datagram].into() };
        replay.drain();
        replay
    }
}

impl Replay<'_> {
    /// Goes through everything before `until`.
    pub fn run_until(&mut self, until: Instant) {
        while let Some(((at, call), rest)) = self.rest.split_first()
            && *at < until
        {
            self.rest = rest;
            // What was refused then is refused now.
            match call {
                Call::Tick => _ = self.node.handle(*at, Input::Tick),
                Call::Datagram { from, payload } => _ = self.node.handle(*at, Input::Datagram { from, payload }),
                Call::Restore(snapshot) => _ = self.node.restore(*at, Snapshot::clone(snapshot)),
                Call::Command(command) => _ = Machine::command(&mut self.node, *at, command),
            }
            self.drain();
        }
    }

    /// The node as it is now.
    pub fn into_node(self) -> Node<Addr> {
        self.node
    }

    /// As a driver does.
    fn drain(&mut self) {
        while self.node.poll_transmit(&mut self.buffer).is_some() {}
        while self.node.poll_event().is_some() {}
        std::hint::black_box(self.node.poll_timeout());
    }
}

impl Wrapper for Observed {
    type Inner = Node<Addr>;
    type Config = Setting;
    /// The node's memory, and the bodies counted so far.
    type Memory = (<Node<Addr> as Machine>::Memory, Option<u64>);

    fn inner(&self) -> &Node<Addr> {
        &self.node
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.node
    }

    fn inner_config(setting: &Setting) -> &Config {
        &setting.config
    }

    fn boot(boot: &Boot<'_, Setting>, memory: Option<Self::Memory>) -> Self {
        let Boot { addr, id, nodes, seeds, seed, config, now, .. } = *boot;
        let log = (memory.is_none() && config.logged.contains(&addr)).then(|| Log {
            addr,
            id,
            nodes: nodes.to_vec(),
            seeds: seeds.to_vec(),
            seed,
            start: now,
            config: config.config.clone(),
            calls: Vec::new(),
        });
        let bodies = memory.as_ref().map_or(config.count_bodies.then_some(0), |(_, bodies)| *bodies);
        let node = Machine::boot(&boot.with_config(&config.config), memory.map(|(memory, _)| memory));
        Self { node, bodies, log }
    }

    fn into_memory(self) -> Self::Memory {
        (self.node.into_memory(), self.bodies)
    }

    fn remembers(boot: &Boot<'_, Setting>, (memory, _): &Self::Memory) -> bool {
        Node::remembers(&boot.with_config(&boot.config.config), memory)
    }

    fn command(&mut self, now: Instant, command: &Command) -> Result<(), String> {
        self.note(now, || Call::Command(command.clone()));
        Machine::command(&mut self.node, now, command)
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        match input {
            Input::Datagram { from, payload } => {
                self.note(now, || Call::Datagram { from: *from, payload: payload.into() });
                if let Some(count) = &mut self.bodies {
                    *count += bodies(payload);
                }
            }
            _ => self.note(now, || Call::Tick),
        }
        Machine::handle(&mut self.node, now, input)
    }
}
