//! A cluster to play with: commands and faults at any time, and a picture of it between any two moments.
//!
//! The page of the laboratory is this and nothing else: what it shows and does, a test on the host shows and does too.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Event, Instant, Status};
use serde::Serialize;

use super::introduce::introduce;
use super::{Observed, Setting, Unfinished, possible};
use crate::address::Addr;
use crate::cluster::{Cluster, Handle};
use crate::command::Command;
use crate::lab::Impossible;
use crate::machine::Machine;
use crate::plan::{Chance, Fault, Links, Nodes, Restart, Window};
use crate::scenario::Scenario;
use crate::sim::Latency;

/// Largest cluster that joins one by one; of more nodes, that takes longer than anybody wants to watch.
const MOST_JOINING: u32 = 300;
/// Bounds on what is kept between two frames: more links than these nobody can tell apart.
const MOST_LINKS: usize = 1_000;
const MOST_LINES: usize = 200;
/// Number of subjects that are followed: later ones displace the first.
const MOST_SUBJECTS: usize = 8;

/// The beginning of a cluster.
#[derive(Debug, Clone)]
pub struct Start {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Seed of all randomness.
    pub seed: u64,
}

/// A cluster, and the notes taken of it.
pub struct Live {
    cluster: Cluster<Observed>,
    notes: Rc<RefCell<Notes>>,
    story: Scenario<Command>,
    /// Faults that last: the cluster's handle, and the place in the story.
    loss: Option<(Handle, usize)>,
    cuts: Vec<usize>,
    down: BTreeMap<u32, usize>,
    paused: BTreeMap<u32, usize>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Notes {
    kinds: BTreeMap<&'static str, [u64; 2]>,
    links: Vec<Link>,
    lines: VecDeque<String>,
    subjects: VecDeque<Subject>,
}

/// A datagram that was sent: from, to, class.
type Link = (u32, u32, &'static str);

/// Something that spreads: a put, a broadcast, or the news of a crash.
struct Subject {
    name: String,
    origin: u32,
    start: Duration,
    /// Time at which each node first knew.
    known: BTreeMap<u32, Duration>,
}

impl Subject {
    fn note(&mut self, node: Addr, at: Duration) {
        self.known.entry(node.0).or_insert(at);
    }
}

/// A picture of a cluster. Times are in microseconds.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// Simulated time since the start.
    pub now: u64,
    /// Per node one letter: `u`p, `p`aused, `d`own, `l`eft, or `n`ot started yet.
    pub nodes: String,
    /// Per node, how many members it sees alive or suspected.
    pub sees: Vec<usize>,
    /// Per node, bytes sent since the start.
    pub sent: Vec<u64>,
    /// The subjects that are followed, the newest last.
    pub subjects: Vec<SubjectFrame>,
    /// Per class of datagrams, how many and how many bytes were sent since the start.
    pub kinds: Vec<(&'static str, u64, u64)>,
    /// Some of the datagrams sent since the last frame: from, to, class.
    pub links: Vec<(u32, u32, &'static str)>,
    /// Changes of membership since the last frame, and other lines to read.
    pub lines: Vec<String>,
    /// Datagrams sent since the start.
    pub datagrams: u64,
    /// Datagrams lost since the start, one by one and in partitions.
    pub lost: [u64; 2],
    /// True if all live nodes hold the same.
    pub agrees: bool,
    /// True while a partition lasts.
    pub cut: bool,
    /// Hash of all that happened, in hexadecimal digits.
    pub trace: String,
}

/// The course of a subject.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct SubjectFrame {
    /// Its name.
    pub name: String,
    /// The node where it began.
    pub origin: u32,
    /// Time at which it began.
    pub start: u64,
    /// Nodes that know.
    pub known: Vec<u32>,
    /// Times since then at which nodes learned of it, in order.
    pub times: Vec<u64>,
}

/// A node in detail.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Detail {
    /// Its number.
    pub node: u32,
    /// Items it holds, by key.
    pub items: BTreeMap<String, String>,
    /// Members it does not see alive.
    pub doubted: BTreeMap<u32, String>,
}

impl Live {
    /// Starts a cluster. More than 300 nodes do not join one by one: they start with what the first knows of all, as after
    /// a restart.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound; a cluster whose nodes do not reach the first.
    pub fn new(start: &Start) -> Result<Self, Unfinished> {
        let Start { nodes, config, latency, loss, seed } = start;
        possible(*nodes, config, *loss)?;
        let setting = Setting::new(config.clone());
        let mut cluster = Cluster::builder(*nodes, setting).seed(*seed).latency(*latency).build();
        if *nodes > MOST_JOINING {
            introduce(&mut cluster, |cluster| cluster.run_for(Duration::from_millis(100)), &|| ())?;
        }
        let notes = Rc::new(RefCell::new(Notes::default()));
        let tapped = notes.clone();
        cluster.tap(move |datagram| {
            let notes = &mut *tapped.borrow_mut();
            let [count, bytes] = notes.kinds.entry(datagram.label).or_default();
            (*count, *bytes) = (*count + 1, *bytes + datagram.payload.len() as u64);
            if notes.links.len() < MOST_LINKS {
                notes.links.push((datagram.from.0, datagram.to.0, datagram.label));
            }
        });
        let heard = notes.clone();
        cluster.on_event(move |at, node, event| heard.borrow_mut().hear(at, node, event));
        let mut story = Scenario::new(*nodes).seed(*seed);
        story.seeds = 1;
        let (cuts, down, paused) = Default::default();
        let mut live = Self { cluster, notes, story, loss: None, cuts, down, paused };
        live.lose(*loss)?;
        Ok(live)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.cluster.run_for(time);
    }

