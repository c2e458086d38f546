//! Simpler values for what a scenario still contains: small seeds, node numbers from 0, round times, small commands.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use super::{SEEDS, Search};
use crate::address::Addr;
use crate::machine::Machine;
use crate::plan::{Fault, Window};
use crate::scenario::{Scenario, Workload};

/// Windows shorter than this say no more.
const SHORTEST: Duration = Duration::from_millis(20);
/// Units to which times are rounded, the coarsest first.
const UNITS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(10)];

impl<M: Machine<Command: Workload + Display>> Search<'_, M> {
    /// Replaces faults, writers, seeds, node numbers, commands and times by simpler ones, in this order.
    pub(super) fn tidy(&mut self, scenario: &mut Scenario<M::Command>) {
        self.without_restarts(scenario);
        self.fewer_writers(scenario);
        self.small_seed(scenario);
        self.small_numbers(scenario);
        self.small_commands(scenario);
        self.round_times(scenario);
    }

    /// Replaces a fault and keeps the result if it still fails.
    fn replace(&mut self, scenario: &mut Scenario<M::Command>, at: usize, fault: Fault) -> bool {
        let mut candidate = scenario.clone();
        candidate.plan.faults[at] = fault;
        self.accept(scenario, candidate)
    }

    /// Replaces losses by chance with cuts, and makes windows as short as they can be.
    pub(super) fn make_certain(&mut self, scenario: &mut Scenario<M::Command>) {
        for at in 0..scenario.plan.faults.len() {
            if let Fault::Loss { on, during, .. }
            | Fault::Burst { on, during, .. }
            | Fault::Corrupt { on, during, .. } = &scenario.plan.faults[at]
            {
                let cut = Fault::Cut { on: on.clone(), both_ways: false, during: *during };
                self.replace(scenario, at, cut);
            }
            while let Some(window) = scenario.plan.faults[at].window()
                && let Some(to) = window.to
                && to.saturating_sub(window.from) > SHORTEST
            {
                let part = (to - window.from) / 3;
                let shorter = [Window::new(window.from + part, to), Window::new(window.from, to - part)];
                let shortened = shorter.into_iter().any(|window| {
                    let fault = scenario.plan.faults[at].clone().with_window(window);
                    self.replace(scenario, at, fault)
                });
                if !shortened {
                    break;
                }
            }
        }
    }

    /// Leaves out restarts: a crash without one says less than one with.
    fn without_restarts(&mut self, scenario: &mut Scenario<M::Command>) {
        for at in 0..scenario.plan.faults.len() {
            if let Fault::Crash { node, at: when, restart: Some(_) } = scenario.plan.faults[at] {
                self.replace(scenario, at, Fault::Crash { node, at: when, restart: None });
            }
        }
    }

    /// Lets one node do what two did, and at one time what was done at two.
    fn fewer_writers(&mut self, scenario: &mut Scenario<M::Command>) {
        for from in writers(scenario) {
            for to in writers(scenario).into_iter().filter(|&to| to < from) {
                let mut candidate = scenario.clone();
                candidate.writes.iter_mut().filter(|write| write.node == from).for_each(|write| write.node = to);
                if let Some(candidate) = self.fails_with_some_seed(&candidate) {
                    *scenario = candidate;
                    break;
                }
            }
        }
        for at in 1..scenario.writes.len() {
            let earlier = scenario.writes[at - 1].at;
            if scenario.writes[at].at != earlier {
                let mut candidate = scenario.clone();
                candidate.writes[at].at = earlier;
                self.accept(scenario, candidate);
            }
        }
    }

    /// Looks for a seed that a reader can remember.
    fn small_seed(&mut self, scenario: &mut Scenario<M::Command>) {
        if is_exact(scenario) {
            return;
        }
        for seed in 0..SEEDS.min(scenario.seed) {
            let candidate = Scenario { seed, ..scenario.clone() };
            if self.accept(scenario, candidate) {
                return;
            }
        }
    }

    /// Renumbers the nodes from 0. They make other random choices then, so several seeds are tried.
    fn small_numbers(&mut self, scenario: &mut Scenario<M::Command>) {
        let new: Vec<Addr> = (0..scenario.nodes.len() as u32).map(Addr).collect();
        if is_exact(scenario) || scenario.nodes == new {
            return;
        }
        let nodes = scenario.nodes.clone();
        let number = |old: Addr| Addr(nodes.binary_search(&old).expect("a scenario names its own nodes") as u32);
        let candidate = scenario.renumbered(number);
        let seeds = std::iter::once(scenario.seed).chain(0..2 * SEEDS);
        for seed in seeds {
            if self.accept(scenario, Scenario { seed, ..candidate.clone() }) {
                return;
            }
        }
    }

    /// Replaces each command by the first smaller one that still fails, again and again.
    fn small_commands(&mut self, scenario: &mut Scenario<M::Command>) {
        for at in 0..scenario.writes.len() {
            // An endless `shrink` ends with the runs; one that goes round in circles ends here.
            for _ in 0..32 {
                let smaller: Vec<M::Command> = scenario.writes[at].command.shrink().take(64).collect();
                let found = smaller.into_iter().any(|command| {
                    let mut candidate = scenario.clone();
                    candidate.writes[at].command = command;
                    self.accept(scenario, candidate)
                });
                if !found {
                    break;
                }
            }
        }
    }

    /// Rounds the times of writes and faults to the coarsest unit that still fails: first all, then one by one.
    fn round_times(&mut self, scenario: &mut Scenario<M::Command>) {
        for unit in UNITS {
            let mut candidate = scenario.clone();
            (0..candidate.writes.len()).for_each(|at| candidate.writes[at].at = down(candidate.writes[at].at, unit));
            candidate.plan.faults.iter_mut().for_each(|fault| *fault = rounded(fault, unit));
            let round = candidate.to_string() == scenario.to_string();
            if round || self.accept(scenario, candidate) {
                break;
            }
        }
        for at in 0..scenario.writes.len() {
            for unit in UNITS {
                let time = scenario.writes[at].at;
                let found = [down(time, unit), up(time, unit)].into_iter().any(|time| {
                    let mut candidate = scenario.clone();
                    let round = candidate.writes[at].at == time;
                    candidate.writes[at].at = time;
                    let sorted = candidate.writes.is_sorted_by_key(|write| write.at);
                    round || (sorted && self.accept(scenario, candidate))
                });
                if found {
                    break;
                }
            }
        }
        for at in 0..scenario.plan.faults.len() {
            for unit in UNITS {
                let fault = rounded(&scenario.plan.faults[at], unit);
                if fault == scenario.plan.faults[at] || self.replace(scenario, at, fault) {
                    break;
                }
            }
        }
    }
}

