//! A scenario: who is there, what its users do, what goes wrong. Plain data, printed as text that parses back.

mod beyond;
mod fit;
mod generate;
mod mutate;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::address::Addr;
use crate::machine::Expectations;
use crate::plan::{Fault, FaultPlan, Nodes};
pub use generate::{Dice, Swarm, Workload};
pub use parse::ParseError;
pub(crate) use parse::seconds;
pub(crate) use print::Seconds;

/// Something that a node's user does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<C> {
    /// Its time, since the start.
    pub at: Duration,
    /// The node whose user does it.
    pub node: Addr,
    /// The command.
    pub command: C,
}

/// A scenario for a machine whose commands are `C`.
///
/// Nodes start within the first protocol period and join through the first [`seeds`](Self::seeds) of them. `Display`
/// prints a line for each thing, `Debug` all on one line; both parse back if the commands do
/// ([what they must obey](crate::Machine::Command)):
///
/// ```
/// # use std::time::Duration;
/// use gossip_testkit::{Command, FaultPlan, Scenario, Window};
///
/// let scenario = Scenario::new(5)
///     .seed(42)
///     .write(Duration::from_secs(3), 1, Command::put("greeting", "hello"))
///     .plan(FaultPlan::new().loss(0.3, Window::secs(2, 10)).partition([0, 1], [2, 3, 4], Window::secs(4, 8)));
/// let text = "\
/// seed 42
/// nodes 0-4
/// seeds 2
/// at 3s node 1: put \"greeting\" \"hello\"
/// loss 30% on * -> * from 2s to 10s
/// cut 0-1 <-> 2-4 from 4s to 8s
/// ";
/// assert_eq!(scenario.to_string(), text);
/// assert_eq!(text.parse(), Ok(scenario));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Scenario<C> {
    /// Seed of all randomness, the machines' own included.
    pub seed: u64,
    /// Its nodes, in ascending order.
    pub nodes: Vec<Addr>,
    /// Through how many of them, the first ones, everybody joins.
    pub seeds: u32,
    /// Commands of users, in order of time.
    pub writes: Vec<Write<C>>,
    /// Its faults.
    pub plan: FaultPlan,
}

impl<C> Scenario<C> {
    /// A scenario of `nodes` nodes, to which nothing happens.
    pub fn new(nodes: u32) -> Self {
        Self {
            seed: 0,
            nodes: (0..nodes).map(Addr).collect(),
            seeds: nodes.min(2),
            writes: Vec::new(),
            plan: FaultPlan::new(),
        }
    }

    /// With this seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Everybody joins through the first `seeds` nodes.
    pub fn seeds(mut self, seeds: u32) -> Self {
        self.seeds = seeds;
        self
    }

    /// A node's user does something.
    pub fn write(mut self, at: Duration, node: u32, command: C) -> Self {
        self.writes.push(Write { at, node: Addr(node), command });
        self.writes.sort_by_key(|write| write.at);
        self
    }

    /// With this plan.
    pub fn plan(mut self, plan: FaultPlan) -> Self {
        self.plan = plan;
        self
    }

    /// Time at which nothing is to come any more that has an end, and what has none has begun.
    pub fn quiet_at(&self) -> Duration {
        let last_write = self.writes.iter().map(|write| write.at).max().unwrap_or_default();
        self.plan.heals_at().max(last_write)
    }

