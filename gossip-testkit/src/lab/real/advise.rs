//! A question about a configuration: does a put reach this share of the nodes in this time? And what would be cheaper?
//!
//! Every trial is a cluster with a seed of its own in which random nodes put something, four times a second. The verdict
//! is that of Wilson's interval for the share of (put, node) pairs that were reached in time, in which puts that miss
//! several nodes count for less. A configuration is looked at up to three times, with more pairs each time, until the
//! interval is on one side of the share. Each look could err, so each has a third of the errors that are allowed
//! (Bonferroni): of twenty verdicts one is wrong, at most, however many looks they took.
//!
//! The variations in fanout and interval, which send news to random peers, are looked at once, to order them by cost. Those cheaper than the configuration
//! asked about are then looked at again, from the cheapest on, until one is certain to do.

use std::time::Duration;

use gossip_core::{Config, Relay};

use super::agenda::pass;
use super::median::median;
use super::spread::{Sightings, Spread, at_rest};
use super::{Progress, Unfinished, Unsettled, possible};
use crate::lab::trials::over;
use crate::lab::{Estimate, Impossible, Proportion, trials};
use crate::scenario::Dice;
use crate::sim::Latency;

const FANOUTS: [u32; 4] = [1, 2, 3, 4];
/// Intervals, in halves of the configuration's own.
const HALVES: [u32; 3] = [1, 2, 4];
/// Time between two puts: four times as long as most take to reach all.
const GAP: Duration = Duration::from_millis(250);
/// Pairs of a put and a node in the first trial of a configuration, about, and in each later one.
const PAIRS: (u32, u32) = (2_000, 10_000);
/// Bounds on the puts of one trial: fewer are not worth starting a cluster for.
const PUTS: (u32, u32) = (10, 200);
/// Trials of a later look are a multiple of this, so that two processors share them.
const ABREAST: u32 = 2;
/// Normal quantile of the interval at each of three looks, which errs once in sixty times: 1 − 0.05 / 3 on both sides.
const SURE: f64 = 2.394;
/// Pairs at the second and at the third look, in those that would decide if all were reached. After the third a
/// configuration is given up as undecided.
const LOOKS: [f64; 2] = [1.5, 3.0];
/// Number of variations that are tried until they are certain, beginning with the cheapest.
const PURSUED: usize = 3;

/// The question.
#[derive(Debug, Clone)]
pub struct Advise {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// The configuration asked about.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Share of the nodes to be reached, from 0.5 to 0.99999.
    pub reach: f64,
    /// Time in which they are to be reached.
    pub within: Duration,
}

/// The answer to whether a configuration reaches that share in that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does: the interval is above the share.
    Yes,
    /// It does not: the interval is below the share.
    No,
    /// The interval contains the share.
    Unsure,
}

/// One configuration and what it does.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// Fanout of rumor mongering.
    pub fanout: u32,
    /// Interval of rumor mongering.
    pub interval: Duration,
    /// True for the configuration asked about.
    pub own: bool,
    /// The answer.
    pub verdict: Verdict,
    /// Share of pairs of a put and a node that were reached in time.
    pub reached: Proportion,
    /// Number of puts that this was seen in.
    pub puts: usize,
    /// Times at which 50, 99 and 100 % of the nodes were reached, the medians over the puts; none if most were later than asked.
    pub times: [Option<Duration>; 3],
    /// Bytes sent per node and second at four puts a second, all included.
    pub bytes_per_node_second: Estimate,
}

/// All configurations that were tried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The cheapest first.
    pub rows: Vec<Advice>,
}

impl Answer {
    /// The configuration asked about.
    pub fn own(&self) -> &Advice {
        self.rows.iter().find(|row| row.own).expect("the configuration asked about is always tried")
    }

    /// The cheapest configuration that certainly does, if there is one. The one asked about unless another is cheaper by
    /// more than both costs are uncertain.
    pub fn best(&self) -> Option<&Advice> {
        let best = self.rows.iter().find(|row| row.verdict == Verdict::Yes)?;
        let own = self.own();
        let noise = 3.0 * (best.bytes_per_node_second.error() + own.bytes_per_node_second.error());
        let cheaper = best.bytes_per_node_second.mean + noise < own.bytes_per_node_second.mean;
        Some(if own.verdict == Verdict::Yes && !cheaper { own } else { best })
    }
}

/// One trial: per put how many nodes were missed and when the others were reached, and the traffic.
struct Trial {
    missed: Vec<u32>,
    times: Vec<Vec<Duration>>,
    bytes_per_node_second: f64,
}

/// A configuration on trial.
struct Candidate {
    fanout: u32,
    interval: Duration,
    own: bool,
    trials: Vec<Trial>,
}

impl Advise {
    /// Number of pulses, about: a progress for each trial, of which some questions take fewer and some twice as many.
    pub fn pulses(&self) -> u64 {
        self.candidates().len() as u64 + 3 * u64::from(self.trials_until(LOOKS[0]))
    }

