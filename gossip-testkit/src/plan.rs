//! Everything that can go wrong, as plain data: what, to whom, and when.
//!
//! Knows no simulator: a plan can be printed, read, compared and taken apart.

mod damage;
mod fault;

use std::fmt;
use std::time::Duration;

use crate::address::Addr;
pub use damage::{Damage, Harm};
pub use fault::{Fault, Restart};

/// Some of the nodes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nodes {
    /// Every node.
    All,
    /// These, in ascending order.
    These(Vec<Addr>),
}

impl Nodes {
    /// Returns true if `node` is one of them.
    pub fn contains(&self, node: Addr) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.binary_search(&node).is_ok(),
        }
    }

    fn without(&self, node: Addr) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::These(these) => {
                let rest: Vec<_> = these.iter().copied().filter(|&other| other != node).collect();
                (!rest.is_empty()).then_some(Self::These(rest))
            }
        }
    }
}

impl From<u32> for Nodes {
    fn from(node: u32) -> Self {
        Self::These(vec![Addr(node)])
    }
}

impl From<Addr> for Nodes {
    fn from(node: Addr) -> Self {
        Self::These(vec![node])
    }
}

impl From<std::ops::RangeFull> for Nodes {
    fn from(_: std::ops::RangeFull) -> Self {
        Self::All
    }
}

impl From<std::ops::Range<u32>> for Nodes {
    fn from(range: std::ops::Range<u32>) -> Self {
        range.map(Addr).collect()
    }
}

impl<const N: usize> From<[u32; N]> for Nodes {
    fn from(nodes: [u32; N]) -> Self {
        nodes.into_iter().map(Addr).collect()
    }
}

impl FromIterator<Addr> for Nodes {
    fn from_iter<I: IntoIterator<Item = Addr>>(nodes: I) -> Self {
        let mut these: Vec<_> = nodes.into_iter().collect();
        these.sort_unstable();
        these.dedup();
        Self::These(these)
    }
}

/// Directed links: from any of some nodes to any of some others.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Links {
    /// Senders.
    pub from: Nodes,
    /// Receivers.
    pub to: Nodes,
}

impl Links {
    /// Every link.
    pub const ALL: Self = Self { from: Nodes::All, to: Nodes::All };

    /// The links from one set of nodes to another.
    pub fn new(from: impl Into<Nodes>, to: impl Into<Nodes>) -> Self {
        Self { from: from.into(), to: to.into() }
    }

    /// Returns true if the link from `from` to `to` is one of them.
    pub fn contains(&self, from: Addr, to: Addr) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }

    fn without(&self, node: Addr) -> Option<Self> {
        Some(Self { from: self.from.without(node)?, to: self.to.without(node)? })
    }
}

/// A span of simulated time, counted from the start: `from` belongs to it, `to` does not. One that ends before it begins
/// is refused with the scenario that it stands in.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// Its beginning.
    pub from: Duration,
    /// Its end; never, if none.
    pub to: Option<Duration>,
}

impl Window {
    /// A span that ends.
    pub const fn new(from: Duration, to: Duration) -> Self {
        Self { from, to: Some(to) }
    }

    /// A span in seconds.
    pub const fn secs(from: u64, to: u64) -> Self {
        Self::new(Duration::from_secs(from), Duration::from_secs(to))
    }

    /// A span without end.
    pub const fn since(from: Duration) -> Self {
        Self { from, to: None }
    }
}

/// A probability, in millionths: exact, so that it survives printing.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// It happens always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// A probability in millionths, 1,000,000 at most.
    pub const fn ppm(millionths: u32) -> Self {
        Self(if millionths > 1_000_000 { 1_000_000 } else { millionths })
    }

    /// A probability in per cent, 100 at most.
    pub const fn percent(percent: u32) -> Self {
        Self::ppm(percent.saturating_mul(10_000))
    }

    /// In millionths.
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// Returns true if a coin of 64 random bits comes up.
    pub(crate) fn comes_up(self, bits: u64) -> bool {
        crate::coin::below(bits, 1_000_000) < u64::from(self.0)
    }
}