    fn now(&self) -> Duration {
        self.cluster.now().since(Instant::ORIGIN)
    }

    /// Lets the user of a node say something. What is put or broadcast is followed.
    ///
    /// # Errors
    /// A node that is not there or does not run; why it refused the command.
    pub fn command(&mut self, node: u32, command: Command) -> Result<(), String> {
        if self.cluster.nodes().get(node as usize).is_none() || self.cluster.get(node).is_none() {
            return Err(format!("node {node} does not run"));
        }
        let name = match &command {
            Command::Put { name, value, .. } => Some(format!("{name} = {value}")),
            Command::Broadcast(payload) => Some(payload.clone()),
            _ => None,
        };
        if let Some(name) = name {
            self.follow(name, node);
        }
        self.cluster.command(node, &command)?;
        self.story = std::mem::replace(&mut self.story, Scenario::new(0)).write(self.now(), node, command);
        Ok(())
    }

    fn follow(&self, name: String, origin: u32) {
        let now = self.now();
        let subjects = &mut self.notes.borrow_mut().subjects;
        if subjects.len() == MOST_SUBJECTS {
            subjects.pop_front();
        }
        let mut subject = Subject { name, origin, start: now, known: BTreeMap::new() };
        if self.cluster.get(origin).is_some() {
            subject.note(Addr(origin), now);
        }
        subjects.push_back(subject);
    }

    /// Crashes a node, or lets its place be taken by a new process if it has crashed. A node that is not there is left
    /// alone, here and below.
    pub fn crash_or_restart(&mut self, node: u32) {
        let now = self.now();
        if self.cluster.nodes().get(node as usize).is_none() {
            return;
        }
        if let Some(place) = self.down.remove(&node) {
            self.cluster.restart(node, false);
            if let Some(Fault::Crash { restart, .. }) = self.story.plan.faults.get_mut(place) {
                *restart = Some(Restart { at: now, memory: false });
            }
        } else if self.cluster.get(node).is_some() {
            self.cluster.crash(node);
            self.paused.remove(&node);
            let place = self.begin(Fault::Crash { node: Addr(node), at: now, restart: None });
            self.down.insert(node, place);
            self.follow(format!("crash of {node}"), node);
        }
    }

    /// Lets a process stand still, or go on if it stands still.
    pub fn pause_or_resume(&mut self, node: u32) {
        if let Some(place) = self.paused.remove(&node) {
            self.end(place);
            self.cluster.resume(node);
        } else if self.cluster.nodes().get(node as usize).is_some() && self.cluster.get(node).is_some() {
            let during = Window::since(self.now());
            self.cluster.pause(node);
            let place = self.begin(Fault::Pause { node: Addr(node), during });
            self.paused.insert(node, place);
        }
    }

    /// Cuts the network between these nodes and all others.
    pub fn partition(&mut self, side: &[u32]) {
        let (one, other): (Vec<Addr>, Vec<Addr>) = self.cluster.nodes().iter().partition(|node| side.contains(&node.0));
        if one.is_empty() || other.is_empty() {
            return;
        }
        let on = Links { from: Nodes::These(one), to: Nodes::These(other) };
        self.cluster.cut(on.clone(), true);
        let during = Window::since(self.now());
        let place = self.begin(Fault::Cut { on, both_ways: true, during });
        self.cuts.push(place);
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.cluster.heal();
        for place in std::mem::take(&mut self.cuts) {
            self.end(place);
        }
    }