    /// Checks that the question can be asked.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)?;
        Impossible::unless((0.5..=0.99999).contains(&self.reach), "reach", "must be from 0.5 to 0.99999")
    }

    /// Finds the answer.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first put.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Answer, Unfinished> {
        self.check()?;
        // The same seeds for every configuration: what differs is the configuration.
        let seeds = trials(self.trials_until(LOOKS[1]), seed, &|| (), |seed| seed);
        let mut candidates = self.candidates();
        let first = over(&candidates, progress, |candidate| self.trial(candidate, seeds[0], PAIRS.0));
        for (candidate, trial) in candidates.iter_mut().zip(first) {
            candidate.trials.push(trial?);
        }
        candidates.sort_by(|a, b| a.bytes().mean.total_cmp(&b.bytes().mean));
        let own = candidates.iter().position(|candidate| candidate.own).unwrap_or(0);
        let decided = self.pursue(&mut candidates[own], &seeds, progress)?;
        let dearest = if decided == Verdict::Yes { candidates[own].bytes().mean } else { f64::INFINITY };
        let others = candidates.iter_mut().filter(|candidate| !candidate.own && candidate.bytes().mean < dearest);
        for candidate in others.take(PURSUED) {
            if self.pursue(candidate, &seeds, progress)? == Verdict::Yes {
                break;
            }
        }
        let mut rows: Vec<_> = candidates.iter().map(|candidate| self.advice(candidate)).collect();
        rows.sort_by(|a, b| a.bytes_per_node_second.mean.total_cmp(&b.bytes_per_node_second.mean));
        Ok(Answer { rows })
    }

    /// The configuration asked about, and its variations.
    fn candidates(&self) -> Vec<Candidate> {
        let rumor = &self.config.rumor;
        let candidate = |fanout, interval, own| Candidate { fanout, interval, own, trials: Vec::new() };
        let mut candidates = vec![candidate(rumor.fanout, rumor.interval, true)];
        for fanout in FANOUTS.into_iter().filter(|&fanout| fanout < self.nodes) {
            let intervals = HALVES.map(|halves| rumor.interval * halves / 2);
            let others = intervals.into_iter().filter(|&interval| (fanout, interval) != (rumor.fanout, rumor.interval));
            candidates.extend(others.map(|interval| candidate(fanout, interval, false)));
        }
        candidates
    }

    fn puts(&self, pairs: u32) -> u32 {
        pairs.div_ceil(self.nodes).clamp(PUTS.0, PUTS.1)
    }

    /// Number of trials up to a later look, the first trial included.
    fn trials_until(&self, look: f64) -> u32 {
        let pairs = look * SURE * SURE * self.reach / (1.0 - self.reach);
        let trials = pairs / f64::from(self.puts(PAIRS.1)) / f64::from(self.nodes);
        1 + (trials.ceil() as u32).next_multiple_of(ABREAST)
    }

    /// Looks at a configuration that was looked at once until it is decided.
    fn pursue(&self, candidate: &mut Candidate, seeds: &[u64], progress: Progress<'_>) -> Result<Verdict, Unsettled> {
        for look in LOOKS {
            if self.verdict(candidate.reached()) != Verdict::Unsure {
                break;
            }
            let next = &seeds[candidate.trials.len()..self.trials_until(look) as usize];
            let trials = over(next, progress, |&seed| self.trial(candidate, seed, PAIRS.1));
            candidate.trials.extend(trials.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
        Ok(self.verdict(candidate.reached()))
    }

    fn verdict(&self, reached: Proportion) -> Verdict {
        if reached.low >= self.reach {
            Verdict::Yes
        } else if reached.high < self.reach {
            Verdict::No
        } else {
            Verdict::Unsure
        }
    }

    fn advice(&self, candidate: &Candidate) -> Advice {
        let reached = candidate.reached();
        let puts: Vec<_> = candidate.trials.iter().flat_map(|trial| trial.times.iter().cloned()).collect();
        let time = |share: f64| median(&puts, ((f64::from(self.nodes) * share).ceil() as usize).max(1));
        Advice {
            fanout: candidate.fanout,
            interval: candidate.interval,
            own: candidate.own,
            verdict: self.verdict(reached),
            reached,
            puts: puts.len(),
            times: [0.5, 0.99, 1.0].map(time),
            bytes_per_node_second: candidate.bytes(),
        }
    }

    fn trial(&self, candidate: &Candidate, seed: u64, pairs: u32) -> Result<Trial, Unsettled> {
        let mut config = self.config.clone();
        (config.rumor.fanout, config.rumor.interval) = (candidate.fanout, candidate.interval);
        if !candidate.own {
            // Rounds are what happens where news goes to random peers.
            config.rumor.relay = Relay::Random;
        }
        config.rumor.relay_delay = config.rumor.relay_delay.min(candidate.interval);
        let spread = Spread { nodes: self.nodes, config, latency: self.latency, loss: self.loss };
        let mut cluster = at_rest(&spread, seed, &|| ())?;
        let sightings = Sightings::watch(&mut cluster);
        let mut dice = Dice::new(seed);
        let (before, puts) = (*cluster.counters(), self.puts(pairs));
        for number in 0..puts {
            sightings.put(&mut cluster, number, self.nodes, &mut dice);
            cluster.run_for(GAP);
        }
        let bytes = cluster.counters().bytes - before.bytes;
        pass(&mut cluster, self.within.saturating_sub(GAP), &|| ());
        let in_time = |number| {
            let mut times = sightings.times(number);
            times.retain(|&time| time <= self.within);
            times
        };
        let times: Vec<_> = (0..puts).map(in_time).collect();
        Ok(Trial {
            missed: times.iter().map(|times| self.nodes - times.len() as u32).collect(),
            times,
            bytes_per_node_second: bytes as f64 / f64::from(self.nodes) / (f64::from(puts) * GAP.as_secs_f64()),
        })
    }
}

impl Candidate {
    fn bytes(&self) -> Estimate {
        Estimate::of(self.trials.iter().map(|trial| trial.bytes_per_node_second))
    }

    /// The author of a put knows it at once and is no trial.
    fn reached(&self) -> Proportion {
        let puts = self.trials.iter().flat_map(|trial| trial.missed.iter().zip(&trial.times));
        let puts: Vec<_> = puts.map(|(&missed, times)| (missed, missed + times.len() as u32 - 1)).collect();
        Proportion::clustered(&puts, SURE)
    }
}