impl From<f64> for Chance {
    /// A probability from 0 to 1, rounded to millionths.
    fn from(probability: f64) -> Self {
        Self::ppm((probability.clamp(0.0, 1.0) * 1e6 + 0.5) as u32)
    }
}

/// The faults of a scenario.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// The faults, in no order that means anything.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const fn new() -> Self {
        Self { faults: Vec::new() }
    }

    /// This goes wrong, too.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Everybody's datagrams are lost with this probability.
    pub fn loss(self, chance: impl Into<Chance>, during: Window) -> Self {
        self.fault(Fault::Loss { on: Links::ALL, during, chance: chance.into() })
    }

    /// Everybody's losses come in bursts.
    pub fn burst(self, chance: impl Into<Chance>, bad: Duration, good: Duration, during: Window) -> Self {
        self.fault(Fault::Burst { on: Links::ALL, during, chance: chance.into(), bad, good })
    }

    /// Everybody's datagrams arrive twice with this probability.
    pub fn duplicate(self, chance: impl Into<Chance>, during: Window) -> Self {
        self.fault(Fault::Duplicate { on: Links::ALL, during, chance: chance.into() })
    }

    /// Everybody's datagrams are late with this probability.
    pub fn delay(self, chance: impl Into<Chance>, by: Duration, during: Window) -> Self {
        self.fault(Fault::Delay { on: Links::ALL, during, chance: chance.into(), by })
    }

    /// Everybody's datagrams take so much longer.
    pub fn far(self, by: Duration, during: Window) -> Self {
        self.fault(Fault::Far { on: Links::ALL, during, by })
    }

    /// Everybody's datagrams are damaged with this probability.
    pub fn corrupt(self, chance: impl Into<Chance>, during: Window) -> Self {
        self.fault(Fault::Corrupt { on: Links::ALL, during, chance: chance.into() })
    }

    /// Loses what is longer than `longest` bytes, between all.
    pub fn narrow(self, longest: u16, during: Window) -> Self {
        self.fault(Fault::Narrow { on: Links::ALL, during, longest })
    }

    /// Nothing gets from one side to the other, nor back.
    pub fn partition(self, one: impl Into<Nodes>, other: impl Into<Nodes>, during: Window) -> Self {
        self.fault(Fault::Cut { on: Links::new(one, other), both_ways: true, during })
    }

    /// Nothing gets from one side to the other, but back.
    pub fn one_way(self, from: impl Into<Nodes>, to: impl Into<Nodes>, during: Window) -> Self {
        self.fault(Fault::Cut { on: Links::new(from, to), both_ways: false, during })
    }

    /// A process dies for good.
    pub fn crash(self, node: u32, at: Duration) -> Self {
        self.fault(Fault::Crash { node: Addr(node), at, restart: None })
    }

    /// A process dies and another takes its place.
    pub fn restart(self, node: u32, at: Duration, again: Duration, memory: bool) -> Self {
        self.fault(Fault::Crash { node: Addr(node), at, restart: Some(Restart { at: again, memory }) })
    }

    /// A process stands still.
    pub fn pause(self, node: u32, during: Window) -> Self {
        self.fault(Fault::Pause { node: Addr(node), during })
    }

    /// Two processes have one id, until the second of them dies.
    pub fn twin(self, node: u32, of: u32, during: Window) -> Self {
        self.fault(Fault::Twin { node: Addr(node), of: Addr(of), during, stays: false })
    }

    /// Two processes have one id, until the first of them dies.
    pub fn twin_that_stays(self, node: u32, of: u32, during: Window) -> Self {
        self.fault(Fault::Twin { node: Addr(node), of: Addr(of), during, stays: true })
    }

    /// Another process runs in the place of a node, with an id that nobody else has.
    pub fn guest(self, node: u32, id: u32, during: Window) -> Self {
        self.fault(Fault::Guest { node: Addr(node), id: Addr(id), during })
    }

    /// A setting has another value at some nodes.
    pub fn set(self, on: impl Into<Nodes>, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fault(Fault::Set { on: on.into(), name: name.into(), value: value.into() })
    }

    /// A clock is off by so many microseconds.
    pub fn skew(self, node: u32, offset: i64, drift_ppm: i32, during: Window) -> Self {
        self.fault(Fault::Skew { node: Addr(node), during, offset, drift_ppm, beyond: false })
    }

    /// A clock is off by so many microseconds, more than the machine allows.
    pub fn skew_beyond(self, node: u32, offset: i64, during: Window) -> Self {
        self.fault(Fault::Skew { node: Addr(node), during, offset, drift_ppm: 0, beyond: true })
    }

    /// A node has another address for a time. Its process is not told.
    pub fn moved(self, node: u32, to: u32, during: Window) -> Self {
        self.fault(Fault::Move { node: Addr(node), to: Addr(to), during, restarts: false })
    }

    /// A process is started again with the address of nobody, and in the end with its own.
    pub fn misplaced(self, node: u32, at: u32, during: Window) -> Self {
        self.fault(Fault::Misplace { node: Addr(node), at: Addr(at), during })
    }

    /// A node's datagrams are at most so many per cent as long as the others'.
    pub fn shorten(self, node: u32, percent: u8) -> Self {
        self.fault(Fault::Shorten { node: Addr(node), percent })
    }

    /// A process dies, and another one is started with its memory, which is damaged.
    pub fn damage(self, node: u32, at: Duration, restart: Duration, harm: Harm) -> Self {
        self.fault(Fault::Damage { node: Addr(node), at, restart, harm })
    }

    /// Time at which everything that ends is over, and what does not has begun.
    pub fn heals_at(&self) -> Duration {
        self.faults.iter().map(Fault::heals_at).max().unwrap_or_default()
    }

    /// The chance of loss that never ends, all such windows taken together.
    pub fn lasting_loss(&self) -> Chance {
        let rest = self.faults.iter().fold(1.0, |rest, fault| match fault {
            Fault::Loss { during: Window { to: None, .. }, chance, .. }
            | Fault::Burst { during: Window { to: None, .. }, chance, .. }
            | Fault::Corrupt { during: Window { to: None, .. }, chance, .. } => {
                rest * (1.0 - f64::from(chance.as_ppm()) / 1e6)
            }
            _ => rest,
        });
        Chance::from(1.0 - rest)
    }

    /// Time by which paths are longer for ever, all such windows taken together.
    pub(crate) fn lasting_distance(&self) -> Duration {
        let lasting = |fault: &Fault| match fault {
            Fault::Far { during: Window { to: None, .. }, by, .. } => *by,
            _ => Duration::ZERO,
        };
        self.faults.iter().map(lasting).sum()
    }

    /// Ids of processes that run in the place of nodes.
    pub(crate) fn guests(&self) -> impl Iterator<Item = Addr> {
        self.faults.iter().filter_map(|fault| match fault {
            Fault::Guest { id, .. } => Some(*id),
            _ => None,
        })
    }

    /// Returns true if the link between two nodes is cut for ever, one way or the other.
    pub(crate) fn cut_for_ever(&self, a: Addr, b: Addr) -> bool {
        self.faults.iter().any(|fault| match fault {
            Fault::Cut { on, during: Window { to: None, .. }, .. } => on.contains(a, b) || on.contains(b, a),
            _ => false,
        })
    }

    pub(crate) fn without(&self, gone: Addr) -> Self {
        Self { faults: self.faults.iter().filter_map(|fault| fault.without(gone)).collect() }
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.faults).finish()
    }
}
