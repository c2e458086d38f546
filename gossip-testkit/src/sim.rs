//! The simulator: machines, a network and virtual time. Byte-exact: what travels are the datagrams themselves.
//!
//! Knows machines by their trait, and what is to happen by actions; knows no scenario and no invariant. Nothing that
//! it does for one event takes longer in a larger cluster.

mod action;
mod clock;
mod counters;
mod network;
mod places;
mod queue;
mod schedule;
mod story;
mod trace;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use gossip_core::{Input, Instant, Status};

use crate::address::Addr;
use crate::coin::{content, fold};
use crate::machine::{Boot, Expectations, Machine, Note};
pub(crate) use action::Action;
use clock::Clock;
pub use counters::Counters;
use network::{Cause, Network, damage};
pub use network::{Datagram, Latency, Verdict};
use places::Places;
use queue::{Due, Queue};
use story::Kind;
use trace::Trace;

/// As much as any UDP datagram can hold.
const BUFFER: usize = 65_536;
/// Datagrams that the socket buffer of a process that stands still holds.
const BACKLOG: usize = 256;
/// Up to so many nodes the order of arrivals is watched link by link.
const WATCHED: usize = 64;

/// Watches a run from within.
pub(crate) trait Watch<M: Machine> {
    fn sent(&mut self, _datagram: &Datagram<'_>) {}
    fn event(&mut self, _at: Instant, _node: Addr, _event: &M::Event) {}
    fn started(&mut self, _node: Addr, _memory: bool) {}
    fn commanded(&mut self, _node: Addr, _command: &M::Command) {}
}

impl<M: Machine> Watch<M> for () {}

/// Settings of a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) latency: Latency,
    pub(crate) keyed: bool,
}

/// Traffic of a node: what it has sent and received.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// The largest one sent.
    pub largest: usize,
}

/// A datagram that was lost, so that it can be lost again.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) from: Addr,
    pub(crate) to: Addr,
    pub(crate) content: u64,
    pub(crate) occurrence: u32,
}

#[derive(Debug)]
struct Flight {
    from: u32,
    /// The sender's address as the receiver sees it.
    seen: Addr,
    to: u32,
    label: &'static str,
    payload: Vec<u8>,
}

struct Slot<M: Machine> {
    machine: Option<M>,
    /// The node whose id its processes have.
    id: Addr,
    memory: Option<M::Memory>,
    paused: bool,
    backlog: VecDeque<u32>,
    clock: Clock,
    /// Its configuration, if it is not that of all.
    config: Option<M::Config>,
    /// Time of the next wake-up in the queue; later ones are left there and ignored.
    wake: Instant,
    boots: u32,
    traffic: Traffic,
}

/// Result of a step.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The node whose machine was called, if any was.
    pub(crate) touched: Option<Addr>,
    /// A number for the sort of step: equal for steps of the same sort.
    pub(crate) kind: u64,
}

/// The simulator. See the [module](self).
pub(crate) struct Simulator<M: Machine> {
    config: M::Config,
    limits: Expectations,
    seed: u64,
    now: Instant,
    queue: Queue,
    slots: Vec<Slot<M>>,
    present: Vec<Addr>,
    /// Nodes whose processes have, or had, another id.
    twins: Vec<Addr>,
    seeds: Vec<Addr>,
    places: Places,
    network: Network,
    flights: Vec<Flight>,
    free: Vec<u32>,
    actions: Vec<Option<Action<M::Command>>>,
    buffer: Vec<u8>,
    arrivals: Vec<u64>,
    last_fault: Instant,
    /// The sort of the step under way.
    kind: u64,
    losses: Option<Vec<Lost>>,
    pub(crate) trace: Trace,
    pub(crate) counters: Counters,
}

impl<M: Machine> Simulator<M> {
    /// Nobody has started yet.
    pub(crate) fn new(config: M::Config, present: Vec<Addr>, seeds: Vec<Addr>, settings: &Settings) -> Self {
        let slots = present.last().map_or(0, |last| last.index() + 1);
        let mut simulator = Self {
            limits: M::expectations(&config),
            config,
            seed: settings.seed,
            now: Instant::ORIGIN,
            queue: Queue::default(),
            slots: Vec::with_capacity(slots),
            present,
            twins: Vec::new(),
            seeds,
            places: Places::default(),
            network: Network::new(settings.seed, settings.latency, settings.keyed),
            flights: Vec::new(),
            free: Vec::new(),
            actions: Vec::new(),
            buffer: vec![0; BUFFER],
            arrivals: Vec::new(),
            last_fault: Instant::ORIGIN,
            kind: 0,
            losses: None,
            trace: Trace::default(),
            counters: Counters::default(),
        };
        simulator.grow(slots);
        simulator
    }

