//! Random scenarios, swarm-style: each leaves out whole classes of faults (Groce et al., "Swarm Testing", 2012), because
//! a fault that is always there hides what another one alone would show.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::fit::{alike, apart, longest_message, lose_seed};
use super::{Scenario, Write};
use crate::address::Addr;
use crate::coin::below;
use crate::plan::{Chance, Fault, Harm, Links, Nodes, Restart, Window};

/// Random choices, the same for one seed on every platform and in every version.
#[derive(Debug, Clone)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Dice that fall as `seed` says.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        rand::Rng::next_u64(&mut self.0)
    }

    /// A number within bounds, both included.
    ///
    /// # Panics
    /// If there is none.
    pub fn within(&mut self, bounds: RangeInclusive<u64>) -> u64 {
        assert!(!bounds.is_empty(), "there is no number within {bounds:?}");
        let (low, high) = bounds.into_inner();
        let bits = self.bits();
        match (high - low).checked_add(1) {
            Some(numbers) => low + below(bits, numbers),
            // Of all numbers.
            None => bits,
        }
    }

    /// Returns true with this probability.
    pub fn chance(&mut self, chance: Chance) -> bool {
        chance.comes_up(self.bits())
    }

    /// One of several; none of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(below(self.bits(), from.len() as u64) as usize)
    }

    pub(super) fn half(&mut self) -> bool {
        self.chance(Chance::percent(50))
    }

    /// A time within bounds in milliseconds, both included.
    pub(super) fn millis(&mut self, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(bounds))
    }
}

/// A command that can be drawn at random.
pub trait Workload: Sized {
    /// Draws one of the commands that a user may give at any time.
    fn random(dice: &mut Dice) -> Self;

    /// Returns smaller commands that may fail like this one, the smallest first. The minimiser takes the first that
    /// fails and asks that one again. None unless overridden; [`shrink`](crate::shrink) has the candidates for numbers,
    /// texts and byte strings.
    fn shrink(&self) -> impl Iterator<Item = Self> {
        std::iter::empty()
    }

    /// Cuts what is sent in one datagram or not at all to so many bytes, since paths are narrow. Nothing unless overridden.
    fn shorten(&mut self, _most: usize) {}

    /// Draws the name of a setting of the machine and a value for it, for [`Machine::set`](crate::Machine::set), with which a
    /// cluster still does what is expected of it. None unless overridden.
    fn setting(_dice: &mut Dice) -> Option<(String, String)> {
        None
    }

    /// Returns the setting of the machine by which it knows at most so many members. None unless overridden.
    fn members(_most: u32) -> Option<(String, String)> {
        None
    }
}

