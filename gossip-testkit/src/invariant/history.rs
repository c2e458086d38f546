//! History that no step may undo: versions, deaths, deliveries, incarnations, writes. Restarts without memory excepted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gossip_core::Instant;

use super::{Invariant, Violation, World};
use crate::address::Addr;
use crate::machine::{ItemVersion, Machine, Note, View, ViewItem};
use crate::plan::{Fault, FaultPlan};

/// Versions never step back: what a node holds for a key is never replaced by something older, and vanishes only
/// when it is past its time, or replaced by a newer write whose own time is past.
#[derive(Debug, Default)]
pub struct NoStepBack {
    /// Versions of each key that end, whoever held them.
    ending: Ending,
    memories: Memories,
}

impl<M: Machine> Invariant<M> for NoStepBack {
    fn name(&self) -> &'static str {
        "versions never step back"
    }

    fn started(&mut self, node: Addr, memory: bool) {
        self.memories.started(node, memory);
    }

    fn stepped(&mut self, world: &World<'_, M>, node: Addr) -> Result<(), Violation> {
        self.memories.stepped(world, node);
        Ok(())
    }

    fn changed(&mut self, world: &World<'_, M>, node: Addr, before: &View, after: &View) -> Result<(), Violation> {
        let cut = world.cut_of(node);
        self.ending.note(world, node, before, after);
        // A certificate that had ended when it came is stored, but is in no view. It covers what it has replaced: so that has not
        // ended unless its writer keeps certificates for less long. One that is long past by another's wrong clock may never come:
        // then what it has replaced is set aside.
        let apart = world.plan().faults.iter().any(|fault| matches!(fault, Fault::Skew { beyond: true, .. }));
        let has_ended = |key, old: &ViewItem| {
            let over = |end: &End| {
                let now = world.now();
                end.item.version > old.version && (end.is_long_past(cut, now) || apart && end.is_past(cut, now))
            };
            self.ending.of(key).iter().any(over)
        };
        // What is set aside for want of a right date gives way to what others have written meanwhile.
        let newer = |key, old: &ViewItem| {
            let holds = |machine: &M| machine.view(cut).items.get(key).is_some_and(|item| item.version > old.version);
            apart && world.live().any(|(other, machine)| other != node && holds(machine))
        };
        let outdated = self.memories.is_outdated(world, node);
        for (key, old) in &before.items {
            let lost = match after.items.get(key) {
                // A dead member that gave way for want of room is nobody of whom anything is known.
                Some(new) => new.version < old.version && !(old.member && old.bound),
                None if outdated && old.member => false,
                None => {
                    let replaced = is_replaced(old, before, after) || has_ended(key, old) || newer(key, old);
                    !old.bound && !old.is_past(cut) && !replaced
                }
            };
            if lost {
                return Err(Violation::between(
                    format!("node {node} held {key} = {old} and does not any more"),
                    (format!("node {node} before"), before.clone()),
                    (format!("node {node} after"), after.clone()),
                ));
            }
        }
        Ok(())
    }
}

/// Ages of the memories with which processes start, by their own clocks.
#[derive(Debug, Default)]
struct Memories {
    /// Time of the last call of each node.
    called: PerNode<Instant>,
    /// Nodes that restart with memory, until they have changed what they hold: since when they were away.
    restarting: BTreeMap<Addr, Instant>,
}

impl Memories {
    fn started(&mut self, node: Addr, memory: bool) {
        let away_since = *self.called.of(node);
        self.restarting.remove(&node);
        if memory {
            self.restarting.insert(node, away_since);
        }
    }

    fn stepped<M: Machine>(&mut self, world: &World<'_, M>, node: Addr) {
        *self.called.of(node) = world.cut_of(node);
    }

    /// Returns true if what a node changes comes from a memory that is too old for the members in it to be believed.
    fn is_outdated<M: Machine>(&mut self, world: &World<'_, M>, node: Addr) -> bool {
        let away_since = self.restarting.remove(&node);
        away_since.is_some_and(|at| world.cut_of(node).since(at) > world.expectations().members_kept)
    }
}

/// A version that ends.
#[derive(Debug)]
struct End {
    item: ViewItem,
    /// Times at which it has lived for as long as it was to, and was kept for as long as it was to be, where it was held,
    /// whatever the clock there shows.
    lived: Instant,
    kept: Instant,
}

impl End {
    fn is_past(&self, cut: Instant, now: Instant) -> bool {
        self.item.is_past(cut) || self.lived <= now
    }