    fn grow(&mut self, slots: usize) {
        let mut ids = (self.slots.len() as u32..).map(Addr);
        self.slots.resize_with(slots, || Slot {
            machine: None,
            id: ids.next().expect("there are more numbers than nodes"),
            memory: None,
            paused: false,
            backlog: VecDeque::new(),
            clock: Clock::right(),
            config: None,
            wake: Instant::MAX,
            boots: 0,
            traffic: Traffic::default(),
        });
        if slots <= WATCHED {
            self.arrivals = vec![0; slots * slots];
        } else {
            self.arrivals = Vec::new();
        }
    }

    /// One more node, not started yet.
    pub(crate) fn add_node(&mut self) -> Addr {
        let addr = Addr(u32::try_from(self.slots.len()).expect("fewer than 2^32 nodes fit into memory"));
        self.grow(self.slots.len() + 1);
        self.present.push(addr);
        addr
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn expectations(&self) -> &Expectations {
        &self.limits
    }

    /// Every node that there ever was, in order.
    pub(crate) fn present(&self) -> &[Addr] {
        &self.present
    }

    /// Delivers what is sent to `address` at `node`.
    pub(crate) fn forward(&mut self, address: Addr, node: Addr) {
        self.places.forward(address, node);
    }

    pub(crate) fn set_seeds(&mut self, seeds: Vec<Addr>) {
        self.seeds = seeds;
    }

    /// The machine of a node that runs, also if it stands still.
    pub(crate) fn machine(&self, node: Addr) -> Option<&M> {
        self.slots.get(node.index())?.machine.as_ref()
    }

    /// Returns the node whose id the processes of a node have: another one while it is a twin.
    pub(crate) fn id(&self, node: Addr) -> Addr {
        self.slots[node.index()].id
    }

    pub(crate) fn is_paused(&self, node: Addr) -> bool {
        self.slots[node.index()].paused
    }

    /// Number of times that this node has started.
    pub(crate) fn boots(&self, node: Addr) -> u32 {
        self.slots[node.index()].boots
    }

    /// Returns the largest datagram that a node may send.
    pub(crate) fn longest(&self, node: Addr) -> usize {
        let config = self.slots[node.index()].config.as_ref();
        config.map_or(self.limits.max_datagram, |config| M::expectations(config).max_datagram)
    }

    /// Returns the reading of a node's monotonic clock.
    pub(crate) fn reading(&self, node: Addr) -> Instant {
        self.slots[node.index()].clock.read(self.now)
    }

    pub(crate) fn traffic(&self, node: Addr) -> Traffic {
        self.slots[node.index()].traffic
    }

    /// Nodes that run and have not left, in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Addr, &M)> {
        self.present.iter().filter_map(|&addr| Some((addr, self.machine(addr)?))).filter(|(_, m)| !m.has_left())
    }

    /// A cut at which all live machines can be compared: the latest of their clocks, or the end of time if these are so far
    /// apart that only what never ends is agreed on.
    pub(crate) fn cut(&self) -> Instant {
        let clocks = || self.live().map(|(addr, m)| m.clock(self.reading(addr)));
        let (first, last) = (clocks().min().unwrap_or_default(), clocks().max().unwrap_or_default());
        if last.since(first) > self.limits.clocks_apart { Instant::MAX } else { last }
    }

    /// The last time that a datagram was lost because a scenario names it.
    pub(crate) fn last_fault(&self) -> Instant {
        self.last_fault
    }

    pub(crate) fn record_losses(&mut self) {
        self.losses = Some(Vec::new());
    }

    pub(crate) fn take_losses(&mut self) -> Vec<Lost> {
        self.losses.take().unwrap_or_default()
    }

