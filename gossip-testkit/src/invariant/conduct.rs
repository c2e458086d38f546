//! Conduct of a machine towards its network and its driver.

use std::mem;
use std::time::Duration;

use gossip_core::Instant;

use super::{Invariant, Violation, World};
use crate::address::Addr;
use crate::machine::{Machine, Note};
use crate::plan::Fault;
use crate::sim::Datagram;

/// Every datagram is within the budget.
#[derive(Debug)]
pub struct DatagramBudget {
    most: usize,
}

impl DatagramBudget {
    /// None is larger than `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { most }
    }
}

impl<M: Machine> Invariant<M> for DatagramBudget {
    fn name(&self) -> &'static str {
        "every datagram is within the budget"
    }

    fn sent(&mut self, datagram: &Datagram<'_>) -> Result<(), Violation> {
        let (len, most) = (datagram.payload.len(), self.most);
        if len <= most {
            return Ok(());
        }
        let Datagram { from, to, label, .. } = datagram;
        Err(Violation::new(format!("node {from} sent {to} {label} of {len} bytes, at most {most} are allowed")))
    }

    fn checkpoint(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        for fault in &world.plan().faults {
            let Fault::Shorten { node, .. } = fault else { continue };
            let (len, most) = (world.traffic(*node).largest, world.simulator.longest(*node));
            if len > most {
                return Err(Violation::new(format!("node {node} sent {len} bytes, at most {most} are allowed to it")));
            }
        }
        Ok(())
    }
}

/// No process makes use of a damaged memory: it starts without one, and catches up.
#[derive(Debug)]
pub struct DamageRefused;

impl<M: Machine> Invariant<M> for DamageRefused {
    fn name(&self) -> &'static str {
        "a damaged memory is refused"
    }

    fn stepped(&mut self, world: &World<'_, M>, _node: Addr) -> Result<(), Violation> {
        match world.simulator.counters.damage_taken {
            0 => Ok(()),
            taken => Err(Violation::new(format!("{taken} of the processes whose memory was damaged made use of it"))),
        }
    }
}

/// A machine that has not left has a deadline, and not one that is always past: a node that waits without a timer can
/// fall silent for ever.
#[derive(Debug, Default)]
pub struct PendingDeadline {
    /// Per node, since when and how often its deadline has been past after it was called.
    past: Vec<(Instant, u32)>,
}

impl<M: Machine> Invariant<M> for PendingDeadline {
    fn name(&self) -> &'static str {
        "a deadline is pending in every state"
    }

    fn stepped(&mut self, world: &World<'_, M>, node: Addr) -> Result<(), Violation> {
        let Some(machine) = world.machine(node) else { return Ok(()) };
        let Some(deadline) = machine.poll_timeout() else {
            if machine.has_left() {
                return Ok(());
            }
            return Err(Violation::new(format!("node {node} has no deadline and has not left")));
        };
        if self.past.len() <= node.index() {
            self.past.resize(node.index() + 1, (Instant::ORIGIN, 0));
        }
        let (since, times) = &mut self.past[node.index()];
        if deadline > world.reading(node) {
            *times = 0;
        } else {
            if *times == 0 {
                *since = world.now();
            }
            *times += 1;
            // A hundred wake-ups within ten milliseconds are a driver that spins.
            if *times > 100 && world.now().since(*since) < Duration::from_millis(10) {
                return Err(Violation::new(format!("node {node} has a deadline that is past whatever is done")));
            }
        }
        Ok(())
    }
}

/// A machine holds no more than the nodes and the commands so far account for.
#[derive(Debug)]
pub struct BoundedMemory;

impl<M: Machine> Invariant<M> for BoundedMemory {
    fn name(&self) -> &'static str {
        "memory is bounded"
    }

    fn checkpoint(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        let members = world.nodes().len() + world.plan().guests().count();
        let most = world.expectations().held_per_item * (members + world.commands() as usize);
        for (node, machine) in world.live() {
            if let Some(held) = machine.held()
                && held > most
            {
                return Err(Violation::new(format!(
                    "node {node} holds {held} items, at most {most} are accounted for"
                )));
            }
        }
        Ok(())
    }
}

