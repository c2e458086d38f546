//! `advise`: the cheapest configuration that is fast enough.

use std::time::Duration;

use gossip_testkit::lab::real::{Advice, Sweep};
use serde::Serialize;

use crate::arguments::{Cluster, millis, percent, share};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// What the fields mean that programs get.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  fanout, interval_ms  what to take\n",
    "  t9999_ms             when 99.99 % were reached\n",
    "  bytes_per_node_s     sent per second",
);

/// The cheapest fanout and interval that reach 99.99 % in time
///
/// Tries fanouts from 1 to 6 and intervals from 25 to 400 ms on real nodes, one of which puts something every second: 500
/// times, or fewer where that makes 50,000 pairs of a put and a node. 99.99 % of all pairs must be reached in the time
/// given; bytes are per node and second, all included.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    nodes: Cluster,
    /// Which share of all datagrams is lost: 0.3, or 30%
    #[arg(long, value_name = "P", value_parser = share)]
    loss: f64,
    /// How long the last may take
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    within_ms: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    fanout: u32,
    interval_ms: f64,
    t9999_ms: f64,
    bytes_per_node_s: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes }, within) = (self.nodes, Duration::from_millis(self.within_ms));
        let progress = Progress::new(Sweep::PULSES);
        let advice = Sweep { nodes, loss: self.loss, within }.run(seed, &|| progress.step())?;
        drop(progress);
        let cells = |advice: &Advice| {
            [
                advice.fanout.to_string(),
                figure(advice.interval.as_secs_f64() * 1e3),
                millis(advice.t9999).map_or("too late".to_owned(), figure),
                figure(advice.bytes_per_node_second),
            ]
        };
        let title = format!(
            "{nodes} nodes, {} loss, 99.99 % within {} ms: the cheapest first",
            percent(self.loss),
            self.within_ms
        );
        let header = ["fanout", "interval (ms)", "99.99 % (ms)", "bytes/s per node"];
        output.table(&title, header, &advice.iter().map(cells).collect::<Vec<_>>())?;
        let Some((advice, t9999)) = advice.iter().find_map(|advice| Some((advice, advice.t9999?))) else {
            let none = format!("error: nothing reaches 99.99 % within {} ms", self.within_ms);
            return Err(Failure::Shown(none));
        };
        output.object(&Row {
            fanout: advice.fanout,
            interval_ms: advice.interval.as_secs_f64() * 1e3,
            t9999_ms: t9999.as_secs_f64() * 1e3,
            bytes_per_node_s: advice.bytes_per_node_second,
        })?;
        output.note(&format!("Take fanout {} and an interval of {:?}.", advice.fanout, advice.interval))
    }
}