/// Returns true if the scenario names datagrams by their content, which another seed or number would change.
pub(super) fn is_exact<C>(scenario: &Scenario<C>) -> bool {
    scenario.plan.faults.iter().any(|fault| matches!(fault, Fault::LoseExactly { .. }))
}

pub(super) fn writers<C>(scenario: &Scenario<C>) -> BTreeSet<Addr> {
    scenario.writes.iter().map(|write| write.node).collect()
}

fn down(time: Duration, unit: Duration) -> Duration {
    let rest = time.as_micros() % unit.as_micros();
    time - Duration::from_micros(rest as u64)
}

fn up(time: Duration, unit: Duration) -> Duration {
    let whole = down(time, unit);
    if whole == time { time } else { whole + unit }
}

/// The fault with its beginning rounded down and its end rounded up: what it covered it still covers.
fn rounded(fault: &Fault, unit: Duration) -> Fault {
    match fault {
        Fault::Crash { node, at, restart } => {
            let restart = restart.map(|restart| crate::plan::Restart { at: up(restart.at, unit), ..restart });
            Fault::Crash { node: *node, at: down(*at, unit), restart }
        }
        Fault::Damage { node, at, restart, harm } => {
            Fault::Damage { node: *node, at: down(*at, unit), restart: up(*restart, unit), harm: *harm }
        }
        fault => match fault.window() {
            Some(Window { from, to }) => {
                let window = Window { from: down(from, unit), to: to.map(|to| up(to, unit)) };
                fault.clone().with_window(window)
            }
            None => fault.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_fault_covers_what_it_covered() {
        let millis = Duration::from_millis;
        let crash = "nodes 0-1; crash 1 at 3.25s restart at 7.5s with memory; pause 0 from 1.234s to 1.3s";
        let scenario: Scenario<String> = crash.parse().unwrap();
        let text = |fault: &Fault, unit| rounded(fault, unit).to_string();
        let [crash, pause] = &scenario.plan.faults[..] else { panic!("two faults") };
        assert_eq!(text(crash, millis(1_000)), "crash 1 at 3s restart at 8s with memory");
        assert_eq!(text(pause, millis(100)), "pause 0 from 1.2s to 1.3s");
        assert_eq!((down(millis(999), millis(10)), up(millis(999), millis(10))), (millis(990), millis(1_000)));
    }
}
