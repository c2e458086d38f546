//! Guarantees of a session with one node. That values never step back is [`NoStepBack`](super::NoStepBack).

use super::{Invariant, Violation, World};
use crate::address::Addr;
use crate::machine::Machine;

/// A node that has carried out a write holds what was written: its user reads its own writes. For machines that say what
/// a command writes ([`Machine::written`]).
#[derive(Debug)]
pub struct ReadYourWrites;

impl<M: Machine> Invariant<M> for ReadYourWrites {
    fn name(&self) -> &'static str {
        "read your writes"
    }

    fn commanded(&mut self, world: &World<'_, M>, node: Addr, command: &M::Command) -> Result<(), Violation> {
        let Some(machine) = world.machine(node) else { return Ok(()) };
        let Some((key, body)) = machine.written(command) else { return Ok(()) };
        let view = machine.view(world.cut_of(node));
        let held = view.items.get(&key);
        if held.and_then(|item| item.body.as_deref()) == body.as_deref() {
            return Ok(());
        }
        let held = held.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        Err(Violation::new(format!("node {node} did `{command}` and holds {held} as {key}")))
    }
}
