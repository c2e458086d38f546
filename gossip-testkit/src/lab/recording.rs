//! A run of a scenario, written down so that it can be looked at forwards and backwards: for the page of `gossip-sim
//! replay --html` and for the page of the laboratory.
//!
//! A failure of any machine becomes a page with the feature `html`:
//!
//! ```
//! # #[cfg(feature = "html")] {
//! use std::time::Duration;
//! use gossip_core::Node;
//! use gossip_testkit::lab::recording::Recording;
//! use gossip_testkit::{Addr, Checker, Command, FaultPlan, Scenario, Window};
//!
//! let scenario = Scenario::new(3)
//!     .write(Duration::from_secs(2), 0, Command::put("a", "b"))
//!     .plan(FaultPlan::new().loss(1.0, Window::since(Duration::ZERO)));
//! if let Err(failure) = Checker::<Node<Addr>>::default().most_runs(100).check(&scenario) {
//!     let minimal = failure.scenario().parse().expect("scenarios are read as they are printed");
//!     let page = Recording::of(Checker::<Node<Addr>>::default(), &minimal).html();
//!     std::fs::write(std::env::temp_dir().join("failure.html"), page)?;
//! }
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It knows a run by what anybody may know: the trace, and an invariant that always holds and takes notes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use gossip_core::{Instant, Status};
use serde::Serialize;

use crate::address::Addr;
use crate::check::Checker;
use crate::invariant::{Invariant, Violation, World};
use crate::machine::{Machine, Note, View};
use crate::scenario::Scenario;

/// A run of a scenario with everything that happened. Times are in microseconds since the start.
#[derive(Debug, Clone, Serialize)]
pub struct Recording {
    /// The scenario as text.
    pub scenario: String,
    /// The nodes of the scenario.
    pub nodes: Vec<u32>,
    /// The protocol period.
    pub period: u64,
    /// Everything that happened, in order.
    pub happenings: Vec<Happening>,
    /// Changes of what nodes hold, in order.
    pub changes: Vec<Change>,
    /// Changes of how nodes see members, in order.
    pub opinions: Vec<Opinion>,
    /// End of the run.
    pub outcome: Ending,
}

/// A line of the trace, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// Time of it.
    pub at: u64,
    /// The line without its time.
    pub text: String,
    /// The kind of it.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Kinds of happenings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[non_exhaustive]
pub enum Kind {
    /// A datagram is sent.
    Sent {
        /// Its sender.
        from: u32,
        /// Its receiver.
        to: u32,
        /// Its class, as its sender calls it.
        label: String,
        /// Its length.
        bytes: u64,
        /// True if it is lost.
        lost: bool,
    },
    /// A datagram arrives.
    Received {
        /// Its sender.
        from: u32,
        /// Its receiver.
        to: u32,
        /// Its class, as its sender calls it.
        label: String,
        /// True if the receiver refused it.
        refused: bool,
    },
    /// A process starts.
    Starts {
        /// Its node.
        node: u32,
    },
    /// A process dies.
    Crashes {
        /// Its node.
        node: u32,
    },
    /// A process stands still.
    Stops {
        /// Its node.
        node: u32,
    },
    /// A process goes on.
    Resumes {
        /// Its node.
        node: u32,
    },
    /// A node tells its user something, or its user commands it.
    Says {
        /// The node.
        node: u32,
    },
    /// Something else, such as the beginning of a fault.
    Other,
}

/// A change of what a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Time of it.
    pub at: u64,
    /// The node.
    pub node: u32,
    /// True if it starts from nothing: what it held before is gone.
    pub fresh: bool,
    /// Items that are new or have another version, by key.
    pub set: BTreeMap<String, String>,
    /// Keys of items that are gone.
    pub gone: Vec<String>,
}

/// A change of how a node sees a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opinion {
    /// Time of it.
    pub at: u64,
    /// The node whose opinion it is.
    pub node: u32,
    /// The member.
    pub of: u32,
    /// The member's status as seen there: `Alive`, `Suspect`, `Dead` or `Left`; none if the node starts anew and knows nobody.
    pub status: Option<String>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "result")]
pub enum Ending {
    /// Every invariant held.
    Converged {
        /// Time after the last write and the last fault that ends.
        after: u64,
        /// Length of the run.
        at: u64,
        /// Hash of the trace, in hexadecimal digits.
        trace: String,
    },
    /// An invariant did not hold.
    Violated {
        /// Its name.
        invariant: String,
        /// Time of it.
        at: u64,
        /// Description of the violation.
        message: String,
        /// The owners of two views that differ and should not; none if that is not the matter.
        views: Option<[String; 2]>,
        /// Differing items: `-` for the first one's items, `+` for the second one's.
        difference: Vec<String>,
    },
}

