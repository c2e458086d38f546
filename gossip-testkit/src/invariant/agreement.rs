//! Agreement in the end: on what is held, and on who is there.

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::{Instant, Status};

use super::{Invariant, Violation, World};
use crate::address::Addr;
use crate::machine::{Machine, MemberKnowledge, Note};

/// All live replicas that can reach each other hold the same items, within the bound.
#[derive(Debug, Default)]
pub struct Agreement {
    agreed: bool,
}

impl<M: Machine> Invariant<M> for Agreement {
    fn name(&self) -> &'static str {
        "convergence: all live replicas hold the same"
    }

    fn checkpoint(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        if !world.is_quiet() || (self.agreed && (lasts(world) || is_far(world))) {
            return Ok(());
        }
        let different = difference(world);
        self.agreed = different.is_none();
        match different {
            Some(((left, a), (right, b))) if world.now() >= world.deadline() => {
                let cut = world.cut();
                Err(Violation::between(
                    format!("nodes {left} and {right} still hold different items at the end of the bound"),
                    (format!("node {left}"), a.view(cut)),
                    (format!("node {right}"), b.view(cut)),
                )
                .about([left, right]))
            }
            _ => Ok(()),
        }
    }

    fn satisfied(&self) -> bool {
        self.agreed
    }
}

/// Returns true if datagrams are lost for ever, so that agreement once is all that can be asked.
fn lasts<M: Machine>(world: &World<'_, M>) -> bool {
    world.plan().lasting_loss().as_ppm() > 0
}

/// Returns true if round trips are longer than a period for ever: then somebody is suspected now and then who has yet to answer.
fn is_far<M: Machine>(world: &World<'_, M>) -> bool {
    2 * world.plan().lasting_distance() > world.expectations().period
}

type Pair<'a, M> = ((Addr, &'a M), (Addr, &'a M));

fn difference<'a, M: Machine>(world: &'a World<'_, M>) -> Option<Pair<'a, M>> {
    let cut = world.cut();
    for group in world.groups() {
        let Some((&first, rest)) = group.split_first() else { continue };
        let expected = first.1.fingerprint(cut);
        if let Some(&other) = rest.iter().find(|(_, machine)| machine.fingerprint(cut) != expected) {
            return Some((first, other));
        }
    }
    None
}

/// Every live member is alive in every live view that it can reach; for machines with a failure detector, nobody else
/// is.
#[derive(Debug, Default)]
pub struct NobodyBuried {
    content: bool,
}

impl<M: Machine> Invariant<M> for NobodyBuried {
    fn name(&self) -> &'static str {
        "membership: every live member is alive in every live view, and nobody else"
    }

    fn checkpoint(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        if !world.is_quiet() || (self.content && (lasts(world) || is_far(world))) {
            return Ok(());
        }
        let wrong = wrong(world);
        self.content = wrong.is_none();
        match wrong {
            Some((who, of, status)) if world.now() >= world.deadline() => Err(Violation::new(match status {
                Some(status) => format!("node {who} sees node {of} as {status} at the end of the bound"),
                None => format!("node {who} does not know node {of} at the end of the bound"),
            })),
            _ => Ok(()),
        }
    }

    fn satisfied(&self) -> bool {
        self.content
    }
}

fn wrong<M: Machine>(world: &World<'_, M>) -> Option<(Addr, Addr, Option<Status>)> {
    let membership = world.expectations().membership;
    if membership == MemberKnowledge::None {
        return None;
    }
    for group in world.groups() {
        // A node's process may have the id of another: then that one is there.
        let ids: BTreeSet<Addr> = group.iter().map(|&(node, _)| world.id(node)).collect();
        for &(who, machine) in &group {
            for of in world.nodes().iter().copied().chain(world.plan().guests()) {
                let status = machine.opinion(of);
                let alive = match status {
                    Some(Status::Alive) => true,
                    // Where datagrams are lost for ever, somebody is always suspected.
                    Some(Status::Suspect) => lasts(world) || is_far(world),
                    _ => false,
                };
                let there = ids.contains(&of);
                let found_out = membership == MemberKnowledge::Detected && status == Some(Status::Alive);
                if (there && !alive) || (!there && found_out) {
                    return Some((who, of, status));
                }
            }
        }
    }
    None
}

/// A member is declared dead only after it was suspected: it had its chance to refute that. For machines with a failure
/// detector; whoever is told of members by others believes what it is told.
#[derive(Debug)]
pub struct SuspectedFirst {
    applies: bool,
    /// For those who have forgotten what they knew: the members of whom they have told anything since. What a node told before that is
    /// nothing that it goes by.
    told: BTreeMap<Addr, BTreeSet<Addr>>,
}

impl SuspectedFirst {
    /// An invariant for machines that know this of members.
    pub const fn new(membership: MemberKnowledge) -> Self {
        Self { applies: matches!(membership, MemberKnowledge::Detected), told: BTreeMap::new() }
    }
}

impl<M: Machine> Invariant<M> for SuspectedFirst {
    fn name(&self) -> &'static str {
        "suspicion: nobody who was alive is seen to die without having been suspected"
    }

    fn started(&mut self, node: Addr, _memory: bool) {
        self.told.remove(&node);
    }

    fn event(&mut self, _at: Instant, node: Addr, event: &M::Event) -> Result<(), Violation> {
        let note = M::note(event);
        if note == Note::Forgot {
            self.told.insert(node, BTreeSet::new());
        }
        let Note::Member { of, was, status } = note else { return Ok(()) };
        let first = self.told.get_mut(&node).is_some_and(|told| told.insert(of));
        if (was, status) == (Some(Status::Alive), Status::Dead) && self.applies && !first {
            return Err(Violation::new(format!("node {node} saw node {of} alive, and sees it dead at once")));
        }
        Ok(())
    }
}
