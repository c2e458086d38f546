//! Scenarios and faults as text.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Scenario, ranges};
use crate::plan::{Chance, Fault, Links, Nodes, Window};

/// Seconds, with as many decimals as are needed, six at most.
pub(crate) struct Seconds(pub(crate) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        decimal(f, self.0.as_micros())?;
        f.write_str("s")
    }
}

/// Millionths as a decimal number.
fn decimal(f: &mut Formatter<'_>, millionths: u128) -> fmt::Result {
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    if rest == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{rest:06}");
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

impl Display for Chance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        decimal(f, u128::from(self.as_ppm()) * 100)?;
        f.write_str("%")
    }
}

impl Display for Nodes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Display for Links {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "from {} to {}", Seconds(self.from), Seconds(to)),
            None => write!(f, "from {} on", Seconds(self.from)),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss { on, during, chance } => write!(f, "loss {chance} on {on} {during}"),
            Self::Burst { on, during, chance, bad, good } => {
                write!(f, "burst {chance} bad {} good {} on {on} {during}", Seconds(*bad), Seconds(*good))
            }
            Self::Duplicate { on, during, chance } => write!(f, "duplicate {chance} on {on} {during}"),
            Self::Delay { on, during, chance, by } => {
                write!(f, "delay {chance} by {} on {on} {during}", Seconds(*by))
            }
            Self::Far { on, during, by } => write!(f, "far by {} on {on} {during}", Seconds(*by)),
            Self::Corrupt { on, during, chance } => write!(f, "corrupt {chance} on {on} {during}"),
            Self::Narrow { on, during, longest } => write!(f, "narrow {longest} on {on} {during}"),
            Self::Cut { on, both_ways, during } => {
                write!(f, "cut {} {} {} {during}", on.from, if *both_ways { "<->" } else { "->" }, on.to)
            }
            Self::Crash { node, at, restart } => {
                write!(f, "crash {node} at {}", Seconds(*at))?;
                restart.map_or(Ok(()), |restart| {
                    let with = if restart.memory { "with" } else { "without" };
                    write!(f, " restart at {} {with} memory", Seconds(restart.at))
                })
            }
            Self::Pause { node, during } => write!(f, "pause {node} {during}"),
            Self::Twin { node, of, during, stays } => {
                write!(f, "twin {node} of {of} {during}{}", if *stays { " stays" } else { "" })
            }
            Self::Guest { node, id, during } => write!(f, "guest {id} at {node} {during}"),
            Self::Skew { node, during, offset, drift_ppm, beyond } => {
                let beyond = if *beyond { " beyond" } else { "" };
                let sign = if *offset < 0 { "-" } else { "" };
                let offset = Seconds(Duration::from_micros(offset.unsigned_abs()));
                write!(f, "skew {node} by {sign}{offset} drift {drift_ppm}ppm{beyond} {during}")
            }
            Self::Move { node, to, during, restarts } => {
                write!(f, "move {node} to {to} {during}{}", if *restarts { " restarts" } else { "" })
            }
            Self::Misplace { node, at, during } => write!(f, "misplace {node} at {at} {during}"),
            Self::Shorten { node, percent } => write!(f, "shorten {node} to {percent}%"),
            Self::Set { on, name, value } => write!(f, "set {name} {value} on {on}"),
            Self::Damage { node, at, restart, harm } => {
                write!(f, "damage {node} at {} restart at {} by {}", Seconds(*at), Seconds(*restart), harm.name())
            }
            Self::LoseExactly { from, to, content, occurrence } => {
                write!(f, "lose {from} -> {to} {content:016x} #{occurrence}")
            }
        }
    }
}

macro_rules! debug_as_display {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        }
    )*};
}

debug_as_display!(Chance, Nodes, Links, Window, Fault);

impl<C: Display> Scenario<C> {
    fn print(&self, f: &mut Formatter<'_>, end: &str) -> fmt::Result {
        write!(f, "seed {}{end}nodes {}{end}seeds {}{end}", self.seed, ranges(&self.nodes), self.seeds)?;
        for write in &self.writes {
            write!(f, "at {} node {}: {}{end}", Seconds(write.at), write.node, write.command)?;
        }
        for fault in &self.plan.faults {
            write!(f, "{fault}{end}")?;
        }
        Ok(())
    }
}

/// A line for each thing.
impl<C: Display> Display for Scenario<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(f, "\n")
    }
}

/// All on one line: front ends print the values that fail.
impl<C: Display> fmt::Debug for Scenario<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(f, "; ")
    }
}
