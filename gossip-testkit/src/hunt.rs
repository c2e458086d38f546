//! A search for failures that is guided by coverage: what reached something new is changed a little and run again.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use crate::check::Checker;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::plan::Chance;
use crate::scenario::{Dice, Scenario, Swarm, Workload};
use crate::trial::Keep;

/// Scenarios after which fresh ones are drawn a little larger.
const STAGE: u64 = 24;
/// Share of scenarios that are drawn afresh.
const FRESH: Chance = Chance::percent(40);

/// Progress of a hunt.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Hunt {
    /// Scenarios run.
    pub cases: u64,
    /// Scenarios kept because they reached something new.
    pub kept: u64,
    /// Features reached: marks, counters by their magnitude, and successions of two steps of a node by how often they
    /// happened.
    pub features: u64,
    /// Datagrams sent in all of them, which is what a hunt costs.
    pub datagrams: u64,
}

impl Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, kept, features, datagrams } = self;
        write!(
            f,
            "{cases} scenarios of {datagrams} datagrams; {kept} reached something new, {features} features in all"
        )
    }
}

impl<M: Machine<Command: Workload + Display>> Checker<M> {
    /// Looks for a scenario that fails as long as `goes_on` says so: it is asked before each scenario.
    ///
    /// Begins with small scenarios, which are cheap. Those that reach something new are kept, changed and run again. The
    /// scenarios are a function of `seed` alone: threads that hunt with different seeds share nothing and need not.
    ///
    /// ```
    /// use gossip_core::Node;
    /// use gossip_testkit::{Addr, Checker, Swarm};
    ///
    /// // Or until a time of your own clock has come.
    /// let hunt = Checker::<Node<Addr>>::default().hunt(&Swarm::default(), 1, |hunt| hunt.cases < 50)?;
    /// println!("{hunt}");
    /// # Ok::<(), gossip_testkit::Failure>(())
    /// ```
    ///
    /// # Errors
    /// The first failure, minimised.
    pub fn hunt(&self, swarm: &Swarm, seed: u64, mut goes_on: impl FnMut(&Hunt) -> bool) -> Result<Hunt, Failure> {
        let swarm = Swarm { max_skew: swarm.max_skew.min(self.expectations().max_skew), ..swarm.clone() };
        let mut dice = Dice::new(seed);
        let mut hunt = Hunt::default();
        let mut kept: Vec<Scenario<M::Command>> = Vec::new();
        let mut features = BTreeSet::new();
        while goes_on(&hunt) {
            let scenario = match (dice.pick(&kept), dice.pick(&kept)) {
                (Some(scenario), Some(other)) if !dice.chance(FRESH) => swarm.mutate(scenario, other, &mut dice),
                _ => {
                    let stage = u32::try_from(hunt.cases / STAGE).unwrap_or(u32::MAX / 8);
                    swarm.small(stage).scenario(dice.bits())
                }
            };
            let outcome = self.attempt(&scenario, Keep::Features);
            hunt.cases += 1;
            match outcome.result {
                Ok(report) => hunt.datagrams += report.counters.datagrams,
                Err(found) => return Err(self.minimised(&scenario, found)),
            }
            let before = features.len();
            features.extend(outcome.features);
            if features.len() > before {
                kept.push(scenario);
                hunt.kept += 1;
            }
            hunt.features = features.len() as u64;
        }
        Ok(hunt)
    }
}
