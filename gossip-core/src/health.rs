//! Alerts: problems of a node that last, each with the time at which it began and the remedy.
//!
//! Knows what is said about a problem. Must not know how it is detected.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::error::Bound;
use crate::id::NodeId;
use crate::time::Instant;

/// Something that is wrong at a node now. Serialized with the fields `kind`, `since`, `text` and `remedy`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert<A> {
    /// Problem.
    pub problem: Problem<A>,
    /// Agreed time at which it began, as far as this node can tell.
    pub since: Instant,
}

impl<A> Alert<A> {
    /// Makes an alert, for drivers that have problems of their own to report.
    pub const fn new(problem: Problem<A>, since: Instant) -> Self {
        Self { problem, since }
    }
}

/// Shows the problem and what to do.
impl<A: fmt::Debug> fmt::Display for Alert<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.problem.remedy())
    }
}

impl<A: fmt::Debug> Serialize for Alert<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Alert", 4)?;
        object.serialize_field("kind", self.problem.kind())?;
        object.serialize_field("since", &self.since)?;
        object.serialize_field("text", &Text(&self.problem))?;
        object.serialize_field("remedy", self.problem.remedy())?;
        object.end()
    }
}

/// Text of a problem as a serde string.
struct Text<'a, A>(&'a Problem<A>);

impl<A: fmt::Debug> Serialize for Text<'_, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// A problem of a node that lasts. Its `Display` is a short sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem<A> {
    /// This node knows of others, or was given seeds, and nobody answers.
    Isolated,
    /// This node lacks nearly all that others hold, and is fetching it.
    CatchingUp {
        /// Number of items received.
        received: u64,
        /// Approximate number of items expected.
        expected: u64,
    },
    /// This node's wall clock differs from most members' by more than [`max_ahead`](crate::Lifetimes::max_ahead).
    ClockWrong {
        /// Median of the members' clocks.
        peers: Instant,
        /// This node's wall clock.
        own: Instant,
    },
    /// Other members do not reach this node at the address that it advertises.
    Unreachable {
        /// Address that this node advertises.
        advertised: A,
        /// Address from which its datagrams come to the others.
        seen: A,
    },
    /// Paths to other members lose all datagrams over a length that is less than
    /// [`max_datagram`](crate::Config::max_datagram).
    NarrowPaths {
        /// Number of them.
        paths: usize,
        /// Address of one of these members.
        address: A,
        /// Length in bytes up to which datagrams arrive there.
        longest: usize,
    },
    /// Answers of most members take longer than a protocol period: each probe lasts for as long as they do, so that crashes are
    /// found later than [`probe.period`](crate::Probe::period) says.
    PeriodTooShort {
        /// Time that an answer takes, and a quarter.
        needed: Duration,
        /// Protocol period.
        period: Duration,
    },
    /// A bound of [`Limits`](crate::Limits) is reached.
    Full {
        /// Bound that is reached.
        bound: Bound,
    },
    /// Values are set aside: see [`Node::set_aside`](crate::Node::set_aside).
    SetAside {
        /// Number of values.
        count: usize,
    },
    /// Another live node has this node's id.
    IdentityConflict {
        /// Address of the other node.
        address: A,
    },
    /// Datagrams of another cluster arrive.
    ForeignCluster {
        /// Source of the latest one that was reported.
        address: A,
    },
    /// Datagrams arrive that are sealed with a key that is not here, or that are plain while a key is required.
    UnknownKey {
        /// Number of the key; 0 is plain.
        key: u8,
        /// Source of the latest one that was reported.
        address: A,
    },
    /// Datagrams of a version of the wire format arrive that this node does not understand.
    UnknownVersion {
        /// Version in the datagram.
        version: u8,
        /// Source of the latest one that was reported.
        address: A,
    },
    /// A member runs a version that this node cannot be in a cluster with.
    Incompatible {
        /// Identity of the member; of one, if there are several.
        id: NodeId,
    },
    /// Datagrams arrive that are longer than this node's [`max_datagram`](crate::Config::max_datagram).
    LargerDatagrams {
        /// Length of the latest one that was reported, in bytes, as far as it was received.
        length: usize,
        /// This node's `max_datagram`.
        longest: usize,
        /// Source of that one.
        address: A,
    },
    /// Not everything that was stored could be restored at the start, within the last hour.
    RestoredWithLoss {
        /// Number of items that are known to be lost.
        lost: u64,
    },
    /// The data on disk cannot be written. Reported by drivers that keep data.
    Storage {
        /// File and error.
        error: String,
    },
}

