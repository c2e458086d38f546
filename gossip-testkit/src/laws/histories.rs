//! Histories of a small cluster in which members write, restart, crash and leave: does a fold keep what was written?

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use gossip_core::{Config, Instant, Node};

use crate::address::Addr;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::plan::Chance;
use crate::scenario::Dice;

/// Members of the cluster.
const MEMBERS: u32 = 4;
/// Histories that are drawn, and the steps of each.
const HISTORIES: u64 = 24;
const STEPS: u64 = 8;
/// Time that the members have to agree after a step, and a member to do what it is asked.
const PATIENCE: Duration = Duration::from_secs(180);
const SECOND: Duration = Duration::from_secs(1);
/// Time for which members are remembered that are gone, so that a history need not last for days.
const REAP_AFTER: Duration = Duration::from_secs(2 * 3_600);

/// A step of a history. What a step has changed is known to all before the next one begins, but for a member that is back and does
/// something at once: it does that as soon as it is not refused.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member does what the fold is made of: the operation of this number.
    Does {
        /// Member.
        node: u32,
        /// Number of the operation.
        operation: u64,
    },
    /// A member's process ends without a word and another takes its place at once.
    Restarts {
        /// Member.
        node: u32,
        /// True if the new one has what the old one knew.
        memory: bool,
    },
    /// A member is away for a time, and comes back.
    IsAway {
        /// Member.
        node: u32,
        /// True if it says goodbye, false if it crashes.
        leaves: bool,
        /// Minutes for which it is away. Members are forgotten after two hours.
        minutes: u32,
        /// True if it still has then what it knew.
        memory: bool,
    },
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |memory| if memory { "with" } else { "without" };
        match *self {
            Self::Does { node, operation } => write!(f, "node {node} does operation {operation}"),
            Self::Restarts { node, memory } => write!(f, "node {node} restarts {} memory", with(memory)),
            Self::IsAway { node, leaves, minutes, memory } => {
                let goes = if leaves { "leaves" } else { "crashes" };
                write!(f, "node {node} {goes}, and is back after {minutes} minutes {} memory", with(memory))
            }
        }
    }
}

/// A history after which a member does not read what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost<S> {
    /// Its steps; the last shows it.
    pub steps: Vec<Step>,
    /// The member.
    pub node: Addr,
    /// Value that it reads.
    pub is: S,
    /// Value that was written.
    pub ought: S,
}

impl<S: Debug> Display for Lost<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "node {} reads {:?}, and {:?} was written", self.node, self.is, self.ought)
    }
}

impl<S: Debug> std::error::Error for Lost<S> {}

/// A fold under test.
struct Fold<W, R, I> {
    does: W,
    reads: R,
    ideal: I,
}

/// Draws histories in which members do operations, restart with and without memory, crash, and leave, for minutes and for so long that
/// they are forgotten. One member at a time, so that the others hold all that was written; and one step after the other, so
/// that the result is known. After each step all members that are there must read it.
///
/// `does` does the operation with a number below `operations`; while it is refused it is tried again. `reads` is the fold.
/// `ideal` does the same operation to its result.
///
/// # Errors
/// The shortest history found after which something is lost.
///
/// # Panics
/// If an operation is refused for three minutes, or the members do not agree in that time.
pub fn outlives<S: Clone + Default + PartialEq + Debug, E: Display>(
    operations: u64,
    does: impl Fn(&mut Node<Addr>, Instant, u64) -> Result<(), E>,
    reads: impl Fn(&Node<Addr>) -> S,
    ideal: impl Fn(&mut S, u64),
) -> Result<(), Lost<S>> {
    let fold = Fold { does, reads, ideal };
    let failed = (0..HISTORIES).find_map(|number| fold.run(&drawn(number, operations)).err());
    failed.map_or(Ok(()), |lost| Err(fold.shortened(lost)))
}

/// Runs a history that is given: see [`outlives`].
///
/// # Errors
/// Something is lost; the steps are those up to then.
///
/// # Panics
/// As [`outlives`]; or if there is no such node: there are four, from 0 on.
pub fn after<S: Clone + Default + PartialEq + Debug, E: Display>(
    steps: &[Step],
    does: impl Fn(&mut Node<Addr>, Instant, u64) -> Result<(), E>,
    reads: impl Fn(&Node<Addr>) -> S,
    ideal: impl Fn(&mut S, u64),
) -> Result<(), Lost<S>> {
    Fold { does, reads, ideal }.run(steps)
}