/// A cluster that agrees sends no more than it takes to find out that it does. Measured where nothing is lost for ever and
/// the run [goes on](crate::Checker::settle) for long enough; [`Counters::silences`](crate::Counters::silences) says where.
#[derive(Debug, Default)]
pub struct Silence {
    /// Time at which a member was last seen to change: that is something to do, though all may agree on what they hold.
    changed: Instant,
    before: Option<(Instant, u64, u64)>,
    /// Paths that were compared: that is something to do, too, but not for ever.
    compared: u64,
    /// Times at which a comparison let the measurement begin anew, for each pair of nodes at most one.
    begun_anew: usize,
}

/// Periods for cooling: what is hot when the nodes first agree, or when somebody was seen to change, may cool for so long.
const COOLING: u32 = 10;
/// A mean over fewer periods says nothing.
const SHORTEST: f64 = 5.0;

impl Silence {
    fn sent<M: Machine>(world: &World<'_, M>) -> (u64, u64) {
        world
            .live()
            .map(|(node, _)| world.traffic(node))
            .fold((0, 0), |(datagrams, bytes), traffic| (datagrams + traffic.sent, bytes + traffic.bytes_sent))
    }

    /// Returns true if somebody has begun to compare a path since this was asked last, and that is not excused yet.
    fn compares<M: Machine>(&mut self, world: &World<'_, M>) -> bool {
        let compared = world.live().map(|(_, machine)| machine.paths_compared()).sum();
        let before = mem::replace(&mut self.compared, compared);
        let nodes = world.nodes().len();
        let excused = compared > before && self.begun_anew < nodes * nodes.saturating_sub(1);
        self.begun_anew += usize::from(excused);
        excused
    }
}

impl<M: Machine> Invariant<M> for Silence {
    fn name(&self) -> &'static str {
        "silence when idle"
    }

    fn event(&mut self, at: Instant, _node: Addr, event: &M::Event) -> Result<(), Violation> {
        if matches!(M::note(event), Note::Member { .. }) {
            (self.changed, self.before) = (at, None);
        }
        Ok(())
    }

    fn checkpoint(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        if self.compares(world) {
            (self.changed, self.before) = (world.now(), None);
        }
        // Where paths have become longer each node measures that twice to each of the others, which it pings in turn.
        let far = !world.plan().lasting_distance().is_zero();
        let cooling = if far { COOLING + 2 * world.nodes().len() as u32 } else { COOLING };
        let cool = |since: Instant| world.now().since(since) >= cooling * world.expectations().period;
        let settled = world.settled().is_some_and(|at| cool(at.max(self.changed)));
        if !settled {
            self.before = None;
        } else if self.before.is_none() {
            let (datagrams, bytes) = Self::sent(world);
            self.before = Some((world.now(), datagrams, bytes));
        }
        Ok(())
    }

    fn finished(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        let (Some((since, datagrams, bytes)), Some(idle)) = (self.before, world.expectations().idle) else {
            return Ok(());
        };
        let periods = world.now().since(since).as_secs_f64() / world.expectations().period.as_secs_f64();
        let (datagrams_now, bytes_now) = Self::sent(world);
        let share = periods * world.live().count() as f64;
        // Who has crashed or left since is not counted any more.
        let sent = |now: u64, then: u64| now.saturating_sub(then) as f64 / share;
        let (datagrams, bytes) = (sent(datagrams_now, datagrams), sent(bytes_now, bytes));
        // A cluster with losses has to repeat things.
        if world.plan().lasting_loss().as_ppm() > 0 || share <= 0.0 || periods < SHORTEST || self.compares(world) {
            return Ok(());
        }
        world.facts.silent.set(true);
        if datagrams > idle.datagrams || bytes > idle.bytes {
            return Err(Violation::new(format!(
                "with nothing to do, {datagrams:.2} datagrams and {bytes:.0} bytes per node and period are sent; \
                 {:.2} and {:.0} are allowed",
                idle.datagrams, idle.bytes
            )));
        }
        Ok(())
    }
}
