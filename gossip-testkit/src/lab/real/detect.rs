//! Crashes and when they are seen, and false alarms among members that are held up now and then.
//!
//! The held-up are those of the Lifeguard paper (Dadgar et al. 2018, section V-A): a member that is short of processor time
//! or behind a stalled link blocks before it sends and after it receives, while its timers go on. It probes, hears no
//! answer in time and accuses members that are well, and when it goes on it says so to all. A process that stands still as
//! a whole ([`Cluster::pause`]) does none of that: its timers stand still too, and before it looks at them it reads the
//! answers that have come meanwhile. On a network with a round trip of 2 ms it is hardly ever caught between a probe
//! and its ack, and 19 of 64 of them accused nobody in ten minutes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Event, Instant, Status};

use super::agenda::Agenda;
use super::median::median;
use super::{Observed, Progress, Setting, Unfinished, possible, until_rest};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::lab::Impossible;
use crate::scenario::Dice;
use crate::sim::{Latency, Verdict};

/// Milliseconds for which members are held up, and are well between.
const PAUSE: (u64, u64) = (5_000, 20_000);
const RUN: (u64, u64) = (10_000, 60_000);

/// The experiment: members crash one after another while others, perhaps, are held up now and then.
#[derive(Debug, Clone)]
pub struct Detect {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Number of those that crash: at most half.
    pub kill: u32,
    /// Share of members whose datagrams, in and out, are held up now and then, for 5 to 20 s. At least one member neither
    /// crashes nor is held up, and sees it.
    pub pause: f64,
    /// Duration of the experiment. Crashes come evenly, the last a quarter of this before its end.
    pub time: Duration,
}

/// Result of the experiment. Members that were held up count neither as witnesses nor as wrongly accused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// Per crash, how long after it each witness saw it, in order.
    pub seen: Vec<Vec<Duration>>,
    /// Number of witnesses of each.
    pub witnesses: usize,
    /// Events at any member that say that a member is suspected which was well all the time.
    pub false_suspicions: u64,
    /// Events at any member that say that such a member is dead.
    pub false_deaths: u64,
    /// Those of them at members that were well themselves: the paper's FP−.
    pub false_deaths_at_well: u64,
}

impl Detection {
    /// Time until a crash was first seen, the median of all; none if most never were.
    pub fn first(&self) -> Option<Duration> {
        median(&self.seen, 1)
    }

    /// Time until all had seen it, likewise.
    pub fn all(&self) -> Option<Duration> {
        median(&self.seen, self.witnesses)
    }
}

/// Alarms that the listener has written down.
#[derive(Debug, Default)]
struct Alarms {
    crashed: BTreeMap<Addr, Instant>,
    seen: BTreeMap<(Addr, Addr), Duration>,
    suspicions: u64,
    deaths: u64,
    deaths_at_well: u64,
}

/// Until when each member is held up.
type HeldUp = Rc<RefCell<BTreeMap<Addr, Duration>>>;

/// The parts that members play: to be well, to crash, to be held up.
struct Cast {
    crash: Vec<Addr>,
    pause: Vec<Addr>,
    steady: Vec<Addr>,
}