fn drawn(number: u64, operations: u64) -> Vec<Step> {
    let mut dice = Dice::new(number);
    let step = |dice: &mut Dice| {
        let node = dice.within(0..=u64::from(MEMBERS) - 1) as u32;
        let memory = dice.chance(Chance::percent(50));
        match dice.within(0..=9) {
            0..=5 => Step::Does { node, operation: dice.within(0..=operations.saturating_sub(1)) },
            6..=7 => Step::Restarts { node, memory },
            _ => {
                let leaves = dice.chance(Chance::percent(50));
                let long = dice.chance(Chance::percent(30));
                let minutes = if long { dice.within(130..=200) } else { dice.within(1..=20) } as u32;
                Step::IsAway { node, leaves, minutes, memory }
            }
        }
    };
    let mut steps = Vec::new();
    while steps.len() < STEPS as usize {
        let next = step(&mut dice);
        steps.push(next);
        if let Step::Restarts { node, .. } | Step::IsAway { node, .. } = next
            && dice.chance(Chance::percent(50))
        {
            steps.push(Step::Does { node, operation: dice.within(0..=operations.saturating_sub(1)) });
        }
    }
    steps
}

impl<S, E, W, R, I> Fold<W, R, I>
where
    S: Clone + Default + PartialEq + Debug,
    E: Display,
    W: Fn(&mut Node<Addr>, Instant, u64) -> Result<(), E>,
    R: Fn(&Node<Addr>) -> S,
    I: Fn(&mut S, u64),
{
    fn run(&self, steps: &[Step]) -> Result<(), Lost<S>> {
        let mut config = Config::default();
        config.lifetimes.reap_after = REAP_AFTER;
        let mut cluster = Cluster::<Node<Addr>>::builder(MEMBERS, config).seed(7).seeds(MEMBERS).build();
        let mut ought = S::default();
        settle(&mut cluster);
        for (at, step) in steps.iter().enumerate() {
            let look =
                |cluster: &Cluster, ought: &S| match cluster.live().find(|(_, node)| (self.reads)(node) != *ought) {
                    None => Ok(()),
                    Some((addr, node)) => {
                        let (is, ought) = ((self.reads)(node), ought.clone());
                        Err(Lost { steps: steps[..=at].to_vec(), node: addr, is, ought })
                    }
                };
            match *step {
                Step::Does { node, operation } => {
                    self.insist(&mut cluster, node, operation);
                    (self.ideal)(&mut ought, operation);
                }
                Step::Restarts { node, memory } => cluster.restart(node, memory),
                Step::IsAway { node, leaves, minutes, memory } => {
                    if leaves {
                        cluster.command(node, &Command::Leave).expect("a live node may leave");
                        cluster.run_for(30 * SECOND);
                    }
                    cluster.crash(node);
                    cluster.run_for(minutes * 60 * SECOND);
                    look(&cluster, &ought)?;
                    cluster.restart(node, memory);
                }
            }
            if is_followed_at_once(step, steps.get(at + 1)) {
                continue;
            }
            settle(&mut cluster);
            look(&cluster, &ought)?;
        }
        Ok(())
    }

    /// A member does an operation, as soon as it is not refused.
    fn insist(&self, cluster: &mut Cluster, node: u32, operation: u64) {
        let end = cluster.now() + PATIENCE;
        while let Err(error) = cluster.with(node, |machine, now| (self.does)(machine, now, operation)) {
            assert!(cluster.now() < end, "node {node} refuses operation {operation}: {error}");
            cluster.run_for(SECOND);
        }
    }

    /// Leaves out one step after the other, as long as something is lost.
    fn shortened(&self, mut lost: Lost<S>) -> Lost<S> {
        let mut at = lost.steps.len();
        while at > 0 {
            at -= 1;
            let mut steps = lost.steps.clone();
            if at < steps.len() {
                steps.remove(at);
                if let Err(shorter) = self.run(&steps) {
                    lost = shorter;
                }
            }
        }
        lost
    }
}

/// Returns true if a member that is back does something before anybody has told it anything.
fn is_followed_at_once(step: &Step, next: Option<&Step>) -> bool {
    let back = match step {
        Step::Does { .. } => None,
        Step::Restarts { node, .. } | Step::IsAway { node, .. } => Some(node),
    };
    matches!(next, Some(Step::Does { node, .. }) if back == Some(node))
}

/// Lets time pass until all members that are there see each other and hold the same.
fn settle(cluster: &mut Cluster) {
    let settled = cluster.run_until(PATIENCE, SECOND, |cluster| cluster.agrees() && cluster.sees_all());
    assert!(settled.is_some(), "the members do not agree after {PATIENCE:?}: {}", cluster.disagreement());
}