impl Recording {
    /// Runs a scenario and writes it down.
    pub fn of<M: Machine<Command: Display>>(checker: Checker<M>, scenario: &Scenario<M::Command>) -> Self {
        let period = checker.expectations().period.as_micros() as u64;
        let notes = Rc::new(RefCell::new(Notes::default()));
        let taken = notes.clone();
        let checker = checker.invariant(move |_| Clerk(taken.clone()));
        let (result, lines) = checker.trace(scenario, usize::MAX);
        let micros = |time: std::time::Duration| time.as_micros() as u64;
        let outcome = match result {
            Ok(report) => Ending::Converged {
                after: micros(report.converged_after),
                at: micros(report.simulated),
                trace: format!("{:016x}", report.trace),
            },
            Err(failure) => {
                let views = failure.violation().views.as_deref();
                Ending::Violated {
                    invariant: failure.invariant().to_owned(),
                    at: micros(failure.at()),
                    message: failure.violation().message.clone(),
                    views: views.map(|[(one, _), (other, _)]| [one.clone(), other.clone()]),
                    difference: views.map_or_else(Vec::new, |[(_, one), (_, other)]| one.difference(other)),
                }
            }
        };
        let Notes { changes, opinions } = notes.take();
        Self {
            scenario: scenario.to_string(),
            nodes: scenario.nodes.iter().map(|node| node.0).collect(),
            period,
            happenings: lines.iter().map(|line| Happening::of(line)).collect(),
            changes,
            opinions,
            outcome,
        }
    }
}

#[cfg(feature = "html")]
impl Recording {
    /// Makes a page of it, which needs nothing else: no network and no other file.
    pub fn html(&self) -> String {
        let json = serde_json::to_string(self).expect("every key of a recording is a text");
        // Nothing in the recording ends the element that it stands in.
        let json = json.replace('<', "\\u003c");
        let page = include_str!("page/replay.html").replace("@@style.css", include_str!("page/style.css"));
        page.replace("@@viewer.js", include_str!("page/viewer.js")).replace("@@recording", &json)
    }
}

impl Happening {
    /// Takes a line of the trace apart.
    fn of(line: &str) -> Self {
        let (time, text) = line.split_once(' ').unwrap_or(("0", line));
        let (seconds, micros) = time.split_once('.').unwrap_or((time, "0"));
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let at = 1_000_000 * number(seconds) + number(micros);
        Self { at, text: text.to_owned(), kind: Kind::of(text).unwrap_or(Kind::Other) }
    }
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        let (node, rest) = text.split_once(' ')?;
        let node: u32 = node.parse().ok()?;
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let word = |place: usize| rest.split([' ', ',']).filter(|word| !word.is_empty()).nth(place);
        // "probe to 3, 48 bytes, …", "probe from 3, 48 bytes"
        let (label, other) = (word(0).unwrap_or("").to_owned(), word(2).and_then(|node| node.parse().ok()));
        Some(match verb {
            "sends" => Self::Sent {
                from: node,
                to: other?,
                label,
                bytes: word(3)?.parse().ok()?,
                lost: rest.contains(": LOST"),
            },
            "receives" | "refuses" if word(1) == Some("from") => {
                Self::Received { from: other?, to: node, label, refused: verb == "refuses" }
            }
            "starts" => Self::Starts { node },
            "crashes" => Self::Crashes { node },
            "stands" if rest == "still" => Self::Stops { node },
            "goes" => Self::Resumes { node },
            _ => Self::Says { node },
        })
    }
}

#[derive(Debug, Default)]
struct Notes {
    changes: Vec<Change>,
    opinions: Vec<Opinion>,
}

/// An invariant that always holds and takes notes. What happens between two events of its own is dated by the last.
struct Clerk(Rc<RefCell<Notes>>);

impl Clerk {
    fn micros(at: Instant) -> u64 {
        at.as_micros()
    }
}

