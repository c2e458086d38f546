//! `load`: many puts, and what happens to the cluster meanwhile.

use std::time::Duration;

use gossip_testkit::lab::real::Load;
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Real, millis, percent, share, time};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  puts                       how many counted\n",
    "  t50_ms, t99_ms, t100_ms    when so many per cent knew, medians; null if never\n",
    "  worst_ms                   when all knew of the slowest put; null if never\n",
    "  equal_ms                   after the last put, until all held the same\n",
    "  bytes_per_node             sent for one put\n",
    "  datagrams_per_node         likewise\n",
    "  copies_per_node            how often the value was received\n",
    "  bodies_across              values sent between sites for one put\n",
    "  datagrams_across           likewise",
);

/// Real nodes: many puts, and when they have reached all
///
/// Random nodes put values of 64 bytes at a steady rate, after five puts that do not count. Costs are per node and put,
/// beyond those of the same cluster at rest. More than 300 nodes do not join one by one: they start with what the first
/// knows of all, as after a restart.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// Puts in a second
    #[arg(long, value_name = "W", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Duration, in simulated seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Share of all datagrams that arrives twice: 0.05, or 5%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    duplicate: f64,
    /// Share of the nodes that crash at the moment of the first put that counts
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    kill: f64,
    /// Number of sites over which the nodes are spread
    #[arg(long, value_name = "K", default_value_t = 1)]
    sites: u32,
    /// Further latency between two sites
    #[arg(long, value_name = "TIME", default_value = "30ms", value_parser = time)]
    between: Duration,
    /// Number of clusters in which it is done
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    puts: usize,
    t50_ms: Option<f64>,
    t99_ms: Option<f64>,
    t100_ms: Option<f64>,
    worst_ms: Option<f64>,
    equal_ms: Option<f64>,
    bytes_per_node: f64,
    datagrams_per_node: f64,
    copies_per_node: f64,
    bodies_across: f64,
    datagrams_across: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes, setup }, Loss { loss }) = (self.cluster, self.loss);
        let Real { name, config, latency, .. } = setup.load()?;
        let Self { rate, seconds, duplicate, kill, sites, between, runs, .. } = self;
        let time = Duration::from_secs(seconds);
        let load = Load { nodes, config, latency, loss, duplicate, kill, sites, between, rate, time, runs };
        load.check()?;
        let progress = Progress::new(load.pulses());
        let loaded = load.run(seed, &|| progress.step())?;
        drop(progress);
        let [t50_ms, t99_ms, t100_ms] = [0.5, 0.99, 1.0].map(|share| millis(loaded.share(share)));
        let row = Row {
            puts: loaded.puts(),
            t50_ms,
            t99_ms,
            t100_ms,
            worst_ms: millis(loaded.worst()),
            equal_ms: millis(loaded.equal_after),
            bytes_per_node: loaded.bytes_per_node,
            datagrams_per_node: loaded.datagrams_per_node,
            copies_per_node: loaded.copies_per_node,
            bodies_across: loaded.bodies_across,
            datagrams_across: loaded.datagrams_across,
        };
        output.object(&row)?;
        let shown = |time: Option<f64>| time.map_or("never".to_owned(), figure);
        output.table(
            &format!(
                "{} puts, {rate} a second, among {nodes} nodes, {name}, {} loss, {} twice, {} killed",
                row.puts,
                percent(loss),
                percent(duplicate),
                percent(kill),
            ),
            ["50 % (ms)", "99 % (ms)", "100 % (ms)", "slowest", "all equal", "bytes", "datagrams", "copies"],
            &[[
                shown(t50_ms),
                shown(t99_ms),
                shown(t100_ms),
                shown(row.worst_ms),
                shown(row.equal_ms),
                figure(row.bytes_per_node),
                figure(row.datagrams_per_node),
                figure(row.copies_per_node),
            ]],
        )?;
        if sites > 1 {
            let (bodies, datagrams) = (figure(row.bodies_across), figure(row.datagrams_across));
            output
                .note(&format!("  between the {sites} sites, for one put: {bodies} values, {datagrams} datagrams"))?;
        }
        Ok(())
    }
}