    pub(crate) fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Plans an action. At one time, in the order in which they were planned.
    pub(crate) fn plan(&mut self, at: Instant, action: Action<M::Command>) {
        let number = u32::try_from(self.actions.len()).expect("fewer than 2^32 actions fit into memory");
        self.actions.push(Some(action));
        self.queue.push(at.max(self.now), Due::Action(number));
    }

    /// The next event, if there is one until `until`; then time stands there.
    pub(crate) fn step(&mut self, until: Instant, watch: &mut impl Watch<M>) -> Option<Step> {
        let Some((at, due)) = self.queue.pop(until) else {
            self.now = self.now.max(until);
            return None;
        };
        self.now = at;
        let touched = match due {
            Due::Arrival(flight) => self.arrive(flight, watch),
            Due::Wake(node) => {
                self.kind = 1;
                self.wake(Addr(node), watch)
            }
            Due::Action(number) => {
                self.kind = 2;
                let action = self.actions[number as usize].take().expect("an action is planned once");
                self.act(action, watch)
            }
        };
        Some(Step { touched, kind: self.kind })
    }

    /// Time of the next event; the end of time if there is none.
    pub(crate) fn next(&self) -> Instant {
        self.queue.next().unwrap_or(Instant::MAX)
    }

    /// Everything until `until`, with nobody watching.
    pub(crate) fn run_until(&mut self, until: Instant, watch: &mut impl Watch<M>) {
        while self.step(until, watch).is_some() {}
    }

    fn wake(&mut self, node: Addr, watch: &mut impl Watch<M>) -> Option<Addr> {
        let slot = &mut self.slots[node.index()];
        if slot.wake != self.now || slot.paused {
            return None;
        }
        slot.wake = Instant::MAX;
        let now = slot.clock.read(self.now);
        let machine = slot.machine.as_mut()?;
        // The deadline may have moved since this wake-up was put into the queue.
        if machine.poll_timeout().is_some_and(|deadline| deadline > now) {
            self.schedule(node);
            return None;
        }
        self.trace.mix(self.now, [1, u64::from(node.0)]);
        machine.set_wall_clock(now, slot.clock.wall(self.now));
        // A tick has nothing to refuse.
        let _ = machine.handle(now, Input::Tick);
        self.drain(node, watch);
        Some(node)
    }

    fn arrive(&mut self, flight: u32, watch: &mut impl Watch<M>) -> Option<Addr> {
        let to = Addr(self.flights[flight as usize].to);
        let slot = &mut self.slots[to.index()];
        let Some(machine) = &mut slot.machine else {
            self.counters.to_nobody += 1;
            self.free.push(flight);
            return None;
        };
        if slot.paused {
            if slot.backlog.len() < BACKLOG {
                slot.backlog.push_back(flight);
            } else {
                self.counters.overflowed += 1;
                self.free.push(flight);
            }
            return None;
        }
        let Flight { from, seen, label, ref payload, .. } = self.flights[flight as usize];
        self.counters.delivered += 1;
        slot.traffic.received += 1;
        slot.traffic.bytes_received += payload.len() as u64;
        let now = slot.clock.read(self.now);
        machine.set_wall_clock(now, slot.clock.wall(self.now));
        let result = machine.handle(now, Input::Datagram { from: &seen, payload });
        self.trace.mix(self.now, [2 + u64::from(result.is_err()), u64::from(from) << 32 | u64::from(to.0)]);
        let length = payload.len();
        self.trace.line(self.now, Kind::Arrival, |line| match &result {
            Ok(()) => write!(line, "{to} receives {label} from {from}, {length} bytes"),
            Err(error) => write!(line, "{to} refuses {label} from {from}, {length} bytes: {error}"),
        });
        self.counters.refused += u64::from(result.is_err());
        self.kind = fold([content(label.as_bytes()), result.is_err().into()]);
        self.free.push(flight);
        self.drain(to, watch);
        Some(to)
    }

    /// Calls a machine out of turn.
    pub(crate) fn call<R>(
        &mut self,
        node: Addr,
        watch: &mut impl Watch<M>,
        f: impl FnOnce(&mut M, Instant) -> R,
    ) -> Option<R> {
        let slot = &mut self.slots[node.index()];
        let (now, wall) = (slot.clock.read(self.now), slot.clock.wall(self.now));
        let machine = slot.machine.as_mut()?;
        machine.set_wall_clock(now, wall);
        let result = f(machine, now);
        if !slot.paused {
            self.drain(node, watch);
        }
        Some(result)
    }