impl<M: Machine> Invariant<M> for Clerk {
    fn name(&self) -> &'static str {
        "a run is written down"
    }

    fn event(&mut self, at: Instant, node: Addr, event: &M::Event) -> Result<(), Violation> {
        if let Note::Member { of, status, .. } = M::note(event) {
            let status = Some(name(status).to_owned());
            self.0.borrow_mut().opinions.push(Opinion { at: Self::micros(at), node: node.0, of: of.0, status });
        }
        Ok(())
    }

    fn changed(&mut self, world: &World<'_, M>, node: Addr, before: &View, after: &View) -> Result<(), Violation> {
        let differs = |(key, item): &(&String, &_)| before.items.get(*key) != Some(*item);
        let set = after.items.iter().filter(differs).map(|(key, item)| (key.clone(), item.to_string())).collect();
        let gone = before.items.keys().filter(|key| !after.items.contains_key(*key)).cloned().collect();
        let (at, fresh) = (Self::micros(world.now()), before.items.is_empty());
        self.0.borrow_mut().changes.push(Change { at, node: node.0, fresh, set, gone });
        Ok(())
    }
}

const fn name(status: Status) -> &'static str {
    match status {
        Status::Alive => "Alive",
        Status::Suspect => "Suspect",
        Status::Dead => "Dead",
        Status::Left => "Left",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gossip_core::Node;

    use super::*;
    use crate::command::Command;
    use crate::plan::{FaultPlan, Window};

    fn scenario() -> Scenario<Command> {
        let plan = FaultPlan::new()
            .loss(0.3, Window::secs(1, 6))
            .partition([0], [1, 2], Window::secs(2, 6))
            .restart(2, Duration::from_secs(8), Duration::from_secs(20), false)
            .pause(1, Window::secs(9, 10));
        Scenario::new(3).seed(3).write(Duration::from_secs(3), 0, Command::put("a", "b")).plan(plan)
    }

    #[test]
    fn a_recording_has_all_that_was_counted() {
        let report = Checker::<Node<Addr>>::default().run(&scenario()).unwrap();
        let recording = Recording::of(Checker::<Node<Addr>>::default(), &scenario());
        let Ending::Converged { trace, .. } = &recording.outcome else { panic!("{:?}", recording.outcome) };
        assert_eq!(*trace, format!("{:016x}", report.trace), "taking notes changes nothing");
        let count = |is: fn(&Kind) -> bool| recording.happenings.iter().filter(|line| is(&line.kind)).count() as u64;
        let counters = report.counters;
        assert_eq!(count(|kind| matches!(kind, Kind::Sent { .. })), counters.datagrams);
        assert_eq!(count(|kind| matches!(kind, Kind::Sent { lost: true, .. })), counters.lost + counters.blocked);
        assert_eq!(count(|kind| matches!(kind, Kind::Received { .. })), counters.delivered);
        assert_eq!(count(|kind| matches!(kind, Kind::Starts { .. })), 3 + counters.restarts_without_memory);
        assert_eq!(count(|kind| matches!(kind, Kind::Crashes { .. })), counters.crashes);
        assert_eq!(count(|kind| matches!(kind, Kind::Stops { .. } | Kind::Resumes { .. })), 2 * counters.pauses);
        assert!(counters.lost > 0 && counters.blocked > 0 && recording.happenings.is_sorted_by_key(|line| line.at));
    }

    #[test]
    fn what_nodes_hold_can_be_put_together_from_its_changes() {
        let recording = Recording::of(Checker::<Node<Addr>>::default(), &scenario());
        let mut views: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for Change { node, fresh, set, gone, .. } in recording.changes {
            let view = views.entry(node).or_default();
            if fresh {
                view.clear();
            }
            view.extend(set);
            view.retain(|key, _| !gone.contains(key));
        }
        let entry = views[&0].iter().find(|(key, _)| key.contains("entry \"a\"")).expect("it was put");
        assert!(entry.1.contains("\"b\""), "{entry:?}");
        assert!(views.values().all(|view| *view == views[&0]), "all hold the same in the end: {views:?}");
    }

    #[test]
    fn a_failure_is_recorded_with_both_views() {
        let plan = FaultPlan::new().loss(1.0, Window::since(Duration::ZERO));
        let scenario = Scenario::new(2).write(Duration::from_secs(2), 0, Command::put("a", "b")).plan(plan);
        let recording = Recording::of(Checker::<Node<Addr>>::default(), &scenario);
        let Ending::Violated { views, difference, at, .. } = recording.outcome else { panic!("nobody hears anything") };
        assert!(views.is_some() && difference.iter().any(|line| line.contains("entry \"a\"")), "{difference:?}");
        assert!(at > 2_000_000 && !recording.changes.is_empty());
    }
}
