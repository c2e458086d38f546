//! `anti-entropy`: one update, and no rumor to carry it.

use gossip_core::Exchange;
use gossip_testkit::lab::{Estimate, Impossible, SimpleEpidemic, trials};
use serde::Serialize;

use crate::arguments::{self, Nodes, Trials};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!("With --json:\n", "  t_last, t_ave  cycles until the last and the mean site knew",);

/// One update spread by anti-entropy alone
///
/// Every site calls one other in every cycle.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct AntiEntropy {
    #[command(flatten)]
    nodes: Nodes,
    /// Direction of an exchange
    #[arg(long, default_value = "push-pull", value_parser = arguments::exchange())]
    exchange: Exchange,
    /// Number of calls that a site takes in a cycle
    #[arg(long, value_name = "L", value_parser = clap::value_parser!(u8).range(1..))]
    connection_limit: Option<u8>,
    #[command(flatten)]
    trials: Trials,
}

#[derive(Debug, Serialize)]
struct Row {
    t_last: f64,
    t_ave: f64,
}

impl AntiEntropy {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let Self { nodes: Nodes { nodes }, exchange, connection_limit, trials: Trials { trials: count } } = self;
        let epidemic = SimpleEpidemic { nodes, exchange, fanout: 1, connection_limit };
        epidemic.check()?;
        let progress = Progress::new(count.into());
        let runs = trials(count, seed, &|| progress.step(), |seed| epidemic.run(seed));
        drop(progress);
        let runs: Vec<_> = runs.into_iter().collect::<Result<_, Impossible>>()?;
        let t_last = Estimate::of(runs.iter().map(|run| run.t_last.into()));
        let t_ave = Estimate::of(runs.iter().map(|run| run.t_ave));
        output.object(&Row { t_last: t_last.mean, t_ave: t_ave.mean })?;
        let row = |name: &str, last, ave| [name.to_owned(), figure(last), figure(ave)];
        output.table(
            &format!("Anti-entropy among {nodes} sites, {count} trials"),
            ["", "t_last", "t_ave"],
            &[row("mean", t_last.mean, t_ave.mean), row("standard error", t_last.error(), t_ave.error())],
        )
    }
}
