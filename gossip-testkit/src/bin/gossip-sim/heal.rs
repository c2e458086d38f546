//! `heal`: a cluster that was cut in two halves, many times over.

use std::time::Duration;

use gossip_testkit::lab::real::{Heal, Restarted};
use gossip_testkit::lab::trials;
use serde::Serialize;

use crate::arguments::{Cluster, Real};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  runs      clusters that were cut and healed\n",
    "  in_time   of these, healed within bound_s\n",
    "  bound_s   8·log2 n + 90 periods\n",
    "  median_s  time until all saw all; null if that took more than twice bound_s\n",
    "  worst_s   likewise, of the slowest",
);

/// Two halves that were apart: time until all see all
///
/// The halves are cut apart for two minutes and longer, until each has given the other up. Meanwhile members are
/// restarted with their memory, one after another, as a deployment does. Everybody joined through one more node, the
/// seed. It is an error if a cluster is not whole in time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Keep the seed alive; if not, it crashes before the cut
    #[arg(long, value_name = "yes/no", default_value = "yes", value_parser = ["yes", "no"])]
    seeds_alive: String,
    /// Halves whose members are restarted while they are apart
    #[arg(long, value_name = "HALVES", default_value = "neither", value_parser = ["neither", "one", "both"])]
    restart: String,
    /// Number of clusters, each with a seed of its own
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    runs: u32,
    in_time: usize,
    bound_s: f64,
    median_s: Option<f64>,
    worst_s: Option<f64>,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let restarted = match self.restart.as_str() {
            "one" => Restarted::One,
            "both" => Restarted::Both,
            _ => Restarted::Neither,
        };
        let Cluster { nodes, setup } = self.cluster;
        let Real { config, latency, .. } = setup.load()?;
        let heal = Heal { nodes, config, latency, seed_alive: self.seeds_alive == "yes", restarted };
        heal.check()?;
        let progress = Progress::new(u64::from(self.runs));
        let times = trials(self.runs, seed, &|| progress.step(), |seed| heal.run(seed));
        drop(progress);
        let mut times: Vec<Duration> = times
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .map(|time| time.unwrap_or(Duration::MAX))
            .collect();
        times.sort_unstable();
        let bound = heal.bound();
        let in_time = times.partition_point(|time| *time <= bound);
        let seconds = |time: Duration| (time < Duration::MAX).then_some(time.as_secs_f64());
        let row = Row {
            runs: self.runs,
            in_time,
            bound_s: bound.as_secs_f64(),
            median_s: seconds(times[times.len() / 2]),
            worst_s: seconds(times[times.len() - 1]),
        };
        output.object(&row)?;
        let time = |time: Option<f64>| time.map_or("never".to_owned(), figure);
        output.table(
            &format!(
                "halves of {nodes} nodes, {} runs, seed alive: {}, restarted: {}",
                self.runs, self.seeds_alive, self.restart
            ),
            ["in time", "bound (s)", "median (s)", "worst (s)"],
            &[[in_time.to_string(), figure(row.bound_s), time(row.median_s), time(row.worst_s)]],
        )?;
        if in_time < times.len() {
            let late = times.len() - in_time;
            return Err(Failure::Shown(format!("{late} of {} clusters are not whole within {bound:?}", self.runs)));
        }
        Ok(())
    }
}
