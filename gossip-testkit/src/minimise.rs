//! From a scenario that fails to a small one that fails in the same way.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002): first on faults, writes and nodes as they are; then what loses
//! datagrams by chance is rewritten as the list of those it lost, known by content, and that list is made smaller.
//! Knows scenarios and whether they fail; nothing of what is wrong with them.

use crate::check::{Checker, Found, Keep};
use crate::machine::Machine;
use crate::plan::Fault;
use crate::scenario::Scenario;

/// Lists of lost datagrams longer than this are not worth the runs.
const MOST_LOSSES: usize = 20_000;

struct Search<'a, M: Machine> {
    checker: &'a Checker<M>,
    invariant: &'static str,
    runs: u32,
    most: u32,
}

/// The smallest scenario found, and after how many runs.
pub(crate) fn minimise<M: Machine>(
    checker: &Checker<M>,
    scenario: &Scenario<M::Command>,
    invariant: &'static str,
    most: u32,
) -> (Scenario<M::Command>, u32) {
    let mut search = Search { checker, invariant, runs: 0, most };
    let mut smallest = search.reduce(scenario.clone());
    if let Some(exact) = search.concretise(&smallest) {
        // What can be told by single datagrams is told by them, even if it takes more lines.
        smallest = search.reduce(exact);
    }
    (smallest, search.runs)
}

impl<M: Machine> Search<'_, M> {
    fn fails(&mut self, scenario: &Scenario<M::Command>) -> bool {
        if self.runs >= self.most {
            return false;
        }
        self.runs += 1;
        matches!(
            self.checker.attempt(scenario, Keep::Nothing).result,
            Err(Found { invariant, .. }) if invariant == self.invariant
        )
    }

    /// Faults, then writes, then nodes, until nothing more can go.
    fn reduce(&mut self, mut scenario: Scenario<M::Command>) -> Scenario<M::Command> {
        loop {
            let before = size(&scenario);
            let faults = std::mem::take(&mut scenario.plan.faults);
            scenario.plan.faults = ddmin(faults, |faults| {
                let mut candidate = scenario.clone();
                candidate.plan.faults = faults.to_vec();
                self.fails(&candidate)
            });
            let writes = std::mem::take(&mut scenario.writes);
            scenario.writes = ddmin(writes, |writes| {
                let mut candidate = scenario.clone();
                candidate.writes = writes.to_vec();
                self.fails(&candidate)
            });
            for node in scenario.nodes.clone().into_iter().rev() {
                if scenario.nodes.len() > 1 {
                    let candidate = scenario.without(node);
                    if self.fails(&candidate) {
                        scenario = candidate;
                    }
                }
            }
            self.simplify(&mut scenario);
            if size(&scenario) == before || self.runs >= self.most {
                return scenario;
            }
        }
    }

    /// A crash without a restart says less than one with.
    fn simplify(&mut self, scenario: &mut Scenario<M::Command>) {
        for at in 0..scenario.plan.faults.len() {
            if let Fault::Crash { node, at: when, restart: Some(_) } = scenario.plan.faults[at] {
                let mut candidate = scenario.clone();
                candidate.plan.faults[at] = Fault::Crash { node, at: when, restart: None };
                if self.fails(&candidate) {
                    *scenario = candidate;
                }
            }
        }
    }

    /// What loses by chance, or by a cut, as the list of what was lost. None if there is nothing of the kind, or the
    /// list alone does not make it fail.
    fn concretise(&mut self, scenario: &Scenario<M::Command>) -> Option<Scenario<M::Command>> {
        if !scenario.plan.faults.iter().any(Fault::loses) {
            return None;
        }
        let outcome = self.checker.attempt(scenario, Keep::Losses);
        self.runs += 1;
        if outcome.losses.is_empty() || outcome.losses.len() > MOST_LOSSES {
            return None;
        }
        let mut exact = scenario.clone();
        exact.plan.faults.retain(|fault| !fault.loses() && !matches!(fault, Fault::LoseExactly { .. }));
        exact.plan.faults.extend(outcome.losses.iter().map(|lost| Fault::LoseExactly {
            from: lost.from,
            to: lost.to,
            content: lost.content,
            occurrence: lost.occurrence,
        }));
        self.fails(&exact).then_some(exact)
    }
}

fn size<C>(scenario: &Scenario<C>) -> (usize, usize, usize) {
    (scenario.plan.faults.len(), scenario.writes.len(), scenario.nodes.len())
}

/// A part of `items` of which `fails` holds and no element of which can be left out, given that it holds of all.
fn ddmin<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    if items.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut parts = 2;
    while items.len() > 1 {
        let size = items.len().div_ceil(parts);
        let chunks: Vec<(usize, usize)> =
            (0..items.len()).step_by(size).map(|from| (from, (from + size).min(items.len()))).collect();
        if let Some(&(from, to)) = chunks.iter().find(|&&(from, to)| fails(&items[from..to])) {
            items = items[from..to].to_vec();
            parts = 2;
            continue;
        }
        let rest = chunks.iter().find_map(|&(from, to)| {
            let rest = [&items[..from], &items[to..]].concat();
            (chunks.len() > 2 && fails(&rest)).then_some(rest)
        });
        match rest {
            Some(rest) => {
                items = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::ddmin;

    #[test]
    fn what_is_needed_remains_and_nothing_else() {
        for needed in [vec![], vec![7], vec![0, 99], vec![3, 4, 50], (0..100).step_by(9).collect::<Vec<u32>>()] {
            let mut runs = 0;
            let left = ddmin((0..100).collect(), |items: &[u32]| {
                runs += 1;
                needed.iter().all(|n| items.contains(n))
            });
            assert_eq!(left, needed);
            assert!(runs < 1_000, "{runs} runs");
        }
    }
}
