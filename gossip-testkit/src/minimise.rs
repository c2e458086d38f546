//! From a scenario that fails to a small one that fails in the same way.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002): first on faults, writes and nodes as they are; then what loses
//! datagrams is rewritten as the list of those it lost, known by content, and that list is made smaller. A list stands
//! in the way of leaving out nodes (their peers would send other datagrams), so chance is made certain first: a cut
//! does not care what is sent. Knows scenarios and whether they fail; nothing of what is wrong with them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::address::Addr;
use crate::machine::Machine;
use crate::plan::{Fault, Window};
use crate::scenario::Scenario;
use crate::trial::{Found, Keep, Trial};

/// Windows shorter than this say no more.
const SHORTEST: Duration = Duration::from_millis(20);
/// Lists of lost datagrams longer than this are not worth the runs.
const MOST_LOSSES: usize = 20_000;

struct Search<'a, M: Machine> {
    trial: &'a Trial<M>,
    invariant: &'static str,
    runs: u32,
    most: u32,
}

/// Fewer nodes make other random choices, and the right ones may be rare: so many seeds are tried.
const SEEDS: u64 = 8;
/// A list of lost datagrams may have so many more lines than what it stands for.
const LINES: usize = 4;

/// The smallest scenario found, and after how many runs.
pub(crate) fn minimise<M: Machine>(
    trial: &Trial<M>,
    scenario: &Scenario<M::Command>,
    invariant: &'static str,
    most: u32,
) -> (Scenario<M::Command>, u32) {
    let mut search = Search { trial, invariant, runs: 0, most };
    let mut smallest = scenario.clone();
    // What is left out first decides what can be left out later: both ways are gone, half of the runs for each.
    for (nodes_first, most) in [(false, most / 2), (true, most)] {
        search.most = most;
        let found = search.descend(scenario.clone(), nodes_first);
        if size(&found) < size(&smallest) {
            smallest = found;
        }
    }
    (smallest, search.runs)
}

