//! Runs a scenario, watches it, and says whether every invariant held.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::failure::Failure;
use crate::invariant::{Invariant, Violation, standard};
use crate::machine::{Expectations, Machine};
use crate::minimise;
use crate::scenario::{Scenario, Workload};
use crate::sim::Latency;
use crate::trial::{Found, Keep, Outcome, REFUSED, Report, Trial};

/// Runs a scenario once. A failure is reported as it is.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run<M: Machine<Config: Default>>(scenario: &Scenario<M::Command>) -> Result<Report, Failure>
where
    M::Command: Display,
{
    Checker::<M>::default().run(scenario)
}

/// Runs a scenario; on failure, looks for the smallest one that fails in the same way.
///
/// # Errors
/// The first invariant that did not hold, with the minimal scenario.
pub fn check<M: Machine<Config: Default>>(scenario: &Scenario<M::Command>) -> Result<Report, Failure>
where
    M::Command: Workload + Display,
{
    Checker::<M>::default().check(scenario)
}

/// All the choices that [`run`] and [`check`] make for their caller.
///
/// ```
/// # use std::time::Duration;
/// use gossip_core::{Config, Node};
/// use gossip_testkit::{Addr, Checker, Command, FaultPlan, Latency, Scenario, Swarm, Window};
///
/// let slow = Latency { base: Duration::from_millis(20), mean: Duration::from_millis(5) };
/// let checker = Checker::<Node<Addr>>::new(Config::lan()).latency(slow).most_runs(500);
/// let scenario = Scenario::new(4)
///     .write(Duration::from_secs(3), 1, Command::put("greeting", "hello"))
///     .plan(FaultPlan::new().loss(0.5, Window::secs(2, 20)));
/// assert!(checker.check(&scenario)?.counters.lost > 0);
/// println!("{}", checker.sweep(&Swarm::default(), 0..20)?);
/// # Ok::<(), gossip_testkit::Failure>(())
/// ```
pub struct Checker<M: Machine> {
    trial: Trial<M>,
    runs: u32,
    chosen: Chosen,
}

/// Choices of the caller that a call must repeat to replay a failure.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Chosen {
    /// None: [`run`] alone replays it.
    Nothing,
    /// The configuration.
    Configuration,
    /// Invariants or latency, which cannot be printed.
    More,
}

/// Longest configuration, in bytes, that is printed with a failure.
const PRINTED: usize = 80;

impl<M: Machine> fmt::Debug for Checker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trial { config, latency, .. } = &self.trial;
        f.debug_struct("Checker").field("config", config).field("latency", latency).finish_non_exhaustive()
    }
}

impl<M: Machine<Config: Default>> Default for Checker<M> {
    fn default() -> Self {
        Self { chosen: Chosen::Nothing, ..Self::new(M::Config::default()) }
    }
}

impl<M: Machine> Checker<M> {
    /// Checks all the invariants of the testkit on machines that are configured like this.
    pub fn new(config: M::Config) -> Self {
        let trial = Trial { config, latency: Latency::default(), invariants: standard(), settle: 20 };
        Self { trial, runs: 3_000, chosen: Chosen::Configuration }
    }

