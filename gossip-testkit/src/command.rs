//! Commands of the users of a [`gossip_core::Node`]: drawn, made smaller, written and read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::address::Addr;
use crate::plan::Chance;
use crate::scenario::{Dice, Seconds, Workload};
use crate::{settings, shrink};

/// A command to a [`gossip_core::Node`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Writes a shared entry, or its own; for ever, or for a time.
    Put {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// True if it is the member's own.
        own: bool,
        /// Its time to live.
        time_to_live: Option<Duration>,
    },
    /// Deletes a shared entry, or its own.
    Delete {
        /// The name.
        name: String,
        /// True if it is the member's own.
        own: bool,
    },
    /// Writes its share of a name. Refused until it knows what it has written before.
    PutShare {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// Deletes its share of a name.
    DeleteShare {
        /// The name.
        name: String,
    },
    /// Declares that another member is gone for good.
    Forget(Addr),
    /// Says something to all.
    Broadcast(String),
    /// Leaves the cluster.
    Leave,
    /// Joins it again through whom it knows. Refused to whoever has not left, or knows nobody.
    Join,
}

impl Command {
    /// Writes a shared entry.
    pub fn put(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Put { name: name.into(), value: value.into(), own: false, time_to_live: None }
    }

    /// Deletes a shared entry.
    pub fn delete(name: impl Into<String>) -> Self {
        Self::Delete { name: name.into(), own: false }
    }

    /// Says something to all.
    pub fn broadcast(payload: impl Into<String>) -> Self {
        Self::Broadcast(payload.into())
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, " \"{}\"", text.escape_default())
}

/// The shortest unit that a long text is a repetition of, and how often: large values are written so.
fn unit(text: &str) -> (&str, usize) {
    const SHORT: usize = 64;
    let repeats = |len: usize| {
        let unit = text.get(..len)?;
        let times = text.len() / len;
        (text.len() > SHORT && unit.repeat(times) == text).then_some((unit, times))
    };
    (1..=SHORT).find_map(repeats).unwrap_or((text, 1))
}

/// The text before, as often as it is repeated, and what follows. What is larger than a megabyte is a typing error.
fn repeated(unit: String, rest: &str) -> Result<(String, &str), ParseCommandError> {
    const MOST: usize = 1 << 20;
    let Some(rest) = rest.trim_start().strip_prefix("x ") else { return Ok((unit, rest)) };
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let times: usize =
        number.parse().ok().filter(|&times| times > 0).ok_or(ParseCommandError("how often, such as x 200"))?;
    match unit.len().checked_mul(times) {
        Some(len) if len <= MOST => Ok((unit.repeat(times), rest)),
        _ => Err(ParseCommandError("a value of a megabyte at most")),
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |own: bool| if own { "-own" } else { "" };
        match self {
            Self::Put { name, value, own: is_own, time_to_live } => {
                write!(f, "put{}", own(*is_own))?;
                quote(f, name)?;
                let (unit, times) = unit(value);
                quote(f, unit)?;
                if times > 1 {
                    write!(f, " x {times}")?;
                }
                time_to_live.map_or(Ok(()), |time| write!(f, " for {}", Seconds(time)))
            }
            Self::Delete { name, own: is_own } => {
                write!(f, "delete{}", own(*is_own))?;
                quote(f, name)
            }
            Self::PutShare { name, value } => {
                f.write_str("put-share")?;
                quote(f, name)?;
                let (unit, times) = unit(value);
                quote(f, unit)?;
                if times > 1 { write!(f, " x {times}") } else { Ok(()) }
            }
            Self::DeleteShare { name } => {
                f.write_str("delete-share")?;
                quote(f, name)
            }
            Self::Forget(Addr(node)) => write!(f, "forget {node}"),
            Self::Broadcast(payload) => {
                f.write_str("broadcast")?;
                quote(f, payload)
            }
            Self::Leave => f.write_str("leave"),
            Self::Join => f.write_str("join"),
        }
    }
}

/// A text that is no [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct ParseCommandError(&'static str);

/// The text between two quotes, and what follows.
fn unquote(text: &str) -> Result<(String, &str), ParseCommandError> {
    const QUOTED: ParseCommandError = ParseCommandError("a text in double quotes");
    let text = text.trim_start().strip_prefix('"').ok_or(QUOTED)?;
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next().ok_or(QUOTED)?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let rest = &text[at + 2..];
                    let (hex, _) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(QUOTED)?;
                    let escaped = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                    out.push(escaped.ok_or(ParseCommandError("an escaped character such as \\u{e9}"))?);
                    chars.nth(hex.len() + 1);
                }
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    Err(QUOTED)
}