impl<M: Machine> Search<'_, M> {
    /// Nothing once all the runs are spent.
    fn goes_on(&self) -> Option<()> {
        (self.runs < self.most).then_some(())
    }

    fn fails(&mut self, scenario: &Scenario<M::Command>) -> bool {
        if self.goes_on().is_none() {
            return false;
        }
        self.runs += 1;
        matches!(
            self.trial.attempt(scenario, Keep::Nothing).result,
            Err(Found { invariant, .. }) if invariant == self.invariant
        )
    }

    fn descend(&mut self, scenario: Scenario<M::Command>, nodes_first: bool) -> Scenario<M::Command> {
        let mut smallest = self.reduce(scenario, nodes_first);
        self.make_certain(&mut smallest);
        smallest = self.reduce(smallest, nodes_first);
        if let Some(exact) = self.concretise(&smallest) {
            let exact = self.reduce(exact, nodes_first);
            // Single datagrams tell more, unless there are many of them.
            if exact.plan.faults.len() <= smallest.plan.faults.len() + LINES {
                smallest = exact;
            }
        }
        smallest
    }

    /// Faults, then writes, then nodes, until nothing more can go.
    fn reduce(&mut self, mut scenario: Scenario<M::Command>, nodes_first: bool) -> Scenario<M::Command> {
        loop {
            let before = size(&scenario);
            if nodes_first {
                self.fewer_nodes(&mut scenario);
            }
            let faults = std::mem::take(&mut scenario.plan.faults);
            scenario.plan.faults = ddmin(faults, |faults| {
                self.goes_on()?;
                let mut candidate = scenario.clone();
                candidate.plan.faults = faults.to_vec();
                Some(self.fails(&candidate))
            });
            let writes = std::mem::take(&mut scenario.writes);
            scenario.writes = ddmin(writes, |writes| {
                self.goes_on()?;
                let mut candidate = scenario.clone();
                candidate.writes = writes.to_vec();
                Some(self.fails(&candidate))
            });
            self.fewer_nodes(&mut scenario);
            self.simplify(&mut scenario);
            if size(&scenario) == before || self.goes_on().is_none() {
                return scenario;
            }
        }
    }

    fn fewer_nodes(&mut self, scenario: &mut Scenario<M::Command>) {
        ddmin(scenario.nodes.clone(), |nodes| {
            self.goes_on()?;
            if nodes.is_empty() || nodes.len() >= scenario.nodes.len() {
                return Some(false);
            }
            let gone = scenario.nodes.iter().filter(|node| !nodes.contains(node));
            let candidate = gone.fold(scenario.clone(), |candidate, &node| candidate.without(node));
            let found = self.fails_with_some_seed(&candidate);
            Some(found.map(|candidate| *scenario = candidate).is_some())
        });
    }

    /// The scenario with the first seed that makes it fail.
    fn fails_with_some_seed(&mut self, scenario: &Scenario<M::Command>) -> Option<Scenario<M::Command>> {
        // Datagrams known by content are not those of another seed.
        let exact = scenario.plan.faults.iter().any(|fault| matches!(fault, Fault::LoseExactly { .. }));
        (0..if exact { 1 } else { SEEDS }).find_map(|more| {
            let mut candidate = scenario.clone();
            candidate.seed = scenario.seed.wrapping_add(more);
            self.fails(&candidate).then_some(candidate)
        })
    }

    /// Losses by chance as cuts, and windows as short as they can be.
    fn make_certain(&mut self, scenario: &mut Scenario<M::Command>) {
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

    fn replace(&mut self, scenario: &mut Scenario<M::Command>, at: usize, fault: Fault) -> bool {
        let mut candidate = scenario.clone();
        candidate.plan.faults[at] = fault;
        let fails = self.fails(&candidate);
        if fails {
            *scenario = candidate;
        }
        fails
    }

    /// A crash without a restart says less than one with; one writer less than two, one time less than two.
    fn simplify(&mut self, scenario: &mut Scenario<M::Command>) {
        for at in 0..scenario.plan.faults.len() {
            if let Fault::Crash { node, at: when, restart: Some(_) } = scenario.plan.faults[at] {
                self.replace(scenario, at, Fault::Crash { node, at: when, restart: None });
            }
        }
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
                if self.fails(&candidate) {
                    *scenario = candidate;
                }
            }
        }
    }

    /// What loses by chance, or by a cut, as the list of what was lost. None if there is nothing of the kind, or the
    /// list alone does not make it fail.
    fn concretise(&mut self, scenario: &Scenario<M::Command>) -> Option<Scenario<M::Command>> {
        self.goes_on()?;
        if !scenario.plan.faults.iter().any(Fault::loses) {
            return None;
        }
        let outcome = self.trial.attempt(scenario, Keep::Losses);
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

/// What a reader has to read; then what there is to understand.
fn size<C>(scenario: &Scenario<C>) -> (usize, usize) {
    let lines = scenario.plan.faults.len() + scenario.writes.len() + scenario.nodes.len();
    let times = scenario.writes.windows(2).filter(|pair| pair[0].at != pair[1].at).count();
    (lines, writers(scenario).len() + times + scenario.plan.faults.iter().filter(|fault| fault.is_vague()).count())
}

fn writers<C>(scenario: &Scenario<C>) -> BTreeSet<Addr> {
    scenario.writes.iter().map(|write| write.node).collect()
}

/// A part of `items` of which `fails` holds and no element of which can be left out, given that it holds of all. What is
/// left so far as soon as `fails` has no answer any more: copying long lists takes time, too.
fn ddmin<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> Option<bool>) -> Vec<T> {
    if items.is_empty() {
        return items;
    }
    match fails(&[]) {
        Some(true) => return Vec::new(),
        Some(false) => {}
        None => return items,
    }
    let mut parts = 2;
    while items.len() > 1 {
        match smaller(&items, parts, &mut fails) {
            None => break,
            Some(Some((part, of))) => (items, parts) = (part, of),
            Some(None) if parts >= items.len() => break,
            Some(None) => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

/// One of so many parts of `items`, or what is left without one of them, that fails, and in how many parts to cut that.
fn smaller<T: Clone>(
    items: &[T],
    parts: usize,
    fails: &mut impl FnMut(&[T]) -> Option<bool>,
) -> Option<Option<(Vec<T>, usize)>> {
    let size = items.len().div_ceil(parts);
    for chunk in items.chunks(size) {
        if fails(chunk)? {
            return Some(Some((chunk.to_vec(), 2)));
        }
    }
    for from in (0..items.len()).step_by(size).filter(|_| items.len() > 2 * size) {
        let rest = [&items[..from], &items[(from + size).min(items.len())..]].concat();
        if fails(&rest)? {
            return Some(Some((rest, (parts - 1).max(2))));
        }
    }
    Some(None)
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
                Some(needed.iter().all(|n| items.contains(n)))
            });
            assert_eq!(left, needed);
            assert!(runs < 1_000, "{runs} runs");
        }
    }

    #[test]
    fn once_there_is_no_answer_any_more_nothing_is_asked() {
        for most in 0..40 {
            let mut runs = 0;
            let left = ddmin((0..100).collect(), |items: &[u32]| {
                assert!(runs <= most, "it has had its answer");
                runs += 1;
                (runs <= most).then(|| [3, 50].iter().all(|n| items.contains(n)))
            });
            assert!([3, 50].iter().all(|n| left.contains(n)));
        }
    }
}
