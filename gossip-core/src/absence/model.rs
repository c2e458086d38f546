//! Nodes that go away, come back, and meet in every order: nothing is destroyed, and little that was deleted comes back.
//!
//! Drives the real doubts, merge and forgetting, without network. Two nodes are always there and always meet: they are
//! witnesses. One tick is a minute; certificates live for ten, and are forgotten fifteen after that. A schedule is data, so that
//! one that fails shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::*;
use crate::clock::Settled;
use crate::clock::tests::smallest;
use crate::replica::{Merged, Range, Replica};
use crate::update::{End, KeyHash, Stamp, Until, Whose};

const START: Instant = Instant::from_secs(1_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const KEEP: Duration = Duration::from_secs(600);
const NAMES: [&str; 3] = ["a", "b", "c"];

type Sample = Update<u16>;

/// A fault that the model has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// Nobody ever has a doubt.
    NoDoubt,
    /// Whoever comes back drops what is in doubt, and asks afterwards.
    DropsFirst,
    /// Any sign of life is a contact.
    TouchByAck,
    /// A doubt begins after the first datagram has been taken in.
    LateDoubt,
    /// A newcomer is a witness at once.
    NewcomerJudges,
    /// Sets aside what others lack, whether or not they have forgotten anything.
    NoReach,
    /// Snapshots leave out updates that have ended.
    BriefSnapshot,
    /// Silence is counted by the wall clock.
    StepIsAbsence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Node, name, and whether the value lasts or is a deletion.
    Write(usize, &'static str, bool),
    /// Two that meet. A number stands for an exchange of which half is lost, and for which half.
    Meet(usize, usize, Option<u64>),
    /// Minutes.
    Pass(u32),
    /// Goes away, or comes back: suspended, or (true) from a snapshot.
    Turn(usize, bool),
    Arrive,
    /// The wall clock of a node is so many seconds ahead from now on.
    Clock(usize, i64),
}
use Step::{Arrive, Clock, Meet, Pass, Turn, Write};

/// What happens, among how many nodes at first.
#[derive(Debug, Clone)]
struct Schedule {
    seed: u64,
    sites: usize,
    /// True if the first two nodes never go away.
    witnesses: bool,
    steps: Vec<Step>,
}

struct Site {
    replica: Replica<u16>,
    absence: Absence,
    settled: Settled,
    aside: BTreeSet<Stamp>,
    on: bool,
    /// Seconds by which its wall clock is ahead.
    ahead: i64,
    /// The last contact.
    met: Instant,
}

impl Site {
    fn agreed(&self, now: Instant) -> Instant {
        Instant::from_micros(now.as_micros().saturating_add_signed(self.ahead * 1_000_000))
    }
}

struct Written {
    name: &'static str,
    stamp: Stamp,
    lasts: bool,
    replaced: Option<Stamp>,
}

/// Outcome for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Nodes see different values in the end.
    Differs,
    /// A write that nobody replaced is nowhere.
    Destroyed,
    /// A value that was replaced is back.
    Revived,
    /// A write that nobody replaced is set aside.
    SetAside,
    /// Values that all see were set aside somewhere.
    Needless,
    /// A node was in doubt that had never been silent.
    NeedlessDoubt,
}

struct World {
    rng: Xoshiro256PlusPlus,
    sites: Vec<Site>,
    now: Instant,
    written: Vec<Written>,
    planted: Planted,
    witnesses: bool,
    needless: bool,
}