/// Bounds of random scenarios. The defaults are what the sweep uses.
///
/// ```
/// use gossip_core::Node;
/// use gossip_testkit::{Addr, Checker, Command, Scenario, Swarm};
///
/// // Three nodes, many writes; nothing but losses and restarts.
/// let swarm = Swarm { nodes: 3..=3, writes: 20..=30, classes: vec!["loss", "burst", "crash"], ..Swarm::default() };
/// // One number is one scenario, always the same.
/// let scenario: Scenario<Command> = swarm.scenario(42);
/// assert_eq!(scenario, swarm.scenario(42));
/// Checker::<Node<Addr>>::default().sweep(&swarm, 0..20)?;
/// # Ok::<(), gossip_testkit::Failure>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    /// Number of nodes.
    pub nodes: RangeInclusive<u32>,
    /// Number of commands.
    pub writes: RangeInclusive<u32>,
    /// Within how long everything happens, in seconds: at least 5.
    pub seconds: u32,
    /// Largest error of a clock. Five seconds by default: [`Checker::sweep`](crate::Checker::sweep) takes what the machine
    /// allows where that is less ([`Expectations::max_skew`](crate::Expectations::max_skew)). Front ends do not know the machine: for
    /// one that allows less, proptest is given the swarm, as in `any_with::<Scenario<Command>>(swarm)`, and quickcheck takes
    /// a number and [`scenario`](Self::scenario).
    pub max_skew: Duration,
    /// Longest absence of some nodes while others stay, in the class `absence`: an hour by default. An hour of a few costs as much
    /// as a hundred other scenarios; of machines with long periods, days cost no more.
    pub longest_absence: Duration,
    /// Faults that may happen, by class: `loss`, `burst`, `duplicate`, `delay`, `corrupt`, `cut`, `crash`, `pause`, `skew`.
    /// Not among the defaults: `twin`, for machines that know ids; `narrow`, for machines that find out how long datagrams may be:
    /// links lose those over 600 to 1,150 bytes, half of the time for ever; `clock` and `absence`, for machines that no clock and no absence
    /// harms. Of these, wall clocks are wrong by seconds to weeks, step, and drift by up to 2 %, at one node, at some or at all. And
    /// all nodes are away for up to 30 days, or one or some for up to `longest_absence` (two minutes where there are more than five): they stand
    /// still, or are started again from a snapshot as old. Half of the commands are given meanwhile.
    /// Nor are these, for machines that know ids and lose nothing by another address: `move` gives a node another address: half
    /// of the time for a while to a process that runs on and is not told, otherwise with a restart, and then half of the time for good; `misplace` restarts a process that says it is at
    /// an address where nobody is. `shorten` configures a node for datagrams of 55 to 95 per cent of the others' length, for machines
    /// that can be ([`Machine::shortened`](crate::Machine::shortened)). `damage` restarts a process with a memory of which a bit is
    /// flipped, or the end is cut off, zeroed or followed by more ([`Machine::damaged`](crate::Machine::damaged)).
    /// Nor are these. `flap` cuts links one way again and
    /// again. `deploy` restarts all nodes with memory, one after another. `seedless` lets the one node through which all
    /// have joined die for good before anything else goes wrong, and nobody loses its memory. `reseed` lets the one or two
    /// through which all have joined come back at other addresses for good instead. `far` makes paths long, with round trips of up to
    /// five seconds, half of the time for ever. `set` gives settings of all or some nodes other values ([`Workload::setting`]).
    /// `churn` starts processes with ids of their own in the places of nodes, each for some seconds, and mostly lets nodes know hardly
    /// more members than are there at one time ([`Workload::members`]).
    pub classes: Vec<&'static str>,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            nodes: 2..=12,
            writes: 1..=12,
            seconds: 30,
            max_skew: Duration::from_secs(5),
            longest_absence: HOUR,
            classes: vec!["loss", "burst", "duplicate", "delay", "corrupt", "cut", "crash", "pause", "skew"],
        }
    }
}

impl Swarm {
    /// The names of all classes.
    pub(super) const CLASSES: [&str; 24] = [
        "loss",
        "burst",
        "duplicate",
        "delay",
        "corrupt",
        "cut",
        "crash",
        "pause",
        "skew",
        "twin",
        "narrow",
        "clock",
        "absence",
        "flap",
        "deploy",
        "seedless",
        "move",
        "misplace",
        "shorten",
        "damage",
        "reseed",
        "far",
        "set",
        "churn",
    ];