impl<A> Problem<A> {
    /// Returns the kind of the problem as a word for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::CatchingUp { .. } => "catching-up",
            Self::ClockWrong { .. } => "clock-wrong",
            Self::Unreachable { .. } => "unreachable",
            Self::NarrowPaths { .. } => "narrow-paths",
            Self::PeriodTooShort { .. } => "period-too-short",
            Self::Full { .. } => "full",
            Self::SetAside { .. } => "set-aside",
            Self::IdentityConflict { .. } => "identity-conflict",
            Self::ForeignCluster { .. } => "foreign-cluster",
            Self::UnknownKey { .. } => "unknown-key",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::Incompatible { .. } => "incompatible",
            Self::LargerDatagrams { .. } => "larger-datagrams",
            Self::RestoredWithLoss { .. } => "restored-with-loss",
            Self::Storage { .. } => "storage",
        }
    }

    /// Returns what to do about the problem.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Isolated => "check the network, the port, the firewall, the label, the keys and the seeds",
            Self::CatchingUp { .. } => "wait until it is done before you conclude that a name has no value",
            Self::ClockWrong { .. } => "set the clock; keep NTP running",
            Self::Unreachable { .. } => {
                "advertise an address at which the others reach this node, or let the port through"
            }
            Self::NarrowPaths { .. } => {
                "let ICMP `packet too big` through, or set `max_datagram` of all nodes to what their paths carry"
            }
            Self::PeriodTooShort { .. } => "raise `probe.period` of all nodes, or look for a slow network",
            Self::Full { .. } => "raise the bound, or find out who writes so much",
            Self::SetAside { .. } => "look through them: readmit those that are still valid, and discard the rest",
            Self::IdentityConflict { .. } => "stop one of the two: a copied data file, or a name that is used twice",
            Self::ForeignCluster { .. } => "look for a wrong label or address there or here",
            Self::UnknownKey { .. } => "add the key here, or give that node the keys of this cluster",
            Self::UnknownVersion { .. } => "look for a node of another release, or for other software at this port",
            Self::Incompatible { .. } => "upgrade that node, or this one: the older of the two",
            Self::LargerDatagrams { .. } => "give all nodes of the cluster the same `max_datagram`",
            Self::RestoredWithLoss { .. } => "nothing, if other members hold it: it is fetched from them",
            Self::Storage { .. } => "make room on the disk, or make the file writable; writing is tried again",
        }
    }

    /// Returns the part of a problem by which it is told from others of its kind that last at the same time.
    const fn bound(&self) -> Option<Bound> {
        match self {
            Self::Full { bound } => Some(*bound),
            _ => None,
        }
    }
}