impl World {
    fn new(schedule: &Schedule, planted: Planted) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(schedule.seed);
        let (sites, written, witnesses) = (Vec::new(), Vec::new(), schedule.witnesses);
        let mut world = Self { rng, sites, now: START, written, planted, witnesses, needless: false };
        (0..schedule.sites).for_each(|_| world.arrive());
        world
    }

    fn arrive(&mut self) {
        let mut absence = Absence::new(NodeId::new(self.sites.len() as u64), KEEP, MINUTE / 4);
        absence.start(self.now);
        if self.planted == Planted::NewcomerJudges && self.now > START {
            (absence.contact.since, absence.contact.reach) = (0, u32::MAX);
        }
        let (replica, settled) = (Replica::new("", MINUTE, 0), Settled::default());
        let (on, ahead, met) = (true, 0, self.now);
        self.sites.push(Site { replica, absence, settled, aside: BTreeSet::new(), on, ahead, met });
    }

    fn pass(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.now += MINUTE;
            for site in self.sites.iter_mut().filter(|site| site.on) {
                let agreed = site.agreed(self.now);
                let Site { replica, absence, settled, .. } = site;
                if self.planted == Planted::TouchByAck {
                    absence.touch(self.now, second(agreed), agreed, agreed);
                }
                let past = settled.look(self.now, agreed, !absence.is_in_doubt());
                replica.advance(agreed, past);
            }
            if self.witnesses {
                self.meet(0, 1, false);
            }
        }
    }

    fn write(&mut self, at: usize, name: &'static str, lasts: bool) {
        let agreed = self.sites[at].agreed(self.now);
        let replica = &mut self.sites[at].replica;
        let held = replica.get(replica.hasher.entry(Whose::Everyone, name));
        let replaced = held.as_ref().and_then(Update::stamp);
        let node = NodeId::new(at as u64);
        let stamp = match replaced {
            Some(held) if held.time >= agreed => Stamp { counter: held.counter + 1, node, ..held },
            _ => Stamp { time: agreed, counter: 0, node },
        };
        let covers = if held.is_none() { Until::NEVER } else { End::NOTHING };
        let ends = (!lasts).then(|| End { covers, ..End::new(agreed, KEEP) });
        let value = lasts.then(|| [stamp.counter as u8].into());
        replica.merge(Update::Entry(Entry { owner: None, name: name.into(), stamp, ends, value, extra: None }));
        self.written.push(Written { name, stamp, lasts, replaced });
    }

    /// Both begin an exchange with the other. `half`: half of what differs is lost.
    fn meet(&mut self, a: usize, b: usize, half: bool) {
        self.exchange(a, b, half);
        self.exchange(b, a, half);
    }

    fn exchange(&mut self, a: usize, b: usize, half: bool) {
        let now = self.now;
        let hears = |this: &mut Self| {
            for at in [a, b] {
                let site = &mut this.sites[at];
                let agreed = site.agreed(now);
                let Site { replica, absence, met, .. } = site;
                let counts = if this.planted == Planted::StepIsAbsence { agreed } else { now };
                let begins = absence.hear(counts, agreed);
                // An exchange of which half is lost is no contact.
                this.needless |= begins && absence.is_in_doubt() && now.since(*met) <= MINUTE;
                if begins && this.planted == Planted::DropsFirst {
                    let doubtful = replica.in_range(Range::ALL, now).filter(|(_, update)| absence.doubts(update));
                    let doubtful: Vec<u64> = doubtful.map(|(hash, _)| hash).collect();
                    doubtful.into_iter().for_each(|hash| drop(replica.take(hash)));
                }
                if this.planted == Planted::NoDoubt {
                    absence.doubt = None;
                }
            }
        };
        if self.planted != Planted::LateDoubt {
            hears(self);
        }
        let asked = self.knowledge(a);
        self.sites[b].absence.meet(asked, now);
        let told = self.knowledge(b);
        let meeting = self.sites[a].absence.meet(told, now);
        let cut = self.sites[a].agreed(now).max(self.sites[b].agreed(now));
        let (mine, theirs) = (self.set(a, cut), self.set(b, cut));
        let lost = |this: &mut Self| half && this.rng.random();
        for (hash, update) in mine.iter().filter(|(hash, _)| !theirs.contains_key(*hash)) {
            let key = self.key(update);
            let doubtful = !self.sites[b].replica.has(key) && self.sites[a].absence.doubts(update);
            if lost(self) {
            } else if doubtful && meeting == Meeting::Judged {
                self.sites[a].replica.take(*hash);
                self.sites[a].aside.extend(update.stamp());
            } else if !doubtful || meeting == Meeting::Alike {
                self.offer(a, b, update.clone());
            }
        }
        for (_, update) in theirs.iter().filter(|(hash, _)| !mine.contains_key(*hash)) {
            let in_doubt = self.sites[a].absence.is_in_doubt();
            let doubtful = !self.sites[a].replica.has(self.key(update)) && self.sites[b].absence.doubts(update);
            if !lost(self) && (!doubtful || in_doubt) {
                self.offer(b, a, update.clone());
            }
        }
        if !half {
            self.sites[a].absence.complete(told, meeting);
            self.touch(a, b);
            if self.set(a, cut).keys().eq(self.set(b, cut).keys()) {
                self.touch(b, a);
            }
        }
        if self.planted == Planted::LateDoubt {
            hears(self);
        }
    }

    fn touch(&mut self, at: usize, peer: usize) {
        let (peer, now) = (second(self.sites[peer].agreed(self.now)), self.now);
        let site = &mut self.sites[at];
        let agreed = site.agreed(now);
        let counts = if self.planted == Planted::StepIsAbsence { agreed } else { now };
        site.absence.touch(counts, peer, agreed, agreed);
        site.met = now;
    }

    fn knowledge(&self, at: usize) -> Knowledge {
        let Site { absence, replica, .. } = &self.sites[at];
        let reach = if self.planted == Planted::NoReach { u32::MAX } else { replica.reach() };
        absence.knowledge(reach, self.now)
    }

    fn key(&self, update: &Sample) -> KeyHash {
        self.sites[0].replica.hasher.key(update)
    }

    fn set(&self, site: usize, cut: Instant) -> BTreeMap<u64, Sample> {
        self.sites[site].replica.in_range(Range::ALL, cut).collect()
    }

    /// Offers an update. Whoever holds a newer one answers with that.
    fn offer(&mut self, from: usize, to: usize, update: Sample) {
        let key = self.key(&update);
        let agreed = self.sites[to].agreed(self.now);
        let replica = &mut self.sites[to].replica;
        if (replica.keeps(&update, agreed) || replica.replaces(key, &update))
            && matches!(replica.merge(update), Merged::Outdated | Merged::Covered { .. })
            && let Some(newer) = replica.get(key)
        {
            self.sites[from].replica.merge(newer);
        }
    }

    fn take(&mut self, step: Step) {
        let is_on = |at: usize| self.sites.get(at).is_some_and(|site| site.on);
        match step {
            Write(at, name, lasts) if is_on(at) => self.write(at, name, lasts),
            Meet(a, b, lost) if is_on(a) && is_on(b) => {
                if let Some(seed) = lost {
                    self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
                }
                self.meet(a, b, lost.is_some());
            }
            Pass(minutes) => self.pass(minutes),
            Turn(at, restarts) if at < self.sites.len() => self.turn(at, restarts),
            Arrive => self.arrive(),
            Clock(at, ahead) if at < self.sites.len() => self.sites[at].ahead = ahead,
            _ => {}
        }
    }

    fn turn(&mut self, at: usize, restarts: bool) {
        let (now, planted) = (self.now, self.planted);
        let site = &mut self.sites[at];
        site.on = !site.on;
        if !site.on || !restarts {
            return;
        }
        let agreed = site.agreed(now);
        let kept = site.absence.contact(site.replica.reach());
        site.absence = Absence::new(site.absence.own, KEEP, MINUTE / 4);
        site.absence.start(agreed);
        site.absence.restore(kept);
        let mut replica = Replica::new("", MINUTE, 0);
        for update in site.replica.stored() {
            if planted != Planted::BriefSnapshot || update.ends().is_after(agreed) {
                replica.merge(update);
            }
        }
        (site.replica, site.settled) = (replica, Settled::default());
    }

    fn run(mut self, steps: &[Step]) -> BTreeSet<Outcome> {
        for step in steps {
            self.pass(1);
            self.take(*step);
        }
        self.sites.iter_mut().for_each(|site| site.ahead = 0);
        for at in 0..self.sites.len() {
            if !self.sites[at].on {
                self.turn(at, at % 2 == 0);
            }
        }
        for _ in 0..12 {
            self.pass(1);
            let mut pairs: Vec<(usize, usize)> =
                (0..self.sites.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
            pairs.shuffle(&mut self.rng);
            pairs.into_iter().for_each(|(a, b)| self.meet(a, b, false));
        }
        let needless = self.needless.then_some(Outcome::NeedlessDoubt);
        NAMES.into_iter().filter_map(|name| self.outcome(name)).chain(needless).collect()
    }

    fn outcome(&self, name: &str) -> Option<Outcome> {
        let written: Vec<&Written> = self.written.iter().filter(|written| written.name == name).collect();
        let seen: BTreeSet<Option<Stamp>> = self
            .sites
            .iter()
            .map(|site| site.replica.entry(Whose::Everyone, name, self.now).map(|entry| entry.stamp))
            .collect();
        if seen.len() > 1 {
            return Some(Outcome::Differs);
        }
        let gone: BTreeSet<Stamp> = written.iter().filter_map(|written| written.replaced).collect();
        if seen.iter().flatten().any(|stamp| gone.contains(stamp)) {
            return Some(Outcome::Revived);
        }
        let newest = written.iter().max_by_key(|written| written.stamp).filter(|newest| newest.lasts)?;
        let aside = self.sites.iter().any(|site| site.aside.contains(&newest.stamp));
        match (seen.contains(&Some(newest.stamp)), aside) {
            (true, false) => None,
            (true, true) => Some(Outcome::Needless),
            (false, true) => Some(Outcome::SetAside),
            (false, false) => Some(Outcome::Destroyed),
        }
    }
}