    /// The scenario that belongs to a number.
    ///
    /// # Panics
    /// If a class is none, or if there may be no node: nobody would draw what was asked for.
    pub fn scenario<C: Workload>(&self, number: u64) -> Scenario<C> {
        if let Some(class) = self.classes.iter().find(|class| !Self::CLASSES.contains(class)) {
            panic!("`{class}` is no class of faults, which are {}", Self::CLASSES.join(", "));
        }
        assert!(*self.nodes.start() > 0, "a scenario of no nodes shows nothing: {:?}", self.nodes);
        let mut dice = Dice::new(number);
        let nodes = dice.within(u64::from(*self.nodes.start())..=u64::from(*self.nodes.end())) as u32;
        let mut scenario = Scenario::new(nodes).seed(number);
        let end = u64::from(self.seconds.max(5)) * 1_000;
        for _ in 0..dice.within(u64::from(*self.writes.start())..=u64::from(*self.writes.end())) {
            let (at, node) = (dice.millis(0..=end), dice.within(0..=u64::from(nodes) - 1) as u32);
            scenario.writes.push(Write { at, node: Addr(node), command: C::random(&mut dice) });
        }
        scenario.writes.sort_by_key(|write| write.at);
        let mut draw = Draw::of::<C>(self, dice, nodes, end);
        let (mut seedless, mut reseed) = (false, false);
        for class in &self.classes {
            if draw.dice.half() {
                continue;
            }
            match *class {
                "seedless" => seedless = true,
                "reseed" => reseed = true,
                "set" => scenario.plan.faults.extend(draw.settings()),
                "churn" => scenario.plan.faults.extend(draw.churn()),
                // Once: several together would be longer.
                "far" => scenario.plan.faults.extend(draw.far()),
                "flap" => scenario.plan.faults.extend(draw.flaps()),
                "deploy" => scenario.plan.faults.extend(draw.deployment()),
                // Before all others, which give way: one node alone that stays for days takes long to simulate.
                "absence" => drop(scenario.plan.faults.splice(0..0, draw.absences())),
                class => {
                    for _ in 0..draw.dice.within(1..=3) {
                        scenario.plan.faults.extend(draw.faults(class));
                    }
                }
            }
        }
        if let Some(most) = longest_message(&scenario.plan) {
            scenario.writes.iter_mut().for_each(|write| write.command.shorten(most));
        }
        if scenario.plan.guests().next().is_some() {
            alike(&mut scenario.plan, C::members(0));
        }
        if seedless && nodes > 1 {
            lose_seed(&mut scenario);
        } else if reseed {
            draw.reseed(&mut scenario);
        }
        apart(&mut scenario.plan);
        if self.classes.contains(&"absence") {
            draw.meanwhile(&mut scenario);
        }
        scenario
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// An address that is no node's, another one for each node and kind.
pub(super) fn elsewhere(kind: u32, node: Addr) -> Addr {
    Addr(kind * 100_000 + node.0)
}

pub(super) struct Draw {
    pub(super) dice: Dice,
    pub(super) nodes: u32,
    pub(super) end: u64,
    pub(super) max_skew: Duration,
    pub(super) longest_absence: Duration,
    /// See [`Workload::setting`].
    pub(super) setting: fn(&mut Dice) -> Option<(String, String)>,
    /// See [`Workload::members`].
    pub(super) members: fn(u32) -> Option<(String, String)>,
}

impl Draw {
    /// Draws what may go wrong among so many nodes within so many milliseconds.
    pub(super) fn of<C: Workload>(swarm: &Swarm, dice: Dice, nodes: u32, end: u64) -> Self {
        let Swarm { max_skew, longest_absence, .. } = *swarm;
        Self { dice, nodes, end, max_skew, longest_absence, setting: C::setting, members: C::members }
    }

    pub(super) fn node(&mut self) -> Addr {
        Addr(self.dice.within(0..=u64::from(self.nodes) - 1) as u32)
    }

    pub(super) fn window(&mut self) -> Window {
        let from = self.dice.within(0..=self.end - 1_000);
        let to = self.dice.within(from + 100..=self.end);
        Window::new(Duration::from_millis(from), Duration::from_millis(to))
    }

    /// Everything half of the time, else what leaves or reaches a few.
    fn links(&mut self) -> Links {
        match self.dice.within(0..=3) {
            0 => Links { from: self.some(), to: Nodes::All },
            1 => Links { from: Nodes::All, to: self.some() },
            _ => Links::ALL,
        }
    }

    pub(super) fn some(&mut self) -> Nodes {
        let some: Vec<_> = (0..self.nodes).filter(|_| self.dice.half()).map(Addr).collect();
        if some.is_empty() { self.node().into() } else { some.into_iter().collect() }
    }

    /// Parts two nodes or more in two, neither empty.
    fn halves(&mut self) -> (Nodes, Nodes) {
        let (mut one, mut other): (Vec<_>, Vec<_>) = (0..self.nodes).map(Addr).partition(|_| self.dice.half());
        if one.is_empty() {
            one.extend(other.pop());
        }
        if other.is_empty() {
            other.extend(one.pop());
        }
        (one.into_iter().collect(), other.into_iter().collect())
    }

    fn percent(&mut self, bounds: RangeInclusive<u64>) -> Chance {
        Chance::percent(self.dice.within(bounds) as u32)
    }

    /// Draws the faults of a class that come together.
    pub(super) fn faults(&mut self, class: &str) -> Vec<Fault> {
        match class {
            "clock" => self.clocks(),
            "absence" => self.absences(),
            "far" => self.far(),
            class => self.fault(class).into_iter().collect(),
        }
    }

    /// One node, some, or all.
    fn few_or_all(&mut self) -> Vec<Addr> {
        match self.dice.within(0..=3) {
            0 => (0..self.nodes).map(Addr).collect(),
            1 => (0..self.nodes).filter(|_| self.dice.half()).map(Addr).collect(),
            _ => vec![self.node()],
        }
    }

    fn clocks(&mut self) -> Vec<Fault> {
        // Around the bound within which clocks count as right, and far beyond it.
        const SECONDS: [i64; 9] = [7, 9, 15, 30, 60, 3_600, 13 * 3_600, 8 * 86_400, 11 * 86_400];
        let during = if self.dice.half() { self.window() } else { Window::since(self.window().from) };
        let mut by = self.offset(&SECONDS);
        let alike = self.dice.half();
        let drifts = self.dice.within(0..=3) == 0;
        let skew = |node: Addr, this: &mut Self| {
            if !alike {
                by = this.offset(&SECONDS);
            }
            let drift_ppm = if drifts { this.dice.within(0..=40_000) as i32 - 20_000 } else { 0 };
            Fault::Skew { node, during, offset: by, drift_ppm, beyond: true }
        };
        let nodes = self.few_or_all();
        let mut skew = skew;
        nodes.into_iter().map(|node| skew(node, self)).collect()
    }

    fn offset(&mut self, seconds: &[i64]) -> i64 {
        let ahead = self.dice.pick(seconds).copied().unwrap_or_default() * 1_000_000;
        if self.dice.half() { ahead } else { -ahead }
    }

    /// All for long, which takes no time to simulate; one or some for up to an hour where they are few, and briefly otherwise.
    /// They stand still, or are started again from a snapshot as old.
    fn absences(&mut self) -> Vec<Fault> {
        const FEW: u32 = 5;
        let from = self.window().from;
        let all = self.dice.half();
        let seconds: &[u64] = match self.nodes {
            _ if all => &[120, 3_600, 8 * 86_400, 30 * 86_400],
            0..=FEW if self.longest_absence > HOUR => &[3_600, 6 * 3_600, 86_400, 8 * 86_400, 30 * 86_400],
            0..=FEW => &[30, 30, 60, 60, 120, 120, 2_400, 3_600],
            _ => &[30, 120],
        };
        let away = self.dice.pick(seconds).copied().unwrap_or_default();
        let away = if all { away } else { away.min(self.longest_absence.as_secs()) };
        let (restarts, together) = (self.dice.half(), self.dice.half());
        let nodes = if all { (0..self.nodes).map(Addr).collect() } else { self.few_or_all() };
        let absence = |node| {
            let later = if together { Duration::ZERO } else { self.dice.millis(0..=20_000) };
            let to = from + Duration::from_secs(away) + later;
            if restarts {
                Fault::Crash { node, at: from, restart: Some(Restart { at: to, memory: true }) }
            } else {
                Fault::Pause { node, during: Window::new(from, to) }
            }
        };
        nodes.into_iter().map(absence).collect()
    }

    /// Lets users write while others are away: until half a minute after the last is back, unless that takes days.
    fn meanwhile<C>(&mut self, scenario: &mut Scenario<C>) {
        let soon = |at: &Duration| *at < 2 * self.longest_absence;
        let end = scenario.plan.faults.iter().map(Fault::heals_at).filter(soon).max().unwrap_or_default();
        let end = (end + Duration::from_secs(30)).as_millis() as u64;
        for write in &mut scenario.writes {
            if self.dice.half() {
                write.at = self.dice.millis(0..=end);
            }
        }
        scenario.writes.sort_by_key(|write| write.at);
    }

    pub(super) fn fault(&mut self, class: &str) -> Option<Fault> {
        let during = self.window();
        Some(match class {
            "loss" => Fault::Loss { on: self.links(), during, chance: self.percent(1..=60) },
            "burst" => Fault::Burst {
                on: self.links(),
                during,
                chance: self.percent(50..=100),
                bad: self.dice.millis(50..=1_000),
                good: self.dice.millis(200..=5_000),
            },
            "duplicate" => Fault::Duplicate { on: self.links(), during, chance: self.percent(1..=50) },
            "delay" => Fault::Delay {
                on: self.links(),
                during,
                chance: self.percent(5..=100),
                by: self.dice.millis(1..=3_000),
            },
            "corrupt" => Fault::Corrupt { on: self.links(), during, chance: self.percent(1..=20) },
            "narrow" => {
                let during = if self.dice.half() { Window::since(during.from) } else { during };
                Fault::Narrow { on: self.links(), during, longest: self.dice.within(600..=1_150) as u16 }
            }
            // One node alone is cut off from nobody.
            "cut" if self.nodes < 2 => return None,
            "cut" => {
                let (from, to) = self.halves();
                Fault::Cut { on: Links { from, to }, both_ways: self.dice.half(), during }
            }
            "crash" => self.crash(during),
            "pause" => Fault::Pause { node: self.node(), during },
            "twin" => self.twin(during)?,
            "move" => {
                let (node, restarts) = (self.node(), self.dice.half());
                // The first node comes back: others may not have met except through it.
                let stays = restarts && node != Addr(0) && self.dice.half();
                let during = if stays { Window::since(during.from) } else { during };
                Fault::Move { node, to: elsewhere(1, node), during, restarts }
            }
            "misplace" => {
                let node = self.node();
                Fault::Misplace { node, at: elsewhere(2, node), during }
            }
            "shorten" => Fault::Shorten { node: self.node(), percent: self.dice.within(55..=95) as u8 },
            "damage" => {
                let harm = self.dice.pick(&Harm::ALL).copied()?;
                Fault::Damage { node: self.node(), at: during.from, restart: during.to?, harm }
            }
            "flap" => self.flaps().pop()?,
            // Those of all nodes, or of all times, are drawn with the scenario.
            "deploy" => self.crash(during),
            "seedless" | "reseed" => return None,
            "far" => self.far().pop()?,
            "set" => self.settings().pop()?,
            "churn" | "guest" => self.churn().pop()?,
            "skew" => {
                let most = self.max_skew.as_micros() as u64 * 9 / 10;
                let ahead = self.dice.within(0..=2 * most) as i64 - most as i64;
                // With the tenth that is left over, a drift stays within the bound.
                let drift = self.max_skew.as_micros() as u64 / 10 * 1_000 / self.end;
                let drift = self.dice.within(0..=2 * drift) as i64 - drift as i64;
                Fault::Skew { node: self.node(), during, offset: ahead, drift_ppm: drift as i32, beyond: false }
            }
            _ => unreachable!("the names of the classes were looked at"),
        })
    }

    /// One-way cuts of the same links, one after another.
    fn flaps(&mut self) -> Vec<Fault> {
        if self.nodes < 2 {
            return Vec::new();
        }
        let (from, to) = self.halves();
        let mut at = self.dice.within(0..=self.end / 2);
        let mut cuts = Vec::new();
        for _ in 0..self.dice.within(3..=8) {
            let end = at + self.dice.within(200..=4_000);
            if end > self.end {
                break;
            }
            let during = Window::new(Duration::from_millis(at), Duration::from_millis(end));
            cuts.push(Fault::Cut { on: Links { from: from.clone(), to: to.clone() }, both_ways: false, during });
            at = end + self.dice.within(200..=4_000);
        }
        cuts
    }

    /// Restarts of all nodes with memory, one after another.
    fn deployment(&mut self) -> Vec<Fault> {
        let every = self.end / 2 / u64::from(self.nodes);
        let start = self.dice.within(0..=self.end / 2);
        let crash = |node: u32, away: u64| {
            let at = start + every * u64::from(node);
            let restart = Some(Restart { at: Duration::from_millis(at + away), memory: true });
            Fault::Crash { node: Addr(node), at: Duration::from_millis(at), restart }
        };
        (0..self.nodes).map(|node| crash(node, self.dice.within(100..=every.max(101)))).collect()
    }

    /// The first node's own process never dies for good, as in a crash.
    fn twin(&mut self, during: Window) -> Option<Fault> {
        let (node, of) = (self.node(), self.node());
        let stays = self.dice.half() && of != Addr(0);
        (node != of).then_some(Fault::Twin { node, of, during, stays })
    }

    /// Mostly with a restart. The first node always comes back: others may not have met except through it.
    fn crash(&mut self, during: Window) -> Fault {
        let node = self.node();
        let back = node == Addr(0) || self.dice.within(0..=3) > 0;
        let restart = during.to.filter(|_| back).map(|at| Restart { at, memory: self.dice.half() });
        Fault::Crash { node, at: during.from, restart }
    }
}