impl Detect {
    /// Number of pulses, about.
    pub fn pulses(&self) -> u64 {
        150 + self.time.as_secs() * 10
    }

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)?;
        let Self { nodes, kill, pause, .. } = *self;
        let most = nodes / 2;
        Impossible::unless(kill <= most, "kill", format!("must be from 0 to {most}: half of the nodes"))?;
        let others = nodes - kill - 1;
        // Rounded down, so that what is said to be possible is.
        let most = f64::from((u64::from(others) * 1_000 / u64::from(nodes)) as u32) / 1e3;
        let bound = format!("must be from 0 to {most}: of {nodes} nodes {kill} crash, and somebody is left to see it");
        Impossible::unless(pause >= 0.0 && self.paused() <= others, "pause", bound)
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first crash.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Detection, Unfinished> {
        self.check()?;
        let setting = Setting::new(self.config.clone());
        let mut cluster: Cluster<Observed> =
            Cluster::builder(self.nodes, setting).seed(seed).latency(self.latency).build();
        until_rest(&mut cluster, progress)?;
        cluster.lose(self.loss);
        let mut dice = Dice::new(seed);
        let Cast { crash, pause, steady } = self.cast(&mut dice);
        let alarms = listen(&mut cluster, &pause);
        let mut agenda = Agenda::default();
        for (number, &node) in (1..).zip(&crash) {
            let alarms = alarms.clone();
            agenda.at(self.time * 3 / 4 * number / self.kill, move |cluster| {
                alarms.borrow_mut().crashed.insert(node, cluster.now());
                cluster.crash(node.0);
            });
        }
        let held_up = hold_up(&mut cluster);
        for node in pause {
            let millis = |dice: &mut Dice, (low, high)| Duration::from_millis(dice.within(low..=high));
            let mut at = millis(&mut dice, (0, RUN.1));
            while at < self.time {
                let (held_up, time) = (held_up.clone(), millis(&mut dice, PAUSE));
                agenda.at(at, move |cluster| {
                    let until = cluster.now().since(Instant::ORIGIN) + time;
                    held_up.borrow_mut().insert(node, until);
                });
                at += time + millis(&mut dice, RUN);
            }
        }
        agenda.run(&mut cluster, self.time, progress);

        let alarms = alarms.borrow();
        let seen = crash.iter().map(|&node| {
            let by = |&witness: &Addr| alarms.seen.get(&(node, witness)).copied();
            let mut times: Vec<_> = steady.iter().filter_map(by).collect();
            times.sort_unstable();
            times
        });
        Ok(Detection {
            seen: seen.collect(),
            witnesses: steady.len(),
            false_suspicions: alarms.suspicions,
            false_deaths: alarms.deaths,
            false_deaths_at_well: alarms.deaths_at_well,
        })
    }

    /// Number of members that are held up now and then. 55 % of 100 are 55, however 0.55 is rounded.
    fn paused(&self) -> u32 {
        (f64::from(self.nodes) * self.pause - 1e-6).ceil() as u32
    }

    fn cast(&self, dice: &mut Dice) -> Cast {
        let mut steady: Vec<_> = (0..self.nodes).map(Addr).collect();
        let mut draw = |count: u32| -> Vec<Addr> {
            (0..count).map(|_| steady.swap_remove(dice.within(0..=steady.len() as u64 - 1) as usize)).collect()
        };
        Cast { crash: draw(self.kill), pause: draw(self.paused()), steady }
    }
}

/// Delays every datagram from and to a member that is held up until it goes on.
fn hold_up(cluster: &mut Cluster<Observed>) -> HeldUp {
    let held_up = HeldUp::default();
    let until = held_up.clone();
    cluster.rule(move |datagram| {
        let until = until.borrow();
        let of = |node: &Addr| until.get(node).copied().unwrap_or_default();
        let until = of(&datagram.from).max(of(&datagram.to));
        if until > datagram.at { Verdict::Delay(until - datagram.at) } else { Verdict::Pass }
    });
    held_up
}

fn listen(cluster: &mut Cluster<Observed>, pause: &[Addr]) -> Rc<RefCell<Alarms>> {
    let alarms = Rc::new(RefCell::new(Alarms::default()));
    let heard = alarms.clone();
    let excused: BTreeSet<_> = pause.iter().copied().collect();
    cluster.on_event(move |at, witness, event| {
        let Event::Member { member, .. } = event else { return };
        if !matches!(member.status, Status::Suspect | Status::Dead) || excused.contains(&member.address) {
            return;
        }
        let alarms = &mut *heard.borrow_mut();
        match (alarms.crashed.get(&member.address), member.status) {
            (Some(&crashed), Status::Dead) => {
                alarms.seen.entry((member.address, witness)).or_insert(at.since(crashed));
            }
            (None, Status::Dead) => {
                alarms.deaths += 1;
                alarms.deaths_at_well += u64::from(!excused.contains(&witness));
            }
            (None, _) => alarms.suspicions += 1,
            (Some(_), _) => {}
        }
    });
    alarms
}
