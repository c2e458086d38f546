//! Runs a scenario, watches it, and says whether every invariant held.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::time::Duration;

use gossip_core::Instant;

use crate::address::Addr;
use crate::failure::Failure;
use crate::invariant::{Facts, Invariant, Maker, Violation, World, standard};
use crate::machine::{Limits, Machine, Note, View};
use crate::minimise;
use crate::plan::Fault;
use crate::scenario::Scenario;
use crate::sim::{Action, Counters, Datagram, Latency, Lost, Settings, Simulator, Step, Watch, below, fold};

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
    M::Command: Display,
{
    Checker::<M>::default().check(scenario)
}

/// What a run in which every invariant held has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// A hash of everything that happened: equal runs have equal ones.
    pub trace: u64,
    /// What happened, counted.
    pub counters: Counters,
    /// How long after the last write and the last fault that ends everybody agreed.
    pub converged_after: Duration,
    /// The same in protocol periods, rounded up.
    pub periods: u64,
    /// How long the run was, in simulated time.
    pub simulated: Duration,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "converged after {} periods; {}", self.periods, self.counters)
    }
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
    config: M::Config,
    latency: Latency,
    invariants: Vec<Maker<M>>,
    settle: u32,
    runs: u32,
    /// Whether it is what [`run`] makes, so that a failure can be replayed by that.
    plain: bool,
}

impl<M: Machine> fmt::Debug for Checker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("config", &self.config).field("latency", &self.latency).finish_non_exhaustive()
    }
}

impl<M: Machine<Config: Default>> Default for Checker<M> {
    fn default() -> Self {
        Self { plain: true, ..Self::new(M::Config::default()) }
    }
}

/// What does not hold for a scenario that is not run at all.
const REFUSED: &str = "the scenario is one that makes sense";

/// How a run went.
pub(crate) struct Outcome {
    pub(crate) result: Result<Report, Found>,
    pub(crate) lines: Vec<String>,
    pub(crate) losses: Vec<Lost>,
}

/// An invariant that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) invariant: &'static str,
    pub(crate) at: Duration,
    pub(crate) violation: Violation,
}

/// What a run keeps besides its result.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Losses,
    Lines(usize),
}

impl<M: Machine> Checker<M> {
    /// Checks all the invariants of the testkit on machines that are configured like this.
    pub fn new(config: M::Config) -> Self {
        Self { config, latency: Latency::default(), invariants: standard(), settle: 20, runs: 3_000, plain: false }
    }

