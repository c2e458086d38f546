//! Coverage of a sweep: faults that were drawn together, and states that were reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::plan::{Fault, FaultPlan};
use crate::sim::Counters;

/// Scenarios per number in [`Coverage::new`].
const BATCH: u64 = 1_000;

/// Classes of faults, pairs of them and states that the scenarios of a sweep have met. Once a thousand scenarios bring
/// nothing new, more of the same kind are worth little: use another [`Swarm`](crate::Swarm), or
/// [`hunt`](crate::Checker::hunt).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Coverage {
    /// Scenarios in which each class of faults was drawn.
    pub classes: BTreeMap<&'static str, u64>,
    /// Scenarios in which both classes of a pair were drawn, the first of the two in alphabetical order.
    pub pairs: BTreeMap<(&'static str, &'static str), u64>,
    /// Scenarios that reached each state: what machines mark with [`sometimes`](crate::sometimes()), and the names of the
    /// [`Counters`] that are not zero.
    pub states: BTreeMap<&'static str, u64>,
    /// Classes, pairs and states that were met for the first time, for each thousand scenarios.
    pub new: Vec<u64>,
    cases: u64,
}

impl Coverage {
    /// Notes what one scenario has met.
    pub(crate) fn note(&mut self, plan: &FaultPlan, marks: &BTreeSet<&'static str>, counters: &Counters) {
        // A clock that is right all the same shows nothing: where a machine allows no error, that is all that is drawn.
        let shows = |fault: &&Fault| !matches!(fault, Fault::Skew { offset: 0, drift_ppm: 0, .. });
        let classes: BTreeSet<&'static str> = plan.faults.iter().filter(shows).map(Fault::class).collect();
        let mut new = 0;
        let mut met = |count: &mut u64| {
            new += u64::from(*count == 0);
            *count += 1;
        };
        for &class in &classes {
            met(self.classes.entry(class).or_default());
            for &other in classes.iter().filter(|&&other| class < other) {
                met(self.pairs.entry((class, other)).or_default());
            }
        }
        let counted = counters.iter().filter(|&(_, count)| count > 0).map(|(name, _)| name);
        for state in marks.iter().copied().chain(counted) {
            met(self.states.entry(state).or_default());
        }
        let batch = (self.cases / BATCH) as usize;
        self.new.resize(batch + 1, 0);
        self.new[batch] += new;
        self.cases += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let possible = self.classes.len() * self.classes.len().saturating_sub(1) / 2;
        let (classes, pairs, states) = (self.classes.len(), self.pairs.len(), self.states.len());
        write!(
            f,
            "{classes} classes of faults, {pairs} of {possible} pairs, {states} states; new per thousand scenarios: "
        )?;
        let new: Vec<String> = self.new.iter().map(u64::to_string).collect();
        f.write_str(&new.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Window;

    #[test]
    fn what_is_new_is_counted_by_the_thousand() {
        let mut coverage = Coverage::default();
        let plan = FaultPlan::new()
            .loss(0.5, Window::secs(0, 1))
            .skew(0, 0, 0, Window::secs(0, 1))
            .crash(0, Duration::ZERO)
            .crash(1, Duration::ZERO);
        let counters = Counters { lost: 3, ..Counters::default() };
        for case in 0..1_001 {
            let marks = if case == 1_000 { BTreeSet::from(["late"]) } else { BTreeSet::new() };
            coverage.note(&plan, &marks, &counters);
        }
        assert_eq!(coverage.new, [4, 1], "two classes, their pair, a counter; then a mark");
        assert_eq!(coverage.pairs[&("crash", "loss")], 1_001);
        assert_eq!((coverage.states["lost"], coverage.states["late"]), (1_001, 1));
        let text = "2 classes of faults, 1 of 1 pairs, 2 states; new per thousand scenarios: 4, 1";
        assert_eq!(coverage.to_string(), text);
    }
}