    /// Checks that all nodes that it speaks of are there, and that nothing ends before it begins.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.nodes.is_sorted_by(|a, b| a < b) {
            return Err(format!("the nodes {} are not in ascending order, each once", ranges(&self.nodes)));
        }
        self.writes.iter().try_for_each(|write| self.check_write(write))?;
        self.plan.faults.iter().try_for_each(|fault| self.check_fault(fault))
    }

    fn is_there(&self, node: Addr) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }

    fn check_write(&self, write: &Write<C>) -> Result<(), String> {
        if self.is_there(write.node) {
            return Ok(());
        }
        Err(format!("there is no node {} to be written at", write.node))
    }

    fn check_fault(&self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Crash { node, .. }
            | Fault::Pause { node, .. }
            | Fault::Skew { node, .. }
            | Fault::Shorten { node, .. }
            | Fault::Damage { node, .. } => self.check_nodes(fault, &[*node])?,
            Fault::Move { node, to: elsewhere, .. } | Fault::Misplace { node, at: elsewhere, .. } => {
                self.check_nodes(fault, &[*node])?;
                let restarts = matches!(fault, Fault::Move { restarts: true, .. });
                let ends = fault.window().is_some_and(|during| during.to.is_some());
                if self.is_there(*elsewhere) || !(ends || restarts) {
                    return Err(format!("`{fault}` is at the address of a node, or never ends"));
                }
            }
            Fault::Guest { node, id, .. } => {
                self.check_nodes(fault, &[*node])?;
                if self.is_there(*id) {
                    return Err(format!("`{fault}` has the id of a node"));
                }
            }
            Fault::Set { on: Nodes::All, .. } => {}
            Fault::Set { on: Nodes::These(these), .. } => self.check_nodes(fault, these)?,
            Fault::Twin { node: one, of: other, .. } | Fault::LoseExactly { from: one, to: other, .. } => {
                self.check_nodes(fault, &[*one])?;
                self.check_nodes(fault, &[*other])?;
            }
            Fault::Loss { on, .. }
            | Fault::Burst { on, .. }
            | Fault::Duplicate { on, .. }
            | Fault::Delay { on, .. }
            | Fault::Far { on, .. }
            | Fault::Corrupt { on, .. }
            | Fault::Narrow { on, .. }
            | Fault::Cut { on, .. } => {
                for nodes in [&on.from, &on.to] {
                    if let Nodes::These(these) = nodes {
                        self.check_nodes(fault, these)?;
                    }
                }
            }
        }
        if let Fault::Twin { node, of, during, .. } = fault
            && (node == of || during.to.is_none())
        {
            return Err(format!("`{fault}` is no two processes, or two that never end"));
        }
        fault.check_order()
    }

    /// Checks that these are some that are there, in the order in which they are looked for.
    fn check_nodes(&self, fault: &Fault, nodes: &[Addr]) -> Result<(), String> {
        if nodes.is_empty() {
            return Err(format!("`{fault}` is about no node"));
        }
        if !nodes.is_sorted_by(|a, b| a < b) {
            return Err(format!("the nodes {} of `{fault}` are not in ascending order, each once", ranges(nodes)));
        }
        match nodes.iter().find(|&&node| !self.is_there(node)) {
            Some(node) => Err(format!("there is no node {node} for `{fault}`")),
            None => Ok(()),
        }
    }

    /// Checks that it stays within what a machine allows.
    pub(crate) fn fits(&self, limits: &Expectations) -> Result<(), String> {
        self.check()?;
        let too_far = |fault: &&Fault| {
            !matches!(fault, Fault::Skew { beyond: true, .. }) && fault.clock_error() > limits.max_skew
        };
        match self.plan.faults.iter().find(too_far) {
            Some(fault) => Err(format!(
                "`{fault}` is further off than the {:?} that the machine allows, and does not say `beyond`",
                limits.max_skew
            )),
            None => Ok(()),
        }
    }

    /// Through whom everybody joins.
    pub(crate) fn seed_nodes(&self) -> Vec<Addr> {
        self.nodes.iter().copied().take(self.seeds as usize).collect()
    }
}

impl<C: Clone> Scenario<C> {
    /// The same without one of its nodes, and without its commands and faults.
    pub fn without(&self, gone: Addr) -> Self {
        Self {
            seed: self.seed,
            nodes: self.nodes.iter().copied().filter(|&node| node != gone).collect(),
            seeds: self.seeds,
            writes: self.writes.iter().filter(|write| write.node != gone).cloned().collect(),
            plan: self.plan.without(gone),
        }
    }

    /// The same with other numbers for its nodes, in the same order.
    pub(crate) fn renumbered(&self, number: impl Fn(Addr) -> Addr + Copy) -> Self {
        let mut scenario = self.clone();
        scenario.nodes.iter_mut().for_each(|node| *node = number(*node));
        scenario.writes.iter_mut().for_each(|write| write.node = number(write.node));
        scenario.plan.faults.iter_mut().for_each(|fault| fault.renumber(number));
        scenario
    }
}

/// Numbers as ranges: `0-4,7`.
pub(crate) fn ranges(nodes: &[Addr]) -> String {
    let mut text = String::new();
    let mut rest = nodes;
    while let [first, ..] = rest {
        let run = rest.iter().zip(first.0..).take_while(|(node, number)| node.0 == *number).count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if run > 1 {
            text.push_str(&format!("-{}", rest[run - 1]));
        }
        rest = &rest[run..];
    }
    text
}

impl Nodes {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::These(these) => ranges(these),
        }
    }
}
