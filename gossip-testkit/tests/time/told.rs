//! An invariant: in the end those whose clock is wrong say so, and nobody else, as far as most of the clocks tell.

use std::time::Duration;

use gossip_core::{Config, Node, Problem};
use gossip_testkit::invariant::{Invariant, Violation, World};
use gossip_testkit::{Addr, Fault};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Told {
    /// `lifetimes.max_ahead`, in microseconds.
    bound: u64,
    /// True if all are told as they should be.
    content: bool,
}

/// Microseconds by which readings may be wrong: half a round trip, and what a clock drifts between two.
const SLACK: u64 = 1_500_000;

impl Told {
    pub(crate) fn new(config: &Config) -> Self {
        Self { bound: config.lifetimes.max_ahead.as_micros() as u64, content: false }
    }
}

/// Microseconds by which a node's wall clock is ahead.
fn ahead(world: &World<'_, Node<Addr>>, of: Addr) -> i64 {
    let now = Duration::from_micros(world.now().as_micros());
    let skew = world.plan().faults.iter().find_map(|fault| match fault {
        Fault::Skew { node, during, offset, drift_ppm, .. }
            if *node == of && during.from <= now && during.to.is_none_or(|to| now < to) =>
        {
            let drifted = (now - during.from).as_micros() as i64 * i64::from(*drift_ppm) / 1_000_000;
            Some(offset + drifted)
        }
        _ => None,
    });
    skew.unwrap_or_default()
}

impl Invariant<Node<Addr>> for Told {
    fn name(&self) -> &'static str {
        "clocks: who is wrong says so, and nobody else"
    }

    fn checkpoint(&mut self, world: &World<'_, Node<Addr>>) -> Result<(), Violation> {
        if !world.is_quiet() {
            return Ok(());
        }
        // A node that has heard nobody for long probes slowly at first, and hears others' clocks as slowly.
        let wrong = self.wrong(world);
        self.content = wrong.is_none();
        wrong.filter(|_| world.now() >= world.deadline()).map_or(Ok(()), |wrong| Err(Violation::new(wrong)))
    }

    fn satisfied(&self) -> bool {
        self.content
    }
}

impl Told {
    /// Returns who is told wrongly, or not told.
    fn wrong(&self, world: &World<'_, Node<Addr>>) -> Option<String> {
        for group in world.groups().iter().filter(|group| group.len() > 2) {
            let clocks: Vec<i64> = group.iter().map(|(node, _)| ahead(world, *node)).collect();
            let within = |of: i64, bound: u64| clocks.iter().filter(|clock| clock.abs_diff(of) <= bound).count();
            // Clocks around which most others are, so close that each of them counts as right.
            let right: Vec<i64> =
                clocks.iter().copied().filter(|clock| 3 * within(*clock, self.bound / 4) >= 2 * clocks.len()).collect();
            for ((node, machine), clock) in group.iter().zip(&clocks) {
                let Some(nearest) = right.iter().map(|right| right.abs_diff(*clock)).min() else { continue };
                let problems = machine.health(world.reading(*node));
                let told = problems.iter().any(|alert| matches!(alert.problem, Problem::ClockWrong { .. }));
                let alone = 3 * within(*clock, self.bound + SLACK) <= clocks.len();
                if nearest > self.bound + self.bound / 4 + SLACK && alone && !told {
                    return Some(format!("node {node} is {clock} us ahead of {clocks:?} and is not told"));
                }
                if nearest == 0 && told {
                    return Some(format!("node {node}, at {clock} us of {clocks:?}, is told that it is wrong"));
                }
            }
        }
        None
    }
}