    /// Sets the probability that a datagram is lost.
    ///
    /// # Errors
    /// More than [`MAX_LOSS`](super::MAX_LOSS).
    pub fn lose(&mut self, loss: f64) -> Result<(), Impossible> {
        let most = super::MAX_LOSS;
        Impossible::unless((0.0..=most).contains(&loss), "loss", format!("must be from 0 to {most}"))?;
        if let Some((handle, place)) = self.loss.take() {
            self.cluster.clear(handle);
            self.end(place);
        }
        if loss > 0.0 {
            let handle = self.cluster.lose(loss);
            let during = Window::since(self.now());
            let place = self.begin(Fault::Loss { on: Links::ALL, during, chance: Chance::from(loss) });
            self.loss = Some((handle, place));
        }
        Ok(())
    }

    fn begin(&mut self, fault: Fault) -> usize {
        self.story.plan.faults.push(fault);
        self.story.plan.faults.len() - 1
    }

    fn end(&mut self, place: usize) {
        let now = self.now();
        if let Some(fault) = self.story.plan.faults.get_mut(place)
            && let Some(window) = fault.window()
        {
            *fault = fault.clone().with_window(Window::new(window.from, now));
        }
    }

    /// The story so far as a scenario's text. A scenario throws dice of its own: it tells the same story, datagrams differ.
    pub fn scenario(&self) -> String {
        self.story.to_string()
    }

    /// A hash of all that happened so far.
    pub fn trace(&self) -> u64 {
        self.cluster.trace()
    }

    /// Takes a picture of the cluster.
    pub fn frame(&mut self) -> Frame {
        let micros = |time: Duration| time.as_micros() as u64;
        let notes = &mut *self.notes.borrow_mut();
        let nodes = self.cluster.nodes();
        let letter = |node: &Addr| match self.cluster.get(node.0) {
            Some(machine) if machine.has_left() => 'l',
            Some(_) if self.paused.contains_key(&node.0) => 'p',
            Some(_) => 'u',
            None if self.down.contains_key(&node.0) => 'd',
            None => 'n',
        };
        let subjects = notes.subjects.iter().map(|subject| {
            let mut times: Vec<_> =
                subject.known.values().map(|&at| micros(at.saturating_sub(subject.start))).collect();
            times.sort_unstable();
            let (name, known) = (subject.name.clone(), subject.known.keys().copied().collect());
            SubjectFrame { name, origin: subject.origin, start: micros(subject.start), known, times }
        });
        let counters = self.cluster.counters();
        Frame {
            now: micros(self.cluster.now().since(Instant::ORIGIN)),
            nodes: nodes.iter().map(letter).collect(),
            sees: nodes.iter().map(|node| self.cluster.get(node.0).map_or(0, |m| m.node().live_members())).collect(),
            sent: nodes.iter().map(|node| self.cluster.traffic(node.0).bytes_sent).collect(),
            subjects: subjects.collect(),
            kinds: notes.kinds.iter().map(|(kind, [count, bytes])| (*kind, *count, *bytes)).collect(),
            links: std::mem::take(&mut notes.links),
            lines: notes.lines.drain(..).collect(),
            datagrams: counters.datagrams,
            lost: [counters.lost, counters.blocked],
            agrees: self.cluster.agrees(),
            cut: !self.cuts.is_empty(),
            trace: format!("{:016x}", self.cluster.trace()),
        }
    }

    /// Shows a node in detail; none if it does not run.
    pub fn detail(&self, node: u32) -> Option<Detail> {
        self.cluster.nodes().get(node as usize)?;
        let machine = self.cluster.get(node)?;
        let view = machine.view(machine.clock(self.cluster.reading(node)));
        let doubted = view.members.iter().filter(|(_, status)| **status != Status::Alive);
        Some(Detail {
            node,
            doubted: doubted.map(|(member, status)| (member.0, format!("{status:?}"))).collect(),
            items: view.items.iter().map(|(key, item)| (key.clone(), item.to_string())).collect(),
        })
    }
}

impl Notes {
    fn hear(&mut self, at: Instant, node: Addr, event: &Event<Addr>) {
        let since = at.since(Instant::ORIGIN);
        let subject = match event {
            Event::Entry { name, change: gossip_core::Change::Written { value, .. }, .. } => {
                format!("{name} = {}", String::from_utf8_lossy(value))
            }
            Event::Broadcast { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
            Event::Member { was, member } => {
                if !matches!((was, member.status), (None, _) | (_, Status::Alive)) {
                    self.say(format!("{at} {node} sees {} {:?}", member.address, member.status));
                }
                if member.status != Status::Dead {
                    return;
                }
                format!("crash of {}", member.address)
            }
            _ => return,
        };
        if let Some(subject) = self.subjects.iter_mut().rev().find(|other| other.name == subject) {
            subject.note(node, since);
        }
    }

    fn say(&mut self, line: String) {
        if self.lines.len() == MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}