    fn is_long_past(&self, cut: Instant, now: Instant) -> bool {
        self.item.is_long_past(cut) || self.kept <= now
    }
}

/// The versions of each key that end, whoever held them: also those that are not the newest, since what has ended still ends
/// what is older.
#[derive(Debug, Default)]
struct Ending(BTreeMap<String, Vec<End>>);

impl Ending {
    fn of(&self, key: &str) -> &[End] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn note<M: Machine>(&mut self, world: &World<'_, M>, node: Addr, before: &View, after: &View) {
        let cut = world.cut_of(node);
        for (key, item) in after.items.iter().filter(|(key, item)| before.items.get(*key) != Some(*item)) {
            let Some(until) = item.until else { continue };
            let at = |end: Instant| world.now() + end.since(cut);
            // By a clock that says that it is over already it has not lived at all.
            let lived = if until > cut { at(until) } else { Instant::MAX };
            let kept = at(item.kept.unwrap_or(Instant::MAX));
            let ends = self.0.entry(key.clone()).or_default();
            match ends.iter_mut().find(|end| end.item.version == item.version) {
                Some(end) => (end.lived, end.kept) = (end.lived.min(lived), end.kept.min(kept)),
                None => ends.push(End { item: item.clone(), lived, kept }),
            }
        }
    }
}

/// Returns true if something newer that is deleted has come: it may have lost its name, as a certificate does when it shrinks.
fn is_replaced(old: &ViewItem, before: &View, after: &View) -> bool {
    let came = after.items.iter().filter(|(key, _)| !before.items.contains_key(*key));
    came.into_iter().any(|(_, new)| new.body.is_none() && new.version > old.version)
}

/// Per node what it has known since it last lost its memory.
#[derive(Debug, Default)]
struct PerNode<T>(Vec<T>);

impl<T: Default> PerNode<T> {
    fn of(&mut self, node: Addr) -> &mut T {
        if self.0.len() <= node.index() {
            self.0.resize_with(node.index() + 1, T::default);
        }
        &mut self.0[node.index()]
    }
}

/// No resurrection: what was deleted, or has expired, and was known here to be, does not come back, as long as everybody who was away
/// for longer than a minute meets somebody who has been there since before, at most one clock was off when it went, more were right
/// than wrong when it was deleted, it is bound to no member, and had come to somebody beside its writer who is there.
#[derive(Debug, Default)]
pub struct NoResurrection {
    gone: PerNode<BTreeMap<String, ItemVersion>>,
    /// Versions of each key, with the nodes that have held it: the first has written it.
    held: BTreeMap<(String, ItemVersion), Vec<Addr>>,
    /// Versions of each key that nobody had but their writers, when others learned of them though something newer had ended.
    late: BTreeSet<(String, ItemVersion)>,
    /// Versions of each key that end and were written while no more clocks were right than wrong.
    undated: BTreeSet<(String, ItemVersion)>,
    /// The latest time that each node's clock has shown.
    latest: PerNode<Instant>,
}

impl<M: Machine> Invariant<M> for NoResurrection {
    fn name(&self) -> &'static str {
        "no resurrection: what is deleted or expired stays gone"
    }

    fn started(&mut self, node: Addr, memory: bool) {
        if !memory {
            self.gone.of(node).clear();
        }
    }

    fn changed(&mut self, world: &World<'_, M>, node: Addr, before: &View, after: &View) -> Result<(), Violation> {
        let cut = world.cut_of(node);
        // A clock that steps back shows again what had expired, for as long as that is ahead.
        let stepped_back = cut < *self.latest.of(node);
        *self.latest.of(node) = cut.max(*self.latest.of(node));
        let gone = self.gone.of(node);
        let doubtful = are_doubtful(world);
        for (key, item) in after.items.iter().filter(|(key, item)| before.items.get(*key) != Some(*item)) {
            let entry = (key.clone(), item.version);
            if item.until.is_some() && doubtful && !self.held.contains_key(&entry) {
                self.undated.insert(entry.clone());
            }
            let held = self.held.entry(entry.clone()).or_default();
            let is_there = |node: Addr| world.machine(node).is_some_and(|machine| !machine.has_left());
            let known = held.first() == Some(&node) || held.iter().skip(1).any(|node| is_there(*node));
            if !held.contains(&node) {
                held.push(node);
            }
            if item.body.is_none() {
                let latest = gone.entry(key.clone()).or_insert(item.version);
                *latest = (*latest).max(item.version);
            } else if let Some(death) = gone.get(key)
                && (item.version < *death || item.version == *death && !stepped_back)
                && has_witness(world, item.bound)
                && !self.undated.contains(&(key.clone(), *death))
                && !self.late.contains(&entry)
            {
                if !known {
                    self.late.insert(entry);
                    continue;
                }
                return Err(Violation::between(
                    format!("node {node} knew that {key} was gone as of {death:?}, and has {item} again"),
                    (format!("node {node} before"), before.clone()),
                    (format!("node {node} after"), after.clone()),
                ));
            }
        }
        for (key, item) in &before.items {
            // What is bound to a member comes and goes with it until it is past its own time. A member that was forgotten, and
            // has lived all the while, comes back as it was: nobody could tell it to raise its incarnation.
            let ends = item.until.is_some() && !item.member && (!item.bound || item.is_past(cut));
            if ends && !after.items.contains_key(key) {
                let latest = gone.entry(key.clone()).or_insert(item.version);
                *latest = (*latest).max(item.version);
            }
        }
        Ok(())
    }
}