    /// Takes all that a machine has to say.
    fn drain(&mut self, node: Addr, watch: &mut impl Watch<M>) {
        while let Some(machine) = &mut self.slots[node.index()].machine {
            let Some(outgoing) = machine.poll_transmit(&mut self.buffer) else { break };
            self.send(node, outgoing.to, outgoing.len, outgoing.label, watch);
        }
        while let Some(event) = self.slots[node.index()].machine.as_mut().and_then(Machine::poll_event) {
            self.count(node, M::note(&event));
            let at = self.now;
            self.trace.line(at, Kind::Event, |line| write!(line, "{node} says {event:?}"));
            watch.event(at, node, &event);
        }
        self.schedule(node);
    }

    fn count(&mut self, at: Addr, note: Note) {
        let there = |id: Addr| self.is_there(id);
        match note {
            Note::Delivered(_) => self.counters.deliveries += 1,
            Note::Member { of, status: Status::Suspect, .. } => {
                self.counters.false_suspicions += u64::from(there(of));
                self.counters.suspicions += 1;
            }
            Note::Member { of, status: Status::Dead, .. } => {
                self.counters.false_deaths += u64::from(there(of));
                self.counters.deaths += 1;
            }
            Note::Member { status: Status::Left, .. } => self.counters.leaves += 1,
            Note::Member { was, status: Status::Alive, .. } => match was {
                Some(Status::Suspect) => self.counters.refutations += 1,
                Some(Status::Dead | Status::Left) => self.counters.rejoins += 1,
                Some(Status::Alive) | None => {}
            },
            Note::Large(by) => self.counters.large_values += u64::from(by != at),
            Note::Forgot | Note::Other => {}
        }
    }

    /// Returns true if a process of this id runs that has not left.
    fn is_there(&self, id: Addr) -> bool {
        // A machine may speak of a node that there is not: of one whose address was damaged on the way, for instance.
        let known = |node: Addr| self.slots.get(node.index()).is_some_and(|slot| slot.id == id);
        let lives = |node: Addr| known(node) && self.machine(node).is_some_and(|machine| !machine.has_left());
        lives(id) || self.twins.iter().any(|&node| lives(node))
    }

    /// Puts the next wake-up into the queue, unless one at least as early is there.
    fn schedule(&mut self, node: Addr) {
        let slot = &mut self.slots[node.index()];
        let Some(deadline) = slot.machine.as_ref().and_then(Machine::poll_timeout) else { return };
        if slot.paused {
            return;
        }
        // Not at once, or a machine with a deadline in the past would stop time.
        let at = slot.clock.when(deadline).max(self.now + Duration::from_micros(1));
        if at < slot.wake {
            slot.wake = at;
            self.queue.push(at, Due::Wake(node.0));
        }
    }

