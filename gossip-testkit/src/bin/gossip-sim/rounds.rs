//! `rounds`: everybody stays infective, and how long it takes until all know.

use gossip_core::Exchange;
use gossip_testkit::lab::{Estimate, Impossible, SimpleEpidemic, trials};
use serde::Serialize;

use crate::arguments::{self, Nodes, Trials};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  mean_rounds  rounds until all know, the mean\n",
    "  sd           the standard deviation of one trial",
);

/// Rounds until all know, where everybody stays infective
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Rounds {
    #[command(flatten)]
    nodes: Nodes,
    /// Direction of an exchange
    #[arg(long, value_parser = arguments::exchange())]
    exchange: Exchange,
    /// Number of others that a site calls in a round
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=32))]
    fanout: u32,
    #[command(flatten)]
    trials: Trials,
}

#[derive(Debug, Serialize)]
struct Row {
    mean_rounds: f64,
    sd: f64,
}

impl Rounds {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Self { nodes: Nodes { nodes }, exchange, fanout, trials: Trials { trials: count } } = self;
        let epidemic = SimpleEpidemic { nodes, exchange, fanout, connection_limit: None };
        epidemic.check()?;
        let progress = Progress::new(count.into());
        let runs = trials(count, seed, &|| progress.step(), |seed| epidemic.run(seed));
        drop(progress);
        let runs: Vec<_> = runs.into_iter().collect::<Result<_, Impossible>>()?;
        let rounds = Estimate::of(runs.iter().map(|run| run.t_last.into()));
        output.object(&Row { mean_rounds: rounds.mean, sd: rounds.sd })?;
        let title = format!("Rounds until all of {nodes} know, {count} trials");
        output.table(&title, ["mean", "sd"], &[[format!("{:.2}", rounds.mean), figure(rounds.sd)]])
    }
}
