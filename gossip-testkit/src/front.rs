//! Ways in: proptest, quickcheck, and a plain loop. All over one minimiser; their own values do not shrink, or every
//! candidate of the one would be minimised again by the other.

use std::fmt::{self, Display};
use std::ops::Range;

use crate::check::Checker;
use crate::coverage::Coverage;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::scenario::{Swarm, Workload};
use crate::sim::Counters;

/// Results of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sweep {
    /// Scenarios run.
    pub cases: u64,
    /// Counts of what happened in them. A sweep in which a class of faults did not happen has shown nothing about it.
    pub counters: Counters,
    /// The longest that a scenario took to converge, in protocol periods.
    pub slowest: u64,
    /// Faults drawn together and states reached, and how many of them were new.
    pub coverage: Coverage,
}

impl Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, counters, slowest, coverage } = self;
        write!(f, "{cases} scenarios, the slowest converged after {slowest} periods; {coverage}; {counters}")
    }
}

impl<M: Machine<Command: Workload + Display>> Checker<M> {
    /// Checks the scenarios with these numbers. Their clocks are off by no more than the machine allows, whatever the swarm
    /// says.
    ///
    /// # Errors
    /// The first failure, minimised.
    pub fn sweep(&self, swarm: &Swarm, numbers: Range<u64>) -> Result<Sweep, Failure> {
        let mut sweep = Sweep::default();
        let swarm = Swarm { max_skew: swarm.max_skew.min(self.expectations().max_skew), ..swarm.clone() };
        for number in numbers {
            let scenario = swarm.scenario(number);
            let report = self.check(&scenario)?;
            sweep.coverage.note(&scenario.plan, &report.marks, &report.counters);
            sweep.cases += 1;
            sweep.counters += report.counters;
            sweep.slowest = sweep.slowest.max(report.periods);
        }
        Ok(sweep)
    }
}

/// Checks the first `cases` random scenarios.
///
/// # Errors
/// The first failure, minimised.
pub fn sweep<M>(cases: u64) -> Result<Sweep, Failure>
where
    M: Machine<Config: Default, Command: Workload + Display>,
{
    Checker::<M>::default().sweep(&Swarm::default(), 0..cases)
}

#[cfg(feature = "proptest")]
mod with_proptest {
    use std::fmt::Display;

    use proptest::arbitrary::{Arbitrary, any};
    use proptest::strategy::{BoxedStrategy, Strategy};

    use crate::scenario::{Scenario, Swarm, Workload};

    impl<C: Workload + Display + Clone + 'static> Arbitrary for Scenario<C> {
        type Parameters = Swarm;
        type Strategy = BoxedStrategy<Self>;

        fn arbitrary_with(swarm: Swarm) -> BoxedStrategy<Self> {
            any::<u64>().no_shrink().prop_map(move |number| swarm.scenario(number)).boxed()
        }
    }
}

#[cfg(feature = "quickcheck")]
mod with_quickcheck {
    use std::fmt::Display;

    use quickcheck::{Arbitrary, Gen, TestResult, Testable};

    use crate::scenario::{Scenario, Swarm, Workload};
    use crate::trial::Report;

    impl<C: Workload + Display + Clone + 'static> Arbitrary for Scenario<C> {
        fn arbitrary(g: &mut Gen) -> Self {
            Swarm::default().scenario(u64::arbitrary(g))
        }
    }

    /// A property may end in `check::<M>(&scenario)`.
    impl Testable for Report {
        fn result(&self, _: &mut Gen) -> TestResult {
            TestResult::passed()
        }
    }
}
