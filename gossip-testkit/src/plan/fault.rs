//! One fault, and what can be asked of it.

use std::time::Duration;

use super::{Chance, Harm, Links, Nodes, Window};
use crate::address::Addr;

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
    /// Every datagram takes longer, by the same time: a path that is that long.
    Far {
        /// Its links.
        on: Links,
        /// Its time.
        during: Window,
        /// By how much.
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
    /// In the place of a node another process runs, for a while or for good, with an id that nobody else has: it starts without
    /// memory, joins like all others, and dies without a word. For machines that know no ids it is a restart without memory.
    Guest {
        /// The node in whose place it runs. Its own process is dead meanwhile; afterwards one starts without memory.
        node: Addr,
        /// Its id, which is no node's.
        id: Addr,
        /// Its time.
        during: Window,
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
    /// A node has another address for a time: others see it there, and nobody reaches it at its own. It is a machine's own
    /// address that changes, not its id: for machines that know ids.
    Move {
        /// The node that it happens to.
        node: Addr,
        /// Its other address, which is no node's.
        to: Addr,
        /// Its time. It must end unless the process restarts: who is not told would be out of reach for ever.
        during: Window,
        /// True if the process ends, and another one with its memory is started at the other address, and in the end one at its own.
        /// False if the process runs on and is not told.
        restarts: bool,
    },
    /// A process is started again, with memory, as if it had the address of nobody: it says so, and others reach nobody
    /// there. It sends and receives at its own. In the end it is started again as it should be.
    Misplace {
        /// The node that it happens to.
        node: Addr,
        /// The address that it is told, which is no node's.
        at: Addr,
        /// Its time; it must end.
        during: Window,
    },
    /// The processes of a node are configured for shorter datagrams than the others, from the start and for ever.
    Shorten {
        /// The node that it happens to.
        node: Addr,
        /// Its longest datagram, in per cent of the others'.
        percent: u8,
    },
    /// A setting has another value at some nodes, or at all, from the start and for ever
    /// ([`Machine::set`](crate::Machine::set)). One that goes together with nothing else that a node is set to is left out there.
    Set {
        /// The nodes.
        on: Nodes,
        /// Name of the setting, without white space.
        name: String,
        /// Its value, without white space.
        value: String,
    },
    /// A process dies, its memory is damaged, and another one is started with that.
    Damage {
        /// The node that it happens to.
        node: Addr,
        /// Its time.
        at: Duration,
        /// Time of the restart.
        restart: Duration,
        /// Damage to the memory.
        harm: Harm,
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
            Self::Far { .. } => "far",
            Self::Corrupt { .. } => "corrupt",
            Self::Narrow { .. } => "narrow",
            Self::Cut { .. } => "cut",
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Twin { .. } => "twin",
            Self::Guest { .. } => "guest",
            Self::Skew { .. } => "skew",
            Self::Move { .. } => "move",
            Self::Misplace { .. } => "misplace",
            Self::Shorten { .. } => "shorten",
            Self::Set { .. } => "set",
            Self::Damage { .. } => "damage",
            Self::LoseExactly { .. } => "lose",
        }
    }

    fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Self::Loss { during, .. }
            | Self::Burst { during, .. }
            | Self::Duplicate { during, .. }
            | Self::Delay { during, .. }
            | Self::Far { during, .. }
            | Self::Corrupt { during, .. }
            | Self::Narrow { during, .. }
            | Self::Cut { during, .. }
            | Self::Pause { during, .. }
            | Self::Twin { during, .. }
            | Self::Guest { during, .. }
            | Self::Move { during, .. }
            | Self::Misplace { during, .. }
            | Self::Skew { during, .. } => Some(during),
            Self::Crash { .. }
            | Self::Shorten { .. }
            | Self::Set { .. }
            | Self::Damage { .. }
            | Self::LoseExactly { .. } => None,
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
            Self::Damage { at, restart, .. } => (*at, Some(*restart)),
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
            Self::Delay { by, .. } | Self::Far { by, .. } => end.saturating_add(*by),
            Self::Duplicate { .. } => end.saturating_add(Duration::from_millis(50)),
            Self::Crash { at, restart, .. } => restart.map_or(*at, |restart| restart.at),
            Self::Damage { restart, .. } => *restart,
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
            | Self::Far { on, .. }
            | Self::Corrupt { on, .. }
            | Self::Narrow { on, .. }
            | Self::Cut { on, .. } => {
                for nodes in [&mut on.from, &mut on.to] {
                    if let Nodes::These(these) = nodes {
                        these.iter_mut().for_each(|node| *node = number(*node));
                    }
                }
            }
            Self::Set { on, .. } => {
                if let Nodes::These(these) = on {
                    these.iter_mut().for_each(|node| *node = number(*node));
                }
            }
            Self::Crash { node, .. }
            | Self::Pause { node, .. }
            | Self::Guest { node, .. }
            | Self::Skew { node, .. }
            | Self::Move { node, .. }
            | Self::Misplace { node, .. }
            | Self::Shorten { node, .. }
            | Self::Damage { node, .. } => *node = number(*node),
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
            | Self::Far { on, .. }
            | Self::Corrupt { on, .. }
            | Self::Narrow { on, .. }
            | Self::Cut { on, .. } => *on = on.without(gone)?,
            Self::Set { on, .. } => *on = on.without(gone)?,
            Self::Crash { node, .. }
            | Self::Pause { node, .. }
            | Self::Guest { node, .. }
            | Self::Skew { node, .. }
            | Self::Move { node, .. }
            | Self::Misplace { node, .. }
            | Self::Shorten { node, .. }
            | Self::Damage { node, .. } => {
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
