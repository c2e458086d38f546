//! Runs a scenario once, shows every step to the invariants, and reports the first violation.
//!
//! Knows nothing of minimising, nor of how a failure is printed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::time::Duration;

use gossip_core::Instant;

use crate::address::Addr;
use crate::coin::{below, fold};
use crate::features::Features;
use crate::invariant::{Facts, Invariant, Maker, Violation, World};
use crate::machine::{Expectations, Machine, Note, View};
use crate::marks;
use crate::scenario::Scenario;
use crate::sim::{Action, Counters, Datagram, Latency, Lost, Settings, Simulator, Step, Watch};

/// Result of a run in which every invariant held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// A hash of everything that happened: equal runs have equal ones.
    pub trace: u64,
    /// Counts of what happened.
    pub counters: Counters,
    /// Time from the last write and the last fault that ends until everybody agreed.
    pub converged_after: Duration,
    /// The same in protocol periods, rounded up.
    pub periods: u64,
    /// Length of the run, in simulated time.
    pub simulated: Duration,
    /// States that machines have marked with [`sometimes`](crate::sometimes()).
    pub marks: BTreeSet<&'static str>,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "converged after {} periods; {}", self.periods, self.counters)
    }
}

/// Name of the invariant reported for a scenario that is rejected before it runs.
pub(crate) const REFUSED: &str = "the scenario is one that makes sense";

/// Name of the invariant reported for a run that was ended because it took too many steps.
pub(crate) const TOO_LONG: &str = "the run takes no more steps than it may";

/// Result of one run, with what was to be kept of it.
pub(crate) struct Outcome {
    pub(crate) result: Result<Report, Found>,
    pub(crate) lines: Vec<String>,
    pub(crate) losses: Vec<Lost>,
    /// Features reached, if they were to be kept.
    pub(crate) features: BTreeSet<u64>,
    /// Number of things that happened: datagrams, calls and faults.
    pub(crate) steps: u64,
}

/// An invariant that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) invariant: &'static str,
    pub(crate) at: Duration,
    pub(crate) violation: Violation,
}

/// Record that a run keeps besides its result.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Losses,
    /// The last lines of the trace, at most so many.
    Lines(usize),
    /// Features, by which runs can be told apart.
    Features,
    /// The story of the run, with the moment from which two nodes hold different items.
    Story(Option<(Addr, Addr)>),
}

/// Settings of a run: the machines' configuration, the network's latency and the invariants.
pub(crate) struct Trial<M: Machine> {
    pub(crate) config: M::Config,
    pub(crate) latency: Latency,
    pub(crate) invariants: Vec<Maker<M>>,
    /// Protocol periods to watch after all invariants are satisfied.
    pub(crate) settle: u32,
}

impl<M: Machine> Trial<M> {
    pub(crate) fn expectations(&self) -> Expectations {
        M::expectations(&self.config)
    }

    /// Runs a scenario and observes it with fresh invariants.
    pub(crate) fn attempt(&self, scenario: &Scenario<M::Command>, keep: Keep) -> Outcome {
        self.attempt_within(u64::MAX, scenario, keep)
    }

    /// Runs a scenario, and ends it once so many things have happened.
    pub(crate) fn attempt_within(&self, most: u64, scenario: &Scenario<M::Command>, keep: Keep) -> Outcome {
        if let Err(message) = scenario.fits(&self.expectations()) {
            let violation = Violation::new(message);
            let found = Found { invariant: REFUSED, at: Duration::ZERO, violation };
            return Outcome {
                result: Err(found),
                lines: Vec::new(),
                losses: Vec::new(),
                features: BTreeSet::new(),
                steps: 0,
            };
        }
        let mut simulator = self.prepare(scenario);
        match keep {
            Keep::Nothing | Keep::Features => {}
            Keep::Losses => simulator.record_losses(),
            Keep::Lines(lines) => simulator.trace.record(lines),
            Keep::Story(_) => simulator.trace.tell(),
        }
        let limits = simulator.expectations().clone();
        let mut observer = Observer {
            invariants: self.invariants.iter().map(|make| make(&limits)).collect(),
            views: Vec::new(),
            found: None,
            changed: false,
            commands: Vec::new(),
            features: (keep == Keep::Features).then(Features::default),
            compared: if let Keep::Story(pair) = keep { pair } else { None },
            steps: 0,
            most,
        };
        let (mut result, marks) = marks::collect(|| self.watch(scenario, &mut simulator, &mut observer));
        let features = observer.features.map_or_else(BTreeSet::new, |f| f.finish(&simulator.counters, &marks));
        if let Ok(report) = &mut result {
            report.marks = marks;
        }
        Outcome {
            result,
            lines: simulator.trace.take_lines(),
            losses: simulator.take_losses(),
            features,
            steps: observer.steps,
        }
    }

