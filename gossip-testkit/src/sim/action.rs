//! Actions planned for a certain time: starts, commands and faults.

use std::fmt::Write as _;

use gossip_core::Instant;

use super::story::Kind;
use super::{Simulator, Watch};
use crate::address::Addr;
use crate::coin::fold;
use crate::machine::Machine;
use crate::plan::{Damage, Fault, Harm};

/// Something planned.
#[derive(Debug, Clone)]
pub(crate) enum Action<C> {
    /// A process starts, unless one runs.
    Boot { node: Addr, memory: bool },
    /// A process starts with what is left of a damaged memory, unless one runs.
    BootDamaged { node: Addr, harm: Harm },
    /// A node has another address from now on, or its own again.
    Move { node: Addr, to: Option<Addr>, restarts: bool },
    /// A process ends, and one starts that is told another address, or its own again.
    Misplace { node: Addr, at: Option<Addr> },
    /// A process dies.
    Crash(Addr),
    /// A process dies, and one that has this id takes its place, without memory.
    Replace { node: Addr, id: Addr },
    /// A process stands still.
    Pause(Addr),
    /// It goes on.
    Resume(Addr),
    /// A clock is off and drifts from now on.
    Skew { node: Addr, offset: i64, drift_ppm: i32 },
    /// A user says something.
    Command { node: Addr, command: C },
    /// A fault of the network begins.
    Begin { id: u32, fault: Fault },
    /// It ends.
    End { id: u32 },
}

/// Distinguishes the bits of a damage from others.
const DAMAGE: u64 = 0x6461_6d61;

impl<M: Machine> Simulator<M> {
    /// Starts a process, and counts it if it is not the node's first. Returns whether it made use of a memory.
    fn start(&mut self, node: Addr, memory: bool, watch: &mut impl Watch<M>) -> bool {
        let again = self.boots(node) > 0;
        let memory = self.boot(node, memory, watch);
        let counters = &mut self.counters;
        *(if memory { &mut counters.restarts_with_memory } else { &mut counters.restarts_without_memory }) +=
            u64::from(again);
        memory
    }

    /// Damages the memory of a node. Returns whether there was any.
    fn damage(&mut self, node: Addr, damage: Damage) -> bool {
        let memory = self.slots[node.index()].memory.take();
        let found = memory.is_some();
        self.slots[node.index()].memory = memory.and_then(|memory| M::damaged(memory, damage));
        found
    }

    pub(crate) fn act(&mut self, action: Action<M::Command>, watch: &mut impl Watch<M>) -> Option<Addr> {
        let now = self.now;
        match action {
            Action::Boot { node, memory } => {
                if self.machine(node).is_none() {
                    self.start(node, memory, watch);
                }
                Some(node)
            }
            Action::BootDamaged { node, harm } => {
                if self.machine(node).is_none() {
                    let bits = fold([self.seed, u64::from(node.0), u64::from(self.boots(node)), DAMAGE]);
                    let found = self.damage(node, Damage { harm, bits });
                    let taken = self.start(node, true, watch);
                    self.counters.memories_damaged += u64::from(found);
                    self.counters.damage_taken += u64::from(found && taken);
                }
                Some(node)
            }
            Action::Move { node, to, restarts } => {
                self.trace.line(now, Kind::Action, |line| match to {
                    Some(to) => write!(line, "{node} has the address {to}"),
                    None => write!(line, "{node} has its own address again"),
                });
                self.counters.moves += u64::from(to.is_some());
                let ran = restarts && self.crash(node);
                self.places.move_to(node, to);
                if restarts {
                    self.places.tell(node, to);
                }
                if ran {
                    self.start(node, true, watch);
                }
                Some(node)
            }
            Action::Misplace { node, at } => {
                self.trace.line(now, Kind::Action, |line| match at {
                    Some(at) => write!(line, "{node} is told that its address is {at}"),
                    None => write!(line, "{node} is told its own address again"),
                });
                self.counters.misplaced += u64::from(at.is_some());
                self.places.tell(node, at);
                if self.crash(node) {
                    self.start(node, true, watch);
                }
                Some(node)
            }
            Action::Crash(node) => {
                self.trace.line(now, Kind::Action, |line| write!(line, "{node} crashes"));
                let crashed = self.crash(node);
                self.counters.crashes += u64::from(crashed);
                None
            }
            Action::Replace { node, id } => {
                self.crash(node);
                self.slots[node.index()].id = id;
                if node != id {
                    let guest = id.index() >= self.slots.len();
                    *(if guest { &mut self.counters.guests } else { &mut self.counters.twins }) += 1;
                    self.twins.push(node);
                }
                self.boot(node, false, watch);
                Some(node)
            }
            Action::Pause(node) => {
                self.trace.line(now, Kind::Action, |line| write!(line, "{node} stands still"));
                let slot = &mut self.slots[node.index()];
                self.counters.pauses += u64::from(slot.machine.is_some() && !slot.paused);
                slot.paused = slot.machine.is_some();
                None
            }
            Action::Resume(node) => {
                self.trace.line(now, Kind::Action, |line| write!(line, "{node} goes on"));
                self.resume(node, watch);
                Some(node)
            }
            Action::Skew { node, offset, drift_ppm } => {
                self.trace.line(now, Kind::Action, |line| {
                    write!(line, "the clock of {node} is {offset} us off and drifts by {drift_ppm} ppm")
                });
                self.slots[node.index()].clock.set(now, offset, drift_ppm);
                self.counters.skews += u64::from(offset != 0 || drift_ppm != 0);
                self.slots[node.index()].wake = Instant::MAX;
                self.schedule(node);
                None
            }
            Action::Command { node, command } => {
                // Nobody can talk to a process that is not there or stands still.
                if self.slots[node.index()].paused {
                    self.counters.commands_refused += 1;
                    self.trace
                        .line(now, Kind::Action, |line| write!(line, "{node} stands still and does not do {command}"));
                    return None;
                }
                let result = self.call(node, watch, |machine, now| machine.command(now, &command));
                let done = matches!(result, Some(Ok(())));
                if done {
                    watch.commanded(node, &command);
                }
                *(if done { &mut self.counters.commands } else { &mut self.counters.commands_refused }) += 1;
                self.trace.line(now, Kind::Action, |line| match result {
                    Some(Ok(())) => write!(line, "{node} did {command}"),
                    Some(Err(error)) => write!(line, "{node} refused {command}: {error}"),
                    None => write!(line, "{node} is not there for {command}"),
                });
                Some(node)
            }
            Action::Begin { id, fault } => {
                self.trace.line(now, Kind::Action, |line| write!(line, "begins: {fault}"));
                self.counters.cuts += u64::from(matches!(fault, Fault::Cut { .. }));
                self.counters.far += u64::from(matches!(fault, Fault::Far { .. }));
                self.network.begin(id, &fault);
                None
            }
            Action::End { id } => {
                self.network.end(id);
                None
            }
        }
    }

    fn resume(&mut self, node: Addr, watch: &mut impl Watch<M>) {
        let slot = &mut self.slots[node.index()];
        if !slot.paused {
            return;
        }
        slot.paused = false;
        // First the socket is read, then time is looked at, as a driver would.
        let backlog = std::mem::take(&mut slot.backlog);
        for flight in backlog {
            self.arrive(flight, watch);
        }
        // Also what it was told while it stood still, by whom nothing stops.
        self.slots[node.index()].wake = Instant::MAX;
        self.drain(node, watch);
    }
}