impl<A: fmt::Debug> fmt::Display for Problem<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolated => f.write_str("nobody answers"),
            Self::CatchingUp { received, expected } => write!(f, "{received} of about {expected} items are here"),
            Self::ClockWrong { peers, own } => {
                let way = if peers > own { "behind" } else { "ahead of" };
                write!(f, "this machine's clock is {:?} {way} the others'", peers.abs_diff(*own))
            }
            Self::Unreachable { advertised, seen } => {
                write!(f, "others do not reach this node at {advertised:?}, they see it at {seen:?}")
            }
            Self::NarrowPaths { paths, address, longest } => {
                write!(f, "{paths} paths lose long datagrams: over {longest} bytes to {address:?}")
            }
            Self::PeriodTooShort { needed, period } => {
                write!(f, "answers of most members need {needed:?}, and a protocol period lasts {period:?}")
            }
            Self::Full { bound } => write!(f, "{bound} is reached: new items are refused"),
            Self::SetAside { count } => {
                write!(f, "{count} values were perhaps deleted while this node was away, and are set aside")
            }
            Self::IdentityConflict { address } => write!(f, "another node with this node's id runs at {address:?}"),
            Self::ForeignCluster { address } => write!(f, "datagrams of another cluster arrive from {address:?}"),
            Self::UnknownKey { key: 0, address } => write!(f, "datagrams without a key arrive from {address:?}"),
            Self::UnknownKey { key, address } => {
                write!(f, "datagrams with the unknown key {key} arrive from {address:?}")
            }
            Self::UnknownVersion { version, address } => {
                write!(f, "datagrams of wire version {version} that are not understood arrive from {address:?}")
            }
            Self::Incompatible { id } => write!(f, "member {id} runs a version that does not go with this one"),
            Self::LargerDatagrams { length, longest, address } => {
                write!(
                    f,
                    "datagrams of {length} bytes and more arrive from {address:?}, `max_datagram` here is {longest}"
                )
            }
            Self::RestoredWithLoss { lost } => write!(f, "{lost} stored items could not be restored"),
            Self::Storage { error } => write!(f, "the data cannot be stored: {error}"),
        }
    }
}

/// Times at which the present problems began. Empty at a healthy node.
#[derive(Debug, Default)]
pub(crate) struct Began(Vec<(&'static str, Option<Bound>, Instant)>);

impl Began {
    /// Takes note of the problems that there are at `now`.
    pub(crate) fn note<A>(&mut self, now: Instant, problems: &[Problem<A>]) {
        if problems.is_empty() {
            self.0 = Vec::new();
            return;
        }
        let began = problems.iter().map(|problem| (problem.kind(), problem.bound(), self.of(problem).unwrap_or(now)));
        self.0 = began.collect();
    }

    /// Returns the time at which a problem began, if it was noted.
    pub(crate) fn of<A>(&self, problem: &Problem<A>) -> Option<Instant> {
        let found = self.0.iter().find(|(kind, bound, _)| (*kind, *bound) == (problem.kind(), problem.bound()));
        found.map(|(.., since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::{format, vec};

    use super::*;

    #[test]
    fn a_problem_keeps_its_beginning_while_it_lasts_and_bounds_are_told_apart() {
        let at = Instant::from_secs;
        let full = |bound| Problem::<u8>::Full { bound };
        let mut began = Began::default();
        began.note(at(1), &[full(Bound::Members)]);
        began.note(at(2), &[full(Bound::Bytes), full(Bound::Members), Problem::Isolated]);
        assert_eq!(began.of(&full(Bound::Members)), Some(at(1)));
        assert_eq!(began.of(&full(Bound::Bytes)), Some(at(2)));
        began.note::<u8>(at(3), &[]);
        began.note(at(4), &[full(Bound::Members)]);
        assert_eq!((began.of(&full(Bound::Members)), began.of(&Problem::<u8>::Isolated)), (Some(at(4)), None));
    }

    #[test]
    fn every_alert_says_what_is_wrong_since_when_and_what_to_do() {
        let (peers, own) = (Instant::from_secs(100), Instant::from_secs(40));
        let problem = Problem::<u8>::ClockWrong { peers, own };
        assert_eq!(problem.to_string(), "this machine's clock is 60s behind the others'");
        let plain = Problem::UnknownKey { key: 0, address: 7_u8 };
        assert_eq!(plain.to_string(), "datagrams without a key arrive from 7");
        let alert = Alert::new(problem, own);
        assert_eq!(
            format!("{alert}"),
            "this machine's clock is 60s behind the others': set the clock; keep NTP running"
        );
        let bytes = postcard::to_allocvec(&alert).unwrap();
        let (kind, since, text, remedy): (&str, Instant, &str, &str) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((kind, since), ("clock-wrong", own));
        assert_eq!(vec![text, remedy], [&*alert.problem.to_string(), alert.problem.remedy()]);
    }
}
