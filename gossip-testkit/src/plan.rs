//! Everything that can go wrong, as plain data: what, to whom, and when.
//!
//! Knows no simulator: a plan can be printed, read, compared and taken apart.

use std::fmt;
use std::time::Duration;

use crate::address::Addr;

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

/// Restart of a process.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Restart {
    /// Its time.
    pub at: Duration,
    /// True if it finds what its predecessor had left ([`Machine::Memory`](crate::Machine::Memory)).
    pub memory: bool,
}

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Each datagram is lost with a fixed probability.
    Loss {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// Its probability.
        chance: Chance,
    },
    /// Losses come in bursts (Gilbert–Elliott): each link is good or bad for exponential times.
    Burst {
        /// Its links; each is good or bad by itself.
        on: Links,
        /// Its time.
        during: Window,
        /// Probability that a datagram is lost while its link is bad.
        chance: Chance,
        /// Mean time for which a link is bad.
        bad: Duration,
        /// Mean time for which a link is good.
        good: Duration,
    },
    /// Datagrams arrive twice; the copy up to 50 ms later.
    Duplicate {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// Its probability.
        chance: Chance,
    },
    /// Datagrams take longer, by up to `by`, and so arrive in another order.
    Delay {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// Its probability.
        chance: Chance,
        /// By how much at most; uniform.
        by: Duration,
    },
    /// One to four bits of a datagram are flipped.
    Corrupt {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// Its probability.
        chance: Chance,
    },
    /// Loss of what is longer than the path carries: a tunnel behind which nobody hears of it.
    Narrow {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// Length in bytes up to which datagrams get through.
        longest: u16,
    },
    /// Nothing gets through: a partition.
    Cut {
        /// Its links: from these to those.
        on: Links,
        /// True if the way back is cut, too.
        both_ways: bool,
        /// Its time. What is under way already arrives.
        during: Window,
    },
    /// A process dies, and perhaps another one takes its place.
    Crash {
        /// The node that it happens to.
        node: Addr,
        /// Its time.
        at: Duration,
        /// The restart, if there is one.
        restart: Option<Restart>,
    },
    /// A process stands still: it neither sees time pass nor reads its socket, whose buffer holds 256 datagrams.
    Pause {
        /// The node that it happens to.
        node: Addr,
        /// Its time.
        during: Window,
    },
    /// A process takes the place of another and the id of a third: one id, two processes. In the end one of them dies.
    /// For machines that know no ids it is a restart without memory.
    Twin {
        /// The node whose place it takes. Its own process is dead meanwhile; afterwards one starts without memory.
        node: Addr,
        /// The node whose id it has.
        of: Addr,
        /// Its time; it must end.
        during: Window,
        /// True if it is the first of the two that dies in the end, for good, and the other that stays.
        stays: bool,
    },
    /// A clock is off, and perhaps drifts.
    Skew {
        /// The node that it happens to.
        node: Addr,
        /// Its time. Afterwards the clock is right again, by a jump.
        during: Window,
        /// By how many microseconds, ahead if positive.
        offset: i64,
        /// By how many microseconds a second it drifts away.
        drift_ppm: i32,
        /// True if it is meant to be further off than the machine allows; otherwise that is refused.
        beyond: bool,
    },
    /// One datagram is lost, known by its content. What the minimiser makes of the others.
    LoseExactly {
        /// Its sender.
        from: Addr,
        /// Its receiver.
        to: Addr,
        /// A digest of its bytes.
        content: u64,
        /// Number of datagrams of the same content that went before on that link.
        occurrence: u32,
    },
}