impl FromStr for Command {
    type Err = ParseCommandError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (command, rest) = match verb {
            "put" | "put-own" => {
                let (name, rest) = unquote(rest)?;
                let (value, rest) = unquote(rest)?;
                let (value, rest) = repeated(value, rest)?;
                let (time_to_live, rest) = match rest.trim_start().strip_prefix("for ") {
                    Some(time) => {
                        (Some(crate::scenario::seconds(time.trim()).ok_or(ParseCommandError("a time such as 5s"))?), "")
                    }
                    None => (None, rest),
                };
                (Self::Put { name, value, own: verb == "put-own", time_to_live }, rest)
            }
            "delete" | "delete-own" => {
                let (name, rest) = unquote(rest)?;
                (Self::Delete { name, own: verb == "delete-own" }, rest)
            }
            "put-share" => {
                let (name, rest) = unquote(rest)?;
                let (value, rest) = unquote(rest)?;
                let (value, rest) = repeated(value, rest)?;
                (Self::PutShare { name, value }, rest)
            }
            "delete-share" => {
                let (name, rest) = unquote(rest)?;
                (Self::DeleteShare { name }, rest)
            }
            "forget" => {
                let node = rest.trim().parse().map_err(|_| ParseCommandError("the number of a node"))?;
                (Self::Forget(Addr(node)), "")
            }
            "broadcast" => {
                let (payload, rest) = unquote(rest)?;
                (Self::Broadcast(payload), rest)
            }
            "leave" => (Self::Leave, rest),
            "join" => (Self::Join, rest),
            _ => {
                return Err(ParseCommandError(
                    "put, put-own, put-share, delete, delete-own, delete-share, forget, broadcast, leave or join",
                ));
            }
        };
        if rest.trim().is_empty() { Ok(command) } else { Err(ParseCommandError("nothing more")) }
    }
}

/// Few names, so that writes meet; now and then what fills a datagram, and a value that needs several.
impl Workload for Command {
    fn random(dice: &mut Dice) -> Self {
        let name = format!("k{}", dice.within(0..=3));
        let text = |dice: &mut Dice| {
            let text = format!("{:x}", dice.bits() >> 40);
            if dice.chance(Chance::percent(10)) { text.repeat(dice.within(1..=140) as usize) } else { text }
        };
        let value = |dice: &mut Dice| {
            let text = text(dice);
            let large = text.len() < 8 && dice.chance(Chance::percent(10));
            if large { text.repeat(dice.within(200..=1_000) as usize) } else { text }
        };
        let own = dice.chance(Chance::percent(25));
        match dice.within(0..=9) {
            0..=4 => Self::Put { name, value: value(dice), own, time_to_live: None },
            5..=6 => Self::Delete { name, own },
            7 => {
                let time_to_live = Some(Duration::from_secs(dice.within(20..=90)));
                Self::Put { name, value: value(dice), own: false, time_to_live }
            }
            _ => Self::Broadcast(text(dice)),
        }
    }

    fn shorten(&mut self, most: usize) {
        if let Self::Broadcast(payload) = self {
            payload.truncate(most);
        }
    }

    fn setting(dice: &mut Dice) -> Option<(String, String)> {
        settings::draw(dice)
    }

    fn members(most: u32) -> Option<(String, String)> {
        Some(("limits.members".to_owned(), most.to_string()))
    }

    fn shrink(&self) -> impl Iterator<Item = Self> {
        let mut smaller = Vec::new();
        match self {
            Self::Put { name, value, own, time_to_live } => {
                let put = |value: String, own, time_to_live| Self::Put { name: name.clone(), value, own, time_to_live };
                if *own {
                    smaller.push(put(value.clone(), false, *time_to_live));
                }
                if let Some(time) = time_to_live {
                    smaller.push(put(value.clone(), *own, None));
                    smaller.extend(shrink::seconds(*time, 1).map(|time| put(value.clone(), *own, Some(time))));
                }
                smaller.extend(shrink::text(value).map(|value| put(value, *own, *time_to_live)));
            }
            Self::Delete { name, own: true } => smaller.push(Self::Delete { name: name.clone(), own: false }),
            Self::Broadcast(payload) => smaller.extend(shrink::text(payload).map(Self::Broadcast)),
            Self::PutShare { name, value } => {
                smaller.push(Self::put(name.clone(), value.clone()));
                smaller.extend(shrink::text(value).map(|value| Self::PutShare { name: name.clone(), value }));
            }
            Self::DeleteShare { name } => smaller.push(Self::delete(name.clone())),
            Self::Delete { own: false, .. } | Self::Forget(_) | Self::Leave | Self::Join => {}
        }
        smaller.into_iter()
    }
}
