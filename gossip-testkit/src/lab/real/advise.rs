//! Which fanout and interval reach nearly everybody in time, and what each costs.

use std::time::Duration;

use super::spread::{Sightings, Spread, at_rest};
use super::{Preset, Pulse, Restless, Unfinished, possible};
use crate::lab::Impossible;
use crate::lab::trials::over;
use crate::scenario::Dice;

const FANOUTS: [u32; 5] = [1, 2, 3, 4, 6];
const INTERVALS: [u64; 5] = [25, 50, 100, 200, 400];
/// How many pairs of a put and a node a configuration is judged by: five of them may be late. One put a second, and
/// among few nodes no more than so many.
const PAIRS: u32 = 50_000;
const MOST_PUTS: u32 = 500;
const SECOND: Duration = Duration::from_secs(1);

/// The experiment: the LAN preset in all its variations.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// How many nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// How likely a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// How long is waited for the last put to arrive.
    pub within: Duration,
}

/// What one configuration does.
#[derive(Debug, Copy, Clone, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// Of rumor mongering.
    pub fanout: u32,
    /// Likewise.
    pub interval: Duration,
    /// When 99.99 % of all (put, node) pairs were reached; none if they were not in time.
    pub t9999: Option<Duration>,
    /// Bytes sent per node and second at one put a second, all included.
    pub bytes_per_node_second: f64,
}

impl Sweep {
    /// How often the pulse is felt.
    pub const PULSES: u64 = (FANOUTS.len() * INTERVALS.len()) as u64;

    /// Whether this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &Preset::Lan.config(), self.loss)
    }

    /// Tries them all, the cheapest first.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first put.
    pub fn run(&self, seed: u64, pulse: Pulse<'_>) -> Result<Vec<Advice>, Unfinished> {
        self.check()?;
        let cells: Vec<_> = FANOUTS.into_iter().flat_map(|fanout| INTERVALS.map(|ms| (fanout, ms))).collect();
        let results = over(&cells, pulse, |&(fanout, ms)| self.cell(seed, fanout, Duration::from_millis(ms)));
        let mut advice = results.into_iter().collect::<Result<Vec<_>, _>>()?;
        advice.sort_by(|a, b| a.bytes_per_node_second.total_cmp(&b.bytes_per_node_second));
        Ok(advice)
    }

    fn cell(&self, seed: u64, fanout: u32, interval: Duration) -> Result<Advice, Restless> {
        let mut config = Preset::Lan.config();
        (config.rumor.fanout, config.rumor.interval) = (fanout, interval);
        config.rumor.relay_delay = config.rumor.relay_delay.min(interval);
        let spread = Spread { nodes: self.nodes, config, latency: Preset::Lan.latency(), loss: self.loss };
        let mut cluster = at_rest(&spread, seed, &|| ())?;
        let sightings = Sightings::watch(&mut cluster);
        let mut dice = Dice::new(seed);
        let before = *cluster.counters();
        let puts = PAIRS.div_ceil(self.nodes).min(MOST_PUTS);
        for number in 0..puts {
            sightings.put(&mut cluster, number, self.nodes, &mut dice);
            cluster.run_for(SECOND);
        }
        let bytes = cluster.counters().bytes - before.bytes;
        cluster.run_for(self.within.saturating_sub(SECOND));
        let mut times: Vec<_> = (0..puts).flat_map(|number| sightings.times(number)).collect();
        times.sort_unstable();
        let needed = (f64::from(puts) * f64::from(self.nodes) * 0.9999).ceil() as usize;
        let t9999 = times.get(needed - 1).copied().filter(|&time| time <= self.within);
        let bytes_per_node_second = bytes as f64 / f64::from(self.nodes) / f64::from(puts);
        Ok(Advice { fanout, interval, t9999, bytes_per_node_second })
    }
}