impl Fault {
    /// The name of its class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Loss { .. } => "loss",
            Self::Burst { .. } => "burst",
            Self::Duplicate { .. } => "duplicate",
            Self::Delay { .. } => "delay",
            Self::Corrupt { .. } => "corrupt",
            Self::Narrow { .. } => "narrow",
            Self::Cut { .. } => "cut",
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Twin { .. } => "twin",
            Self::Skew { .. } => "skew",
            Self::LoseExactly { .. } => "lose",
        }
    }

    fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Self::Loss { during, .. }
            | Self::Burst { during, .. }
            | Self::Duplicate { during, .. }
            | Self::Delay { during, .. }
            | Self::Corrupt { during, .. }
            | Self::Narrow { during, .. }
            | Self::Cut { during, .. }
            | Self::Pause { during, .. }
            | Self::Twin { during, .. }
            | Self::Skew { during, .. } => Some(during),
            Self::Crash { .. } | Self::LoseExactly { .. } => None,
        }
    }

    pub(crate) fn window(&self) -> Option<Window> {
        self.clone().window_mut().copied()
    }

    /// The same at another time.
    pub(crate) fn with_window(mut self, window: Window) -> Self {
        if let Some(during) = self.window_mut() {
            *during = window;
        }
        self
    }

    /// Checks that it begins before it ends: what ends first would never end.
    pub(crate) fn check_order(&self) -> Result<(), String> {
        let (from, to) = match self {
            Self::Crash { at, restart, .. } => (*at, restart.map(|restart| restart.at)),
            _ => self.window().map_or((Duration::ZERO, None), |window| (window.from, window.to)),
        };
        match to {
            Some(to) if to < from => Err(format!("`{self}` ends at {to:?}, before it begins at {from:?}")),
            _ => Ok(()),
        }
    }

    /// Time at which it is over with all it brings about: for what never ends, when it began.
    pub fn heals_at(&self) -> Duration {
        let end = self.window().map_or(Duration::ZERO, |window| window.to.unwrap_or(window.from));
        match self {
            Self::Delay { by, .. } => end.saturating_add(*by),
            Self::Duplicate { .. } => end.saturating_add(Duration::from_millis(50)),
            Self::Crash { at, restart, .. } => restart.map_or(*at, |restart| restart.at),
            _ => end,
        }
    }

    /// Largest error of the clock. One that drifts for ever is looked at for an hour.
    pub(crate) fn clock_error(&self) -> Duration {
        let Self::Skew { during, offset, drift_ppm, .. } = self else { return Duration::ZERO };
        let time = during.to.map_or(Duration::from_secs(3_600), |to| to.saturating_sub(during.from));
        let drifted = time.saturating_mul(drift_ppm.unsigned_abs()) / 1_000_000;
        Duration::from_micros(offset.unsigned_abs()).saturating_add(drifted)
    }

    /// Returns true if it can be rewritten as single lost datagrams.
    pub(crate) fn loses(&self) -> bool {
        matches!(self, Self::Loss { .. } | Self::Burst { .. } | Self::Cut { .. } | Self::Corrupt { .. })
    }

    /// Returns true if what it does to a datagram is left to chance, or stands for more than one.
    pub(crate) fn is_vague(&self) -> bool {
        !matches!(self, Self::LoseExactly { .. })
    }

    /// Gives the nodes that it names other numbers, in the same order.
    pub(crate) fn renumber(&mut self, number: impl Fn(Addr) -> Addr + Copy) {
        match self {
            Self::Loss { on, .. }
            | Self::Burst { on, .. }
            | Self::Duplicate { on, .. }
            | Self::Delay { on, .. }
            | Self::Corrupt { on, .. }
            | Self::Narrow { on, .. }
            | Self::Cut { on, .. } => {
                for nodes in [&mut on.from, &mut on.to] {
                    if let Nodes::These(these) = nodes {
                        these.iter_mut().for_each(|node| *node = number(*node));
                    }
                }
            }
            Self::Crash { node, .. } | Self::Pause { node, .. } | Self::Skew { node, .. } => *node = number(*node),
            Self::LoseExactly { from: one, to: other, .. } | Self::Twin { node: one, of: other, .. } => {
                (*one, *other) = (number(*one), number(*other));
            }
        }
    }

    /// Returns what is left of it without a node.
    pub(crate) fn without(&self, gone: Addr) -> Option<Self> {
        let mut fault = self.clone();
        match &mut fault {
            Self::Loss { on, .. }
            | Self::Burst { on, .. }
            | Self::Duplicate { on, .. }
            | Self::Delay { on, .. }
            | Self::Corrupt { on, .. }
            | Self::Narrow { on, .. }
            | Self::Cut { on, .. } => *on = on.without(gone)?,
            Self::Crash { node, .. } | Self::Pause { node, .. } | Self::Skew { node, .. } => {
                if *node == gone {
                    return None;
                }
            }
            Self::LoseExactly { from: one, to: other, .. } | Self::Twin { node: one, of: other, .. } => {
                if *one == gone || *other == gone {
                    return None;
                }
            }
        }
        Some(fault)
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

    /// A clock is off by so many microseconds.
    pub fn skew(self, node: u32, offset: i64, drift_ppm: i32, during: Window) -> Self {
        self.fault(Fault::Skew { node: Addr(node), during, offset, drift_ppm, beyond: false })
    }

    /// A clock is off by so many microseconds, more than the machine allows.
    pub fn skew_beyond(self, node: u32, offset: i64, during: Window) -> Self {
        self.fault(Fault::Skew { node: Addr(node), during, offset, drift_ppm: 0, beyond: true })
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
