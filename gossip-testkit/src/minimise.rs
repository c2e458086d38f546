//! From a scenario that fails to a small one that fails in the same way.
//!
//! Delta debugging first on faults, writes and nodes as they are. Then what loses datagrams is rewritten as the list of
//! those it lost, known by content, and that list is made smaller. A list stands in the way of leaving out nodes (their
//! peers would send other datagrams), so chance is made certain first: a cut does not care what is sent. Values are
//! simplified on the way: commands, times, seeds, node numbers. In the end no single element and no pair of elements
//! (faults, writes, nodes) can be left out. Knows scenarios and whether they fail; nothing of the reason.

mod ddmin;
mod tidy;

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::address::Addr;
use crate::coin::content;
use crate::machine::Machine;
use crate::plan::Fault;
use crate::scenario::{Scenario, Workload};
use crate::trial::{Found, Keep, Trial};
use ddmin::ddmin;
use tidy::{is_exact, writers};

/// Lists of lost datagrams longer than this are not worth the runs.
const MOST_LOSSES: usize = 20_000;
/// Seeds tried where something is left out that changes everybody's random choices: the right ones may be rare.
const SEEDS: u64 = 8;
/// Lines by which a list of lost datagrams may be longer than the fault that it replaces.
const LINES: usize = 4;
/// Elements of which all pairs are tried: 496 pairs.
const MOST_IN_PAIRS: usize = 32;
/// A scenario of so few lines is not looked for in another way.
const FEW_LINES: usize = 4;
/// Steps that a smaller scenario may take for each of the one to be minimised, and beside them: a node that is left out of
/// an absence of all is awake for the 30 days of it, and such a run takes as long as a million others.
const TIMES_AS_LONG: u64 = 10;
const STEPS: u64 = 100_000;

struct Search<'a, M: Machine> {
    trial: &'a Trial<M>,
    invariant: &'static str,
    runs: u32,
    most: u32,
    /// Steps after which a run has not failed.
    steps: u64,
    /// Results by a hash of the scenario's text: passes are repeated until nothing changes, and meet the same candidates again.
    known: BTreeMap<u64, bool>,
}

/// One thing that can be left out of a scenario.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Element {
    Fault(usize),
    Write(usize),
    Node(Addr),
}

/// Returns the smallest scenario found, and the number of runs spent.
pub(crate) fn minimise<M: Machine<Command: Workload + Display>>(
    trial: &Trial<M>,
    scenario: &Scenario<M::Command>,
    invariant: &'static str,
    most: u32,
) -> (Scenario<M::Command>, u32) {
    let steps = STEPS + TIMES_AS_LONG.saturating_mul(trial.attempt(scenario, Keep::Nothing).steps);
    let mut search = Search { trial, invariant, runs: 0, most, steps, known: BTreeMap::new() };
    let mut smallest = scenario.clone();
    // What is left out first decides what can be left out later, so two orders are tried, with half of the runs each.
    for (nodes_first, most) in [(true, most / 2), (false, most)] {
        search.most = most;
        let found = search.descend(scenario.clone(), nodes_first);
        if size(&found) < size(&smallest) {
            smallest = found;
        }
        if size(&smallest).0 <= FEW_LINES {
            break;
        }
    }
    search.most = most;
    (smallest, search.runs)
}