    /// Checks an invariant of one's own, too.
    pub fn invariant<I: Invariant<M> + 'static>(mut self, make: impl Fn(&Limits) -> I + 'static) -> Self {
        self.invariants.push(Box::new(move |limits| Box::new(make(limits))));
        self.plain = false;
        self
    }

    /// Checks none of those that were to be checked so far.
    pub fn without_invariants(mut self) -> Self {
        self.invariants.clear();
        self.plain = false;
        self
    }

    /// With datagrams that take so long.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self.plain = false;
        self
    }

    /// Watches for so many protocol periods after all invariants are satisfied. 20 unless said. In fewer than 15 it is not
    /// measured whether the cluster is [silent](crate::invariant::Silence): ten are for cooling, and fewer than five say
    /// nothing.
    pub fn settle(mut self, periods: u32) -> Self {
        self.settle = periods;
        self.plain = false;
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
        self.attempt(scenario, Keep::Nothing).result.map_err(|_| self.explain(scenario, None))
    }

    /// Runs a scenario; on failure, looks for the smallest one that fails in the same way.
    ///
    /// # Errors
    /// The first invariant that did not hold, with the minimal scenario.
    pub fn check(&self, scenario: &Scenario<M::Command>) -> Result<Report, Failure>
    where
        M::Command: Display,
    {
        self.attempt(scenario, Keep::Nothing).result.map_err(|found| {
            // What a smaller one would show was found in none.
            if found.invariant == REFUSED {
                return self.explain(scenario, None);
            }
            let (minimal, runs) = minimise::minimise(self, scenario, found.invariant, self.runs);
            self.explain(&minimal, Some((scenario, runs)))
        })
    }

    /// Runs a scenario that fails once more, with a trace.
    fn explain(&self, scenario: &Scenario<M::Command>, origin: Option<(&Scenario<M::Command>, u32)>) -> Failure
    where
        M::Command: Display,
    {
        let outcome = self.attempt(scenario, Keep::Lines(20));
        // Were the machine not deterministic, it could pass this time; that is a finding, too.
        let found = outcome.result.err().unwrap_or_else(|| Found {
            invariant: "determinism: the same run twice",
            at: Duration::ZERO,
            violation: Violation::new("the scenario failed and passes when it is run again"),
        });
        Failure::new(found, scenario, origin, outcome.lines, self.plain)
    }

    /// Runs a scenario and keeps its last `lines` lines of trace, whether it fails or not.
    pub fn trace(&self, scenario: &Scenario<M::Command>, lines: usize) -> (Result<Report, Failure>, Vec<String>)
    where
        M::Command: Display,
    {
        let outcome = self.attempt(scenario, Keep::Lines(lines));
        let lines = outcome.lines;
        (outcome.result.map_err(|found| Failure::new(found, scenario, None, lines.clone(), self.plain)), lines)
    }

    pub(crate) fn limits(&self) -> Limits {
        M::limits(&self.config)
    }

    pub(crate) fn attempt(&self, scenario: &Scenario<M::Command>, keep: Keep) -> Outcome {
        if let Err(message) = scenario.fits(&self.limits()) {
            let violation = Violation::new(message);
            let found = Found { invariant: REFUSED, at: Duration::ZERO, violation };
            return Outcome { result: Err(found), lines: Vec::new(), losses: Vec::new() };
        }
        let mut simulator = self.prepare(scenario);
        match keep {
            Keep::Nothing => {}
            Keep::Losses => simulator.record_losses(),
            Keep::Lines(lines) => simulator.trace.record(lines),
        }
        let limits = simulator.limits().clone();
        let mut observer = Observer {
            invariants: self.invariants.iter().map(|make| make(&limits)).collect(),
            views: Vec::new(),
            found: None,
        };
        let result = self.watch(scenario, &mut simulator, &mut observer);
        Outcome { result, lines: simulator.trace.take_lines(), losses: simulator.take_losses() }
    }

    /// Plans all that a scenario says.
    fn prepare(&self, scenario: &Scenario<M::Command>) -> Simulator<M> {
        let settings = Settings { seed: scenario.seed, latency: self.latency, keyed: true };
        let mut simulator =
            Simulator::new(self.config.clone(), scenario.nodes.clone(), scenario.seed_nodes(), &settings);
        let period = simulator.limits().period.as_micros() as u64;
        for (number, fault) in (0..).zip(&scenario.plan.faults) {
            plan(&mut simulator, number, fault);
        }
        for &node in &scenario.nodes {
            let at = Instant::from_micros(below(fold([scenario.seed, u64::from(node.0), BOOT]), period));
            simulator.plan(at, Action::Boot { node, memory: false });
        }
        for write in &scenario.writes {
            let action = Action::Command { node: write.node, command: write.command.clone() };
            simulator.plan(Instant::ORIGIN + write.at, action);
        }
        simulator
    }

    fn watch(
        &self,
        scenario: &Scenario<M::Command>,
        simulator: &mut Simulator<M>,
        observer: &mut Observer<M>,
    ) -> Result<Report, Found> {
        let period = simulator.limits().period;
        let planned = Instant::ORIGIN + scenario.quiet_at().max(period);
        let mut facts = Facts {
            plan: scenario.plan.clone(),
            quiet: planned,
            settled: None,
            groups: Facts::groups(&scenario.nodes, &scenario.plan),
            silent: Cell::new(false),
        };
        loop {
            let until = simulator.now() + period;
            while let Some(step) = simulator.step(until, observer) {
                observer.after(&World { simulator, facts: &facts }, step);
                if let Some(found) = observer.found.take() {
                    return Err(found);
                }
            }
            facts.quiet = planned.max(simulator.last_fault());
            let world = World { simulator, facts: &facts };
            observer.each(world.now(), |invariant| invariant.checkpoint(&world))?;
            let (now, deadline) = (world.now(), world.deadline());
            let dissatisfied = observer.invariants.iter().find(|invariant| !invariant.satisfied());
            if let Some(invariant) = dissatisfied.filter(|_| now >= deadline + self.settle * period) {
                let invariant = invariant.name();
                let violation = Violation::new(format!("`{invariant}` is never satisfied, and has not said why"));
                return Err(Found { invariant, at: now.since(Instant::ORIGIN), violation });
            }
            if now < facts.quiet || dissatisfied.is_some() {
                facts.settled = None;
                continue;
            }
            let settled = *facts.settled.get_or_insert(now);
            if now.since(settled) >= self.settle * period {
                let world = World { simulator, facts: &facts };
                observer.each(now, |invariant| invariant.finished(&world))?;
                simulator.counters.silences = facts.silent.get().into();
                let converged_after = settled.since(facts.quiet);
                return Ok(Report {
                    trace: simulator.trace.hash(),
                    counters: simulator.counters,
                    converged_after,
                    periods: converged_after.as_micros().div_ceil(period.as_micros()) as u64,
                    simulated: now.since(Instant::ORIGIN),
                });
            }
        }
    }
}