    fn send(&mut self, from: Addr, to: Addr, len: usize, label: &'static str, watch: &mut impl Watch<M>) {
        let at = self.now;
        let receiver = self.places.receiver(to);
        let to = receiver.unwrap_or(to);
        let datagram = Datagram { at: at.since(Instant::ORIGIN), from, to, payload: &self.buffer[..len], label };
        watch.sent(&datagram);
        self.counters.datagrams += 1;
        self.counters.bytes += len as u64;
        let traffic = &mut self.slots[from.index()].traffic;
        traffic.sent += 1;
        traffic.bytes_sent += len as u64;
        traffic.largest = traffic.largest.max(len);

        let fate = self.network.judge(at, &datagram);
        self.trace.mix(at, [fate.content, u64::from(from.0) << 32 | u64::from(to.0)]);
        let kind = match fate.lost {
            Some(Cause::Exact) => Kind::Action,
            Some(_) => Kind::Lost,
            None => Kind::Sent,
        };
        self.trace.line(at, kind, |line| {
            write!(line, "{from} sends {label} to {to}, {len} bytes, {:016x}", fate.content)?;
            if let Some(occurrence) = fate.occurrence {
                write!(line, " #{occurrence}")?;
            }
            match fate.lost {
                Some(Cause::Loss) => write!(line, ": LOST"),
                Some(Cause::Burst) => write!(line, ": LOST in a burst"),
                Some(Cause::Cut) => write!(line, ": LOST, cut"),
                Some(Cause::Narrow) => write!(line, ": LOST, too long for the path"),
                Some(Cause::Exact) => write!(line, ": LOST, as told"),
                Some(Cause::Rule) => write!(line, ": LOST by a rule"),
                None if fate.flip.is_some() => write!(line, ": DAMAGED"),
                None if fate.copy.is_some() => write!(line, ": DUPLICATED"),
                None => Ok(()),
            }
        });
        if (fate.lost.is_some() || fate.flip.is_some())
            && let (Some(losses), Some(occurrence)) = (&mut self.losses, fate.occurrence)
        {
            losses.push(Lost { from, to, content: fate.content, occurrence });
        }
        match fate.lost {
            Some(Cause::Loss) => self.counters.lost += 1,
            Some(Cause::Burst) => self.counters.lost_in_burst += 1,
            Some(Cause::Cut) => self.counters.blocked += 1,
            Some(Cause::Narrow) => self.counters.lost_by_length += 1,
            Some(Cause::Rule) => self.counters.lost_by_rule += 1,
            Some(Cause::Exact) => {
                self.counters.lost_exactly += 1;
                self.last_fault = at;
            }
            None => {}
        }
        if fate.lost.is_some() || to.index() >= self.slots.len() {
            return;
        }
        if receiver.is_none() {
            self.counters.to_nobody += 1;
            return;
        }
        self.counters.delayed += u64::from(fate.delayed);
        self.fly(from, to, len, label, fate.latency, fate.flip);
        if let Some(later) = fate.copy {
            self.counters.duplicated += 1;
            self.fly(from, to, len, label, later, None);
        }
    }

    fn fly(&mut self, from: Addr, to: Addr, len: usize, label: &'static str, latency: u64, flip: Option<u64>) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.flights.push(Flight { from: 0, seen: from, to: 0, label: "", payload: Vec::new() });
            u32::try_from(self.flights.len() - 1).expect("fewer than 2^32 datagrams fit into memory")
        });
        let flight = &mut self.flights[number as usize];
        (flight.from, flight.to, flight.label) = (from.0, to.0, label);
        flight.seen = self.places.seen(from);
        flight.payload.clear();
        flight.payload.extend_from_slice(&self.buffer[..len]);
        if let Some(bits) = flip {
            damage(&mut flight.payload, bits);
            self.counters.corrupted += 1;
        }
        let at = self.now + Duration::from_micros(latency);
        if !self.arrivals.is_empty() {
            let last = &mut self.arrivals[from.index() * self.slots.len() + to.index()];
            self.counters.reordered += u64::from(at.as_micros() < *last);
            *last = (*last).max(at.as_micros());
        }
        self.queue.push(at, Due::Arrival(number));
    }

    /// Starts a process where none runs; whether with memory, which there must be, and the machine must make use of.
    fn boot(&mut self, node: Addr, memory: bool, watch: &mut impl Watch<M>) -> bool {
        let slot = &mut self.slots[node.index()];
        let memory = if memory { slot.memory.take() } else { None };
        slot.boots += 1;
        (slot.paused, slot.wake) = (false, Instant::MAX);
        let boot = Boot {
            addr: self.places.told(node),
            id: slot.id,
            nodes: &self.present,
            seeds: &self.seeds,
            seed: fold([self.seed, u64::from(node.0), u64::from(slot.boots)]),
            config: slot.config.as_ref().unwrap_or(&self.config),
            now: slot.clock.read(self.now),
            wall: slot.clock.wall(self.now),
        };
        let memory = memory.filter(|memory| M::remembers(&boot, memory));
        let remembers = memory.is_some();
        watch.started(node, remembers);
        self.trace.line(self.now, Kind::Action, |line| match slot.id {
            id if id == node => write!(line, "{node} starts {} memory", if remembers { "with" } else { "without" }),
            id => write!(line, "{node} starts with the id of {id}"),
        });
        slot.machine = Some(M::boot(&boot, memory));
        self.drain(node, watch);
        remembers
    }

    fn crash(&mut self, node: Addr) -> bool {
        let slot = &mut self.slots[node.index()];
        self.free.extend(slot.backlog.drain(..));
        slot.paused = false;
        let Some(machine) = slot.machine.take() else { return false };
        slot.memory = Some(machine.into_memory());
        true
    }
}