/// Time for which a process misses nothing that it does not learn afterwards.
const HICCUP: Duration = Duration::from_secs(60);

/// Time in which a process missed something, and whether the next one knew nothing of what was before.
fn missed(fault: &Fault) -> Option<(Addr, Duration, Duration, bool)> {
    let open = |to: &Option<Duration>| to.unwrap_or(Duration::MAX);
    let (node, from, to, forgets) = match fault {
        Fault::Pause { node, during } => (node, during.from, open(&during.to), false),
        Fault::Twin { node, during, .. } | Fault::Guest { node, during, .. } => {
            (node, during.from, open(&during.to), true)
        }
        Fault::Crash { node, at, restart } => {
            let (to, memory) = restart.map_or((Duration::MAX, true), |restart| (restart.at, restart.memory));
            (node, *at, to, !memory)
        }
        Fault::Damage { node, at, restart, .. } => (node, *at, *restart, true),
        _ => return None,
    };
    (forgets || to - from > HICCUP).then_some((*node, from, to, forgets))
}

/// Time in which a node has had a contact with everybody.
const CONTACT: Duration = Duration::from_secs(20);

/// Returns the nodes whose clocks are off at a time, or were within `slack` before it.
fn clocks_off(plan: &FaultPlan, at: Duration, slack: Duration) -> BTreeSet<Addr> {
    let off = plan.faults.iter().filter_map(|fault| match fault {
        Fault::Skew { node, during, beyond: true, .. } => {
            let then = during.from <= at && during.to.is_none_or(|to| at < to + slack);
            then.then_some(*node)
        }
        _ => None,
    });
    off.collect()
}

/// Returns whether no more of the clocks that are there are right than wrong: then nobody can tell the time.
fn are_doubtful<M: Machine>(world: &World<'_, M>) -> bool {
    let off = clocks_off(world.plan(), Duration::from_micros(world.now().as_micros()), Duration::ZERO);
    let (wrong, right): (Vec<Addr>, Vec<Addr>) =
        world.live().map(|(node, _)| node).partition(|node| off.contains(node));
    wrong.len() >= right.len()
}

/// Returns whether several clocks were off when a node went away: then nobody can tell when it was in contact last.
fn is_undated(plan: &FaultPlan, from: Duration) -> bool {
    clocks_off(plan, from, CONTACT).len() > 1
}

/// Returns whether for everybody who was away and is back somebody else has been there since before: where nobody was, nobody can
/// tell what was deleted and forgotten meanwhile from what never arrived. `bound`: it is bound to a member, and told by nobody else.
fn has_witness<M: Machine>(world: &World<'_, M>, bound: bool) -> bool {
    let now = Duration::from_micros(world.now().as_micros());
    let all: Vec<_> = world.plan().faults.iter().filter_map(missed).collect();
    let mut back = all.iter().filter(|(_, _, to, forgets)| *to <= now && !forgets);
    back.all(|(node, from, ..)| {
        // Whoever has just begun has not met all yet.
        let was_there =
            |other: Addr| !all.iter().any(|(of, _, to, _)| *of == other && to.saturating_add(HICCUP) >= *from);
        !bound && !is_undated(world.plan(), *from) && world.live().any(|(other, _)| other != *node && was_there(other))
    })
}