    /// Makes a simulator in which everything that the scenario says is planned.
    fn prepare(&self, scenario: &Scenario<M::Command>) -> Simulator<M> {
        let settings = Settings { seed: scenario.seed, latency: self.latency, keyed: true };
        let mut simulator =
            Simulator::new(self.config.clone(), scenario.nodes.clone(), scenario.seed_nodes(), &settings);
        let period = simulator.expectations().period.as_micros() as u64;
        for (number, fault) in (0..).zip(&scenario.plan.faults) {
            simulator.plan_fault(number, fault);
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

    /// Time of the next look at all nodes: a period later, or where nothing happens for many, as while all are away for a
    /// week, at the end of the period before the next event.
    fn next_checkpoint(&self, simulator: &Simulator<M>, quiet: Instant) -> Instant {
        let (now, period) = (simulator.now(), simulator.expectations().period);
        let eventless = simulator.next().min(quiet).since(now).as_micros() / period.as_micros().max(1);
        now + period * u32::try_from(eventless).unwrap_or(u32::MAX).max(1)
    }

    fn watch(
        &self,
        scenario: &Scenario<M::Command>,
        simulator: &mut Simulator<M>,
        observer: &mut Observer<M>,
    ) -> Result<Report, Found> {
        let period = simulator.expectations().period;
        let planned = Instant::ORIGIN + scenario.quiet_at().max(period);
        let mut facts = Facts {
            plan: scenario.plan.clone(),
            quiet: planned,
            settled: None,
            groups: Facts::groups(&scenario.nodes, &scenario.plan),
            silent: Cell::new(false),
        };
        loop {
            let until = self.next_checkpoint(simulator, facts.quiet);
            while let Some(step) = simulator.step(until, observer) {
                observer.after(&World { simulator, facts: &facts }, step);
                observer.tell(simulator, step);
                observer.count(simulator.now());
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
                    marks: BTreeSet::new(),
                });
            }
        }
    }
}

/// Distinguishes the coin for a node's start from other coins.
const BOOT: u64 = 0x626f_6f74;

/// Shows a run to the invariants.
struct Observer<M: Machine> {
    invariants: Vec<Box<dyn Invariant<M>>>,
    /// Per node what it held when it was last looked at, and the fingerprint of that.
    views: Vec<(u64, View)>,
    found: Option<Found>,
    /// True if the last step has changed what its node holds.
    changed: bool,
    /// Two nodes whose views are compared after each step.
    compared: Option<(Addr, Addr)>,
    /// Commands carried out in the step under way.
    commands: Vec<(Addr, M::Command)>,
    features: Option<Features>,
    /// Number of steps until now, and the most that there may be.
    steps: u64,
    most: u64,
}

impl<M: Machine> Observer<M> {
    fn count(&mut self, now: Instant) {
        self.steps += 1;
        if self.steps > self.most {
            let violation = Violation::new(format!("more than {} steps", self.most));
            self.note(Err(Found { invariant: TOO_LONG, at: now.since(Instant::ORIGIN), violation }));
        }
    }

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
        self.changed = false;
        let Some(node) = step.touched else { return };
        let Some(machine) = world.machine(node) else { return };
        let at = world.now();
        let mut result = self.each(at, |invariant| invariant.stepped(world, node));
        let cut = world.cut_of(node);
        let fingerprint = machine.fingerprint(cut);
        self.changed = self.view(node).0 != fingerprint;
        if self.changed && result.is_ok() {
            let after = machine.view(cut);
            let before = std::mem::replace(self.view(node), (fingerprint, after.clone())).1;
            result = self.each(at, |invariant| invariant.changed(world, node, &before, &after));
        }
        for (node, command) in std::mem::take(&mut self.commands) {
            result = result.and_then(|()| self.each(at, |invariant| invariant.commanded(world, node, &command)));
        }
        if let Some(features) = &mut self.features {
            features.step(node, step.kind, self.changed);
        }
        self.note(result);
    }

    /// Ends a step in the story, if one is kept.
    fn tell(&self, simulator: &mut Simulator<M>, step: Step) {
        let now = simulator.now();
        let Some(story) = simulator.trace.story() else { return };
        story.end_step(now, step.touched, self.changed);
        let Some((a, b)) = self.compared.filter(|&(a, b)| step.touched.is_none_or(|node| node == a || node == b))
        else {
            return;
        };
        let cut = simulator.cut();
        let held = |node: Addr| simulator.machine(node).map(|machine| machine.fingerprint(cut));
        let differ = held(a) != held(b);
        if let Some(story) = simulator.trace.story() {
            story.compare(now, (a, b), differ);
        }
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

    fn commanded(&mut self, node: Addr, command: &M::Command) {
        self.commands.push((node, command.clone()));
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