    /// Checks an invariant of one's own, too.
    pub fn invariant<I: Invariant<M> + 'static>(mut self, make: impl Fn(&Expectations) -> I + 'static) -> Self {
        self.trial.invariants.push(Box::new(move |limits| Box::new(make(limits))));
        self.chosen = Chosen::More;
        self
    }

    /// Checks none of those that were to be checked so far.
    pub fn without_invariants(mut self) -> Self {
        self.trial.invariants.clear();
        self.chosen = Chosen::More;
        self
    }

    /// With datagrams that take so long.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.trial.latency = latency;
        self.chosen = Chosen::More;
        self
    }

    /// Watches for so many protocol periods after all invariants are satisfied. 20 unless said. In fewer than 15 it is not
    /// measured whether the cluster is [silent](crate::invariant::Silence): ten are for cooling, and fewer than five say
    /// nothing.
    pub fn settle(mut self, periods: u32) -> Self {
        self.trial.settle = periods;
        self.chosen = Chosen::More;
        self
    }

    /// Spends at most so many runs on minimising a failure. 3,000 unless said.
    pub fn most_runs(mut self, runs: u32) -> Self {
        self.runs = runs;
        self
    }

    /// Runs a scenario once. A failure is reported as it is.
    ///
    /// # Errors
    /// The first invariant that did not hold.
    pub fn run(&self, scenario: &Scenario<M::Command>) -> Result<Report, Failure>
    where
        M::Command: Display,
    {
        self.trial.attempt(scenario, Keep::Nothing).result.map_err(|found| self.explain(scenario, &found, None))
    }

    /// Runs a scenario; on failure, looks for the smallest one that fails in the same way.
    ///
    /// # Errors
    /// The first invariant that did not hold, with the minimal scenario.
    pub fn check(&self, scenario: &Scenario<M::Command>) -> Result<Report, Failure>
    where
        M::Command: Workload + Display,
    {
        self.trial.attempt(scenario, Keep::Nothing).result.map_err(|found| self.minimised(scenario, found))
    }

    /// Looks for the smallest scenario that fails like this one, which has just failed.
    pub(crate) fn minimised(&self, scenario: &Scenario<M::Command>, found: Found) -> Failure
    where
        M::Command: Workload + Display,
    {
        // What a smaller one would show was found in none.
        if found.invariant == REFUSED {
            return self.explain(scenario, &found, None);
        }
        let (minimal, runs) = minimise::minimise(&self.trial, scenario, found.invariant, self.runs);
        let found = self.trial.attempt(&minimal, Keep::Nothing).result.err().unwrap_or(found);
        self.explain(&minimal, &found, Some((scenario, runs)))
    }

    /// Runs a scenario that has failed once more, with a trace.
    fn explain(
        &self,
        scenario: &Scenario<M::Command>,
        found: &Found,
        origin: Option<(&Scenario<M::Command>, u32)>,
    ) -> Failure
    where
        M::Command: Display,
    {
        let pair = match found.violation.nodes[..] {
            [a, b] => Some((a, b)),
            _ => None,
        };
        let outcome = self.trial.attempt(scenario, Keep::Story(pair));
        // Were the machine not deterministic, it could pass this time; that is a finding, too.
        let found = outcome.result.err().unwrap_or_else(|| Found {
            invariant: "determinism: the same run twice",
            at: Duration::ZERO,
            violation: Violation::new("the scenario failed and passes when it is run again"),
        });
        Failure::new(found, scenario, origin, outcome.lines, self.replay_call())
    }

    /// Runs a scenario and keeps its last `lines` lines of trace, whether it fails or not.
    pub fn trace(&self, scenario: &Scenario<M::Command>, lines: usize) -> (Result<Report, Failure>, Vec<String>)
    where
        M::Command: Display,
    {
        let outcome = self.trial.attempt(scenario, Keep::Lines(lines));
        let lines = outcome.lines;
        (outcome.result.map_err(|found| Failure::new(found, scenario, None, lines.clone(), self.replay_call())), lines)
    }

    /// Runs a scenario once and keeps what is asked for.
    pub(crate) fn attempt(&self, scenario: &Scenario<M::Command>, keep: Keep) -> Outcome {
        self.trial.attempt(scenario, keep)
    }

    /// Returns the call that replays a failure, as far as it can be printed: the machine's type, and its configuration if
    /// that is short and the only choice of the caller.
    pub fn replay_call(&self) -> String {
        let machine = short(std::any::type_name::<M>());
        let config = format!("{:?}", self.trial.config);
        match self.chosen {
            Chosen::Nothing => format!("gossip_testkit::run::<{machine}>"),
            Chosen::Configuration if config.len() <= PRINTED => format!("Checker::<{machine}>::new({config}).run"),
            _ => format!("the same Checker::<{machine}>'s run"),
        }
    }

    pub(crate) fn expectations(&self) -> Expectations {
        self.trial.expectations()
    }
}

/// Returns a type's name without the modules that it and its parameters stand in.
fn short(name: &str) -> String {
    let mut out = String::new();
    for part in name.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        out.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn types_are_named_without_their_modules() {
        let name = "gossip_testkit::framed::Framed<gossip_core::node::Node<gossip_testkit::address::Addr>, (u8, a::B)>";
        assert_eq!(short(name), "Framed<Node<Addr>, (u8, B)>");
    }
}