/// No lost write: what a live node has held is held by all in the end, or something newer is.
#[derive(Debug, Default)]
pub struct NoLostWrite {
    held: PerNode<BTreeMap<String, ViewItem>>,
    /// Versions of each key that were to end, whoever held them, and whether or not that one has lost its memory since:
    /// what outlives it may have no name.
    ending: Ending,
    memories: Memories,
}

impl<M: Machine> Invariant<M> for NoLostWrite {
    fn name(&self) -> &'static str {
        "no lost write"
    }

    fn started(&mut self, node: Addr, memory: bool) {
        if !memory {
            self.held.of(node).clear();
        }
        self.memories.started(node, memory);
    }

    fn stepped(&mut self, world: &World<'_, M>, node: Addr) -> Result<(), Violation> {
        self.memories.stepped(world, node);
        Ok(())
    }

    fn changed(&mut self, world: &World<'_, M>, node: Addr, before: &View, after: &View) -> Result<(), Violation> {
        self.ending.note(world, node, before, after);
        let held = self.held.of(node);
        if self.memories.is_outdated(world, node) {
            held.retain(|key, item| !item.member || after.items.contains_key(key));
        }
        for (key, item) in after.items.iter().filter(|(key, item)| before.items.get(*key) != Some(*item)) {
            if held.get(key).is_none_or(|old| old.version < item.version) {
                held.insert(key.clone(), item.clone());
            }
        }
        Ok(())
    }

    fn finished(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        let (cut, now) = (world.cut(), world.now());
        for group in world.groups() {
            // They agree by now, unless datagrams are lost for ever: then it is enough that somebody has it.
            let views: Vec<View> = group.iter().map(|(_, machine)| machine.view(cut)).collect();
            let newest =
                |key: &String| views.iter().filter_map(|view| view.items.get(key)).map(|item| item.version).max();
            for &(node, _) in &group {
                let outdated = |key, item: &ViewItem| {
                    // What was newer answers for itself: it may be past its time by now.
                    let newer = |held: &BTreeMap<String, ViewItem>| {
                        held.get(key).is_some_and(|other| other.version > item.version)
                    };
                    // Where two are left and one clock is days ahead, a lease has lived its time by that, and not by those who
                    // are back later.
                    let ended = |end: &End| end.item.version >= item.version && end.is_past(cut, now);
                    self.held.0.iter().any(newer) || self.ending.of(key).iter().any(ended)
                };
                let held = self.held.0.get(node.index()).into_iter().flatten();
                for (key, item) in held.filter(|(key, item)| !outdated(*key, item)) {
                    if newest(key).is_none_or(|newest| newest < item.version) && !item.bound {
                        let message = format!("node {node} has held {key} = {item}, and nobody has it any more");
                        return Err(Violation::new(message));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A message to all is delivered at most once by each process.
#[derive(Debug, Default)]
pub struct DeliveredOnce {
    delivered: PerNode<BTreeSet<u128>>,
}

impl<M: Machine> Invariant<M> for DeliveredOnce {
    fn name(&self) -> &'static str {
        "a message to all is delivered at most once"
    }

    fn started(&mut self, node: Addr, memory: bool) {
        if !memory {
            self.delivered.of(node).clear();
        }
    }

    fn event(&mut self, _at: Instant, node: Addr, event: &M::Event) -> Result<(), Violation> {
        match M::note(event) {
            Note::Delivered(id) if !self.delivered.of(node).insert(id) => {
                Err(Violation::new(format!("node {node} delivers again: {event:?}")))
            }
            _ => Ok(()),
        }
    }
}

/// A process never goes back to a smaller incarnation of its own.
#[derive(Debug, Default)]
pub struct IncarnationsGrow {
    latest: PerNode<u64>,
}

impl<M: Machine> Invariant<M> for IncarnationsGrow {
    fn name(&self) -> &'static str {
        "incarnations never step back"
    }

    fn started(&mut self, node: Addr, memory: bool) {
        if !memory {
            *self.latest.of(node) = 0;
        }
    }

    fn stepped(&mut self, world: &World<'_, M>, node: Addr) -> Result<(), Violation> {
        let Some(incarnation) = world.machine(node).and_then(Machine::incarnation) else { return Ok(()) };
        let latest = self.latest.of(node);
        if incarnation < *latest {
            let message = format!("node {node} was at incarnation {latest} and is at {incarnation}");
            return Err(Violation::new(message));
        }
        *latest = incarnation;
        Ok(())
    }
}
