//! What does not go together in one random scenario: left out, cut, or put off.

use std::time::Duration;

use super::Scenario;
use crate::address::Addr;
use crate::plan::{Fault, FaultPlan, Nodes, Restart, Window};

/// Bytes of a message that fit a datagram also over the narrowest path that is drawn.
const NARROWEST: usize = 400;

/// Returns the length of what is sent in one datagram or not at all, where paths are narrow or nodes configured for short datagrams.
pub(super) fn longest_message(plan: &FaultPlan) -> Option<usize> {
    let narrow = |fault: &Fault| matches!(fault, Fault::Narrow { .. } | Fault::Shorten { .. });
    plan.faults.iter().any(narrow).then_some(NARROWEST)
}

/// Leaves out bounds on the members that differ between nodes: those remember different ones of the members that are gone.
pub(super) fn alike(plan: &mut FaultPlan, bound: Option<(String, String)>) {
    let Some((bound, _)) = bound else { return };
    plan.faults.retain(|fault| !matches!(fault, Fault::Set { on, name, .. } if *name == bound && *on != Nodes::All));
}

/// Time after which the one node dies through which all have joined, and after which all else begins.
const JOINED: [Duration; 2] = [Duration::from_secs(12), Duration::from_secs(15)];

/// Lets the first node die for good when all have met. From then on nobody who forgot the others would find them.
pub(super) fn lose_seed<C>(scenario: &mut Scenario<C>) {
    after_joining(scenario, 1);
    for write in scenario.writes.iter_mut().filter(|write| write.node == Addr(0)) {
        write.node = Addr(1);
    }
    let [dies, _] = JOINED;
    scenario.plan.faults.insert(0, Fault::Crash { node: Addr(0), at: dies, restart: None });
}

/// Lets all join through so many seeds, and all that happens begin later, when they have met. Nobody forgets the others by it.
/// Returns when that begins.
pub(super) fn after_joining<C>(scenario: &mut Scenario<C>, seeds: u32) -> Duration {
    let [_, begins] = JOINED;
    scenario.seeds = seeds;
    scenario.writes.iter_mut().for_each(|write| write.at += begins);
    let mut faults = std::mem::take(&mut scenario.plan.faults);
    // Whoever has played another, or whose memory is damaged, comes back without memory; and of one that tells a wrong address
    // nobody knows the right one any more. Some stay where they are: of two that are both elsewhere nobody else could tell.
    let stays = scenario.nodes.last().copied();
    faults.retain(|fault| match fault {
        Fault::Twin { .. } | Fault::Guest { .. } | Fault::Damage { .. } | Fault::Misplace { .. } => false,
        Fault::Move { node, .. } => Some(*node) != stays,
        _ => true,
    });
    scenario.plan.faults = faults.into_iter().map(|fault| later(fault, begins)).collect();
    begins
}

/// A fault that happens later, and after which a process remembers what it knew.
fn later(fault: Fault, by: Duration) -> Fault {
    match fault {
        Fault::Crash { node, at, restart } => {
            let restart = restart.map(|Restart { at, .. }| Restart { at: at + by, memory: true });
            Fault::Crash { node, at: at + by, restart }
        }
        Fault::Damage { node, at, restart, harm } => Fault::Damage { node, at: at + by, restart: restart + by, harm },
        fault => match fault.window() {
            Some(Window { from, to }) => fault.with_window(Window { from: from + by, to: to.map(|to| to + by) }),
            None => fault,
        },
    }
}

/// Keeps of faults that move one process or one clock those that do not overlap.
pub(super) fn apart(plan: &mut FaultPlan) {
    let spans = |fault: &Fault| match fault {
        Fault::Crash { node, at, restart } => {
            vec![(0, *node, *at, restart.map_or(Duration::MAX, |restart| restart.at))]
        }
        Fault::Damage { node, at, restart, .. } => vec![(0, *node, *at, *restart)],
        Fault::Move { node, during, .. } | Fault::Misplace { node, during, .. } => {
            vec![(0, *node, during.from, during.to.unwrap_or(Duration::MAX))]
        }
        // Once for each node.
        Fault::Shorten { node, .. } => vec![(2, *node, Duration::ZERO, Duration::MAX)],
        Fault::Pause { node, during } | Fault::Guest { node, during, .. } => {
            vec![(0, *node, during.from, during.to.unwrap_or(Duration::MAX))]
        }
        Fault::Twin { node, of, during, stays } => {
            let end = during.to.unwrap_or(Duration::MAX);
            // Of two that stay, or one that stays and one that comes back, there would be twins for ever.
            let dead = stays.then_some((0, *of, end, Duration::MAX));
            let played = (0, *node, during.from, if *stays { Duration::MAX } else { end });
            std::iter::once(played).chain(dead).collect()
        }
        Fault::Skew { node, during, .. } => vec![(1, *node, during.from, during.to.unwrap_or(Duration::MAX))],
        _ => Vec::new(),
    };
    let mut kept: Vec<Fault> = Vec::new();
    for fault in plan.faults.drain(..) {
        let clash = spans(&fault).into_iter().any(|(what, node, from, to)| {
            kept.iter().flat_map(spans).any(|(w, n, f, t)| (w, n) == (what, node) && from <= t && f <= to)
        });
        if !clash {
            kept.push(fault);
        }
    }
    plan.faults = kept;
}