/// Draws a schedule. `clocks`: wall clocks are set an hour off, and back.
fn schedule(seed: u64, witnesses: bool, clocks: bool) -> Schedule {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let sites = rng.random_range(3..=4);
    let mut on = vec![true; sites];
    let mut steps = Vec::new();
    for _ in 0..rng.random_range(8..=22) {
        let here: Vec<usize> = (0..on.len()).filter(|at| on[*at]).collect();
        steps.push(match rng.random_range(0..100) {
            0..30 => match here.choose(rng) {
                Some(at) => Write(*at, NAMES.choose(rng).unwrap(), rng.random_range(0..4) > 0),
                None => Pass(1),
            },
            30..62 if here.len() > 1 => {
                let (first, other) = (rng.random_range(0..here.len()), rng.random_range(1..here.len()));
                let half = rng.random_range(0..10) < 3;
                Meet(here[first], here[(first + other) % here.len()], half.then(|| rng.random()))
            }
            62..70 if clocks => Clock(rng.random_range(0..on.len()), *[0, 3_600, -3_600].choose(rng).unwrap()),
            30..78 => Pass(*[1, 3, 12, 40].choose(rng).unwrap()),
            78..93 => {
                let at = rng.random_range(if witnesses { 2 } else { 0 }..on.len());
                on[at] = !on[at];
                Turn(at, rng.random())
            }
            _ if on.len() < 6 => {
                on.push(true);
                Arrive
            }
            _ => Pass(1),
        });
    }
    Schedule { seed, sites, witnesses, steps }
}