impl<M: Machine<Command: Workload + Display>> Search<'_, M> {
    /// None once all the runs are spent.
    fn goes_on(&self) -> Option<()> {
        (self.runs < self.most).then_some(())
    }

    fn fails(&mut self, scenario: &Scenario<M::Command>) -> bool {
        let text = content(scenario.to_string().as_bytes());
        if let Some(&fails) = self.known.get(&text) {
            return fails;
        }
        if self.goes_on().is_none() {
            return false;
        }
        self.runs += 1;
        let fails = matches!(
            self.trial.attempt_within(self.steps, scenario, Keep::Nothing).result,
            Err(Found { invariant, .. }) if invariant == self.invariant
        );
        self.known.insert(text, fails);
        fails
    }

    /// Replaces the scenario by a candidate if that fails.
    fn accept(&mut self, scenario: &mut Scenario<M::Command>, candidate: Scenario<M::Command>) -> bool {
        let fails = self.fails(&candidate);
        if fails {
            *scenario = candidate;
        }
        fails
    }

    fn descend(&mut self, scenario: Scenario<M::Command>, nodes_first: bool) -> Scenario<M::Command> {
        let mut smallest = self.reduce(scenario, nodes_first);
        self.make_certain(&mut smallest);
        smallest = self.finish(smallest, nodes_first);
        if let Some(exact) = self.concretise(&smallest) {
            let exact = self.finish(exact, nodes_first);
            // Single datagrams tell more, unless there are many of them.
            if exact.plan.faults.len() <= smallest.plan.faults.len() + LINES {
                smallest = exact;
            }
        }
        smallest
    }

    /// Leaves out faults, writes and nodes and simplifies the rest, until nothing changes.
    fn reduce(&mut self, mut scenario: Scenario<M::Command>, nodes_first: bool) -> Scenario<M::Command> {
        loop {
            let before = size(&scenario);
            if nodes_first {
                self.fewer_nodes(&mut scenario);
            }
            self.fewer_faults(&mut scenario);
            let writes = std::mem::take(&mut scenario.writes);
            scenario.writes = ddmin(writes, |writes| {
                self.goes_on()?;
                let mut candidate = scenario.clone();
                candidate.writes = writes.to_vec();
                Some(self.fails(&candidate))
            });
            self.fewer_nodes(&mut scenario);
            self.tidy(&mut scenario);
            if size(&scenario) >= before || self.goes_on().is_none() {
                return scenario;
            }
        }
    }

    /// Reduces until no single element and no pair of elements can be left out.
    fn finish(&mut self, mut scenario: Scenario<M::Command>, nodes_first: bool) -> Scenario<M::Command> {
        loop {
            scenario = self.reduce(scenario, nodes_first);
            if !self.fewer_pairs(&mut scenario) {
                return scenario;
            }
        }
    }

    /// Leaves out faults: with the same seed in parts, then one by one with other seeds. A fault that has nothing to do
    /// with the failure still changes when datagrams are sent.
    fn fewer_faults(&mut self, scenario: &mut Scenario<M::Command>) {
        let faults = std::mem::take(&mut scenario.plan.faults);
        scenario.plan.faults = ddmin(faults, |faults| {
            self.goes_on()?;
            let mut candidate = scenario.clone();
            candidate.plan.faults = faults.to_vec();
            Some(self.fails(&candidate))
        });
        if is_exact(scenario) {
            return;
        }
        for at in (0..scenario.plan.faults.len()).rev() {
            let mut candidate = scenario.clone();
            candidate.plan.faults.remove(at);
            if let Some(candidate) = self.fails_with_some_seed(&candidate) {
                *scenario = candidate;
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

    /// Leaves out the first single element or pair of elements that can go. Returns false if there is none.
    fn fewer_pairs(&mut self, scenario: &mut Scenario<M::Command>) -> bool {
        let elements = elements(scenario);
        if elements.len() > MOST_IN_PAIRS || self.goes_on().is_none() {
            return false;
        }
        let singles = elements.iter().map(|&one| (one, None));
        let pairs = elements
            .iter()
            .enumerate()
            .flat_map(|(at, &one)| elements[at + 1..].iter().map(move |&other| (one, Some(other))));
        let found = singles
            .chain(pairs)
            .filter_map(|(one, other)| without(scenario, one, other))
            .find(|candidate| self.fails(candidate));
        found.map(|candidate| *scenario = candidate).is_some()
    }

    /// Returns the scenario with the first seed that makes it fail.
    fn fails_with_some_seed(&mut self, scenario: &Scenario<M::Command>) -> Option<Scenario<M::Command>> {
        // Datagrams known by content are not those of another seed.
        let more = if is_exact(scenario) { 0 } else { SEEDS - 1 };
        let seeds = std::iter::once(scenario.seed).chain((0..more).map(|more| scenario.seed.wrapping_add(1 + more)));
        seeds.into_iter().find_map(|seed| {
            let candidate = Scenario { seed, ..scenario.clone() };
            self.fails(&candidate).then_some(candidate)
        })
    }

    /// Rewrites losses by chance and cuts as the list of the datagrams lost. None if there is nothing of the kind, or the
    /// list alone does not make it fail.
    fn concretise(&mut self, scenario: &Scenario<M::Command>) -> Option<Scenario<M::Command>> {
        self.goes_on()?;
        if !scenario.plan.faults.iter().any(Fault::loses) {
            return None;
        }
        let outcome = self.trial.attempt_within(self.steps, scenario, Keep::Losses);
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

/// Size of a scenario: lines to read, then things to understand, then letters.
fn size<C: Display>(scenario: &Scenario<C>) -> (usize, usize, usize) {
    let lines = scenario.plan.faults.len() + scenario.writes.len() + scenario.nodes.len();
    let times = scenario.writes.windows(2).filter(|pair| pair[0].at != pair[1].at).count();
    let vague = scenario.plan.faults.iter().filter(|fault| fault.is_vague()).count();
    (lines, writers(scenario).len() + times + vague, scenario.to_string().len())
}

fn elements<C>(scenario: &Scenario<C>) -> Vec<Element> {
    let faults = (0..scenario.plan.faults.len()).map(Element::Fault);
    let writes = (0..scenario.writes.len()).map(Element::Write);
    faults.chain(writes).chain(scenario.nodes.iter().copied().map(Element::Node)).collect()
}

/// Returns the scenario without one or two of its elements; none if nobody would be left.
fn without<C: Clone>(scenario: &Scenario<C>, one: Element, other: Option<Element>) -> Option<Scenario<C>> {
    let gone: Vec<Element> = std::iter::once(one).chain(other).collect();
    let mut smaller = scenario.clone();
    let mut at = 0;
    smaller.plan.faults.retain(|_| {
        at += 1;
        !gone.contains(&Element::Fault(at - 1))
    });
    at = 0;
    smaller.writes.retain(|_| {
        at += 1;
        !gone.contains(&Element::Write(at - 1))
    });
    for element in gone {
        if let Element::Node(node) = element {
            smaller = smaller.without(node);
        }
    }
    (!smaller.nodes.is_empty()).then_some(smaller)
}