/// Tells the coin of a node's start from others.
const BOOT: u64 = 0x626f_6f74;

/// Plans a fault: its beginning and its end.
pub(crate) fn plan<M: Machine>(simulator: &mut Simulator<M>, id: u32, fault: &Fault) {
    let at = |time: Duration| Instant::ORIGIN + time;
    match fault {
        Fault::Crash { node, at: when, restart } => {
            simulator.plan(at(*when), Action::Crash(*node));
            if let Some(restart) = restart {
                simulator.plan(at(restart.at), Action::Boot { node: *node, memory: restart.memory });
            }
        }
        Fault::Pause { node, during } => {
            simulator.plan(at(during.from), Action::Pause(*node));
            if let Some(to) = during.to {
                simulator.plan(at(to), Action::Resume(*node));
            }
        }
        Fault::Twin { node, of, during, stays } => {
            simulator.plan(at(during.from), Action::Replace { node: *node, id: *of });
            if let Some(to) = during.to {
                let end = if *stays { Action::Crash(*of) } else { Action::Replace { node: *node, id: *node } };
                simulator.plan(at(to), end);
            }
        }
        Fault::Skew { node, during, offset, drift_ppm, .. } => {
            simulator.plan(at(during.from), Action::Skew { node: *node, offset: *offset, drift_ppm: *drift_ppm });
            if let Some(to) = during.to {
                simulator.plan(at(to), Action::Skew { node: *node, offset: 0, drift_ppm: 0 });
            }
        }
        Fault::LoseExactly { .. } => simulator.network().begin(id, fault),
        _ => {
            let during = fault.window().expect("every other fault has a window");
            simulator.plan(at(during.from), Action::Begin { id, fault: fault.clone() });
            if let Some(to) = during.to {
                simulator.plan(at(to), Action::End { id });
            }
        }
    }
}

/// Shows a run to the invariants.
struct Observer<M: Machine> {
    invariants: Vec<Box<dyn Invariant<M>>>,
    /// Per node what it held when it was last looked at, and the fingerprint of that.
    views: Vec<(u64, View)>,
    found: Option<Found>,
}

impl<M: Machine> Observer<M> {
    fn each(
        &mut self,
        at: Instant,
        mut ask: impl FnMut(&mut dyn Invariant<M>) -> Result<(), Violation>,
    ) -> Result<(), Found> {
        for invariant in &mut self.invariants {
            ask(invariant.as_mut()).map_err(|violation| Found {
                invariant: invariant.name(),
                at: at.since(Instant::ORIGIN),
                violation,
            })?;
        }
        Ok(())
    }

    fn note(&mut self, result: Result<(), Found>) {
        if let Err(found) = result {
            self.found.get_or_insert(found);
        }
    }

    fn after(&mut self, world: &World<'_, M>, step: Step) {
        let Some(node) = step.touched else { return };
        let Some(machine) = world.machine(node) else { return };
        let at = world.now();
        let mut result = self.each(at, |invariant| invariant.stepped(world, node));
        let cut = world.cut_of(node);
        let fingerprint = machine.fingerprint(cut);
        let (before, _) = self.view(node);
        if *before != fingerprint && result.is_ok() {
            let after = machine.view(cut);
            let before = std::mem::replace(self.view(node), (fingerprint, after.clone())).1;
            result = self.each(at, |invariant| invariant.changed(world, node, &before, &after));
        }
        self.note(result);
    }

    fn view(&mut self, node: Addr) -> &mut (u64, View) {
        if self.views.len() <= node.index() {
            self.views.resize_with(node.index() + 1, Default::default);
        }
        &mut self.views[node.index()]
    }
}

impl<M: Machine> Watch<M> for Observer<M> {
    fn sent(&mut self, datagram: &Datagram<'_>) {
        let result = self.each(Instant::ORIGIN + datagram.at, |invariant| invariant.sent(datagram));
        self.note(result);
    }

    fn event(&mut self, at: Instant, node: Addr, event: &M::Event) {
        if M::note(event) == Note::Forgot {
            self.started(node, false);
        }
        let result = self.each(at, |invariant| invariant.event(at, node, event));
        self.note(result);
    }

    fn started(&mut self, node: Addr, memory: bool) {
        if !memory {
            *self.view(node) = Default::default();
        }
        for invariant in &mut self.invariants {
            invariant.started(node, memory);
        }
    }
}