fn run(schedule: &Schedule, planted: Planted) -> BTreeSet<Outcome> {
    World::new(schedule, planted).run(&schedule.steps)
}

/// Schedules with each outcome, and one of them.
fn outcomes(planted: Planted, witnesses: bool, cases: u64) -> BTreeMap<Outcome, (usize, u64)> {
    let mut found = BTreeMap::new();
    for seed in 0..cases {
        for outcome in run(&schedule(seed, witnesses, false), planted) {
            found.entry(outcome).or_insert((0, seed)).0 += 1;
        }
    }
    found
}

fn count(outcomes: &BTreeMap<Outcome, (usize, u64)>, outcome: Outcome) -> usize {
    outcomes.get(&outcome).map_or(0, |(count, _)| *count)
}

const CASES: u64 = 600;

#[test]
fn nothing_is_destroyed_and_what_was_deleted_stays_deleted_where_there_are_witnesses() {
    let found = outcomes(Planted::Nothing, true, CASES);
    assert_eq!(count(&found, Outcome::Differs) + count(&found, Outcome::Destroyed), 0, "{found:?}");
    assert_eq!(count(&found, Outcome::NeedlessDoubt), 0, "{found:?}");
    // Two that were away and have met only each other for long; a value that had reached nobody.
    let revived = found.get(&Outcome::Revived).map(|(_, seed)| {
        let drawn = schedule(*seed, true, false);
        smallest(drawn.steps.clone(), |steps| {
            run(&Schedule { steps: steps.to_vec(), ..drawn.clone() }, Planted::Nothing).contains(&Outcome::Revived)
        })
    });
    std::println!("{found:?}; one that revives: {revived:?}");
    assert!(count(&found, Outcome::Revived) <= 1 && count(&found, Outcome::SetAside) <= 1, "{found:?} {revived:?}");
}

#[test]
fn nothing_is_destroyed_where_all_go_away_and_come_back() {
    let found = outcomes(Planted::Nothing, false, CASES);
    assert_eq!(count(&found, Outcome::Differs) + count(&found, Outcome::Destroyed), 0, "{found:?}");
}

#[test]
fn a_step_of_a_clock_is_no_absence_and_destroys_nothing() {
    for seed in 0..CASES {
        let found = run(&schedule(seed, true, true), Planted::Nothing);
        let bad = [Outcome::Differs, Outcome::Destroyed, Outcome::NeedlessDoubt];
        assert!(bad.iter().all(|outcome| !found.contains(outcome)), "seed {seed}: {found:?}");
    }
}

#[test]
fn the_model_finds_each_rule_that_is_broken_and_few_steps_show_it() {
    for (planted, outcome, most) in [
        (Planted::NoDoubt, Outcome::Revived, 6),
        (Planted::TouchByAck, Outcome::Revived, 6),
        (Planted::LateDoubt, Outcome::Revived, 6),
        (Planted::DropsFirst, Outcome::Destroyed, 7),
        (Planted::NewcomerJudges, Outcome::Needless, 6),
        (Planted::NoReach, Outcome::SetAside, 6),
        (Planted::BriefSnapshot, Outcome::Revived, 6),
        (Planted::StepIsAbsence, Outcome::NeedlessDoubt, 2),
    ] {
        let shows = |schedule: &Schedule| {
            run(schedule, planted).contains(&outcome) && !run(schedule, Planted::Nothing).contains(&outcome)
        };
        let found = (0..CASES).map(|seed| schedule(seed, true, planted == Planted::StepIsAbsence)).find(shows);
        let found = found.unwrap_or_else(|| panic!("{planted:?} is not found in {CASES} schedules"));
        let steps = smallest(found.steps.clone(), |steps| shows(&Schedule { steps: steps.to_vec(), ..found.clone() }));
        std::println!("{planted:?}: {} of {} steps: {steps:?}", steps.len(), found.steps.len());
        assert!(steps.len() <= most, "{planted:?}: {steps:?}");
    }
}
