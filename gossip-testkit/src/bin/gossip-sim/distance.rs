//! `distance`: round trips between members, as network coordinates tell them.

use std::time::Duration;

use gossip_testkit::lab::real::{Distances, Estimated};
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Real, percent, time};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json, errors as shares; null where there is no estimate:\n",
    "  estimates         how many distances were told\n",
    "  known             share of all pairs of which a third node can tell the distance\n",
    "  median, p90       error of half of the estimates, and of nine in ten\n",
    "  within, across    median of pairs within a site, and across\n",
    "  bytes_per_node_s  sent per second at the end",
);

/// Real nodes: what they say of the round trips between others
///
/// The nodes of several sites join and ping each other; then each is asked for the distance between any two others, and that is
/// compared with twice the mean latency between them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    loss: Loss,
    /// Number of sites over which the nodes are spread
    #[arg(long, value_name = "K", default_value_t = 3)]
    sites: u32,
    /// Further latency between the first two sites; half of that more for each site beyond
    #[arg(long, value_name = "TIME", default_value = "30ms", value_parser = time)]
    between: Duration,
    /// Duration after the nodes have joined, in simulated seconds
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    estimates: usize,
    known: f64,
    median: Option<f64>,
    p90: Option<f64>,
    within: Option<f64>,
    across: Option<f64>,
    bytes_per_node_s: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes, setup }, Loss { loss }) = (self.cluster, self.loss);
        let Real { name, config, latency, .. } = setup.load()?;
        let Self { sites, between, seconds, .. } = self;
        let distances = Distances { nodes, sites, between, config, latency, loss, time: Duration::from_secs(seconds) };
        distances.check()?;
        let progress = Progress::new(distances.pulses());
        let Estimated { known, errors, within, across, bytes_per_node_second } =
            distances.run(seed, &|| progress.step())?;
        drop(progress);
        let row = Row {
            estimates: errors.len(),
            known,
            median: Estimated::share(&errors, 0.5),
            p90: Estimated::share(&errors, 0.9),
            within: Estimated::share(&within, 0.5),
            across: Estimated::share(&across, 0.5),
            bytes_per_node_s: bytes_per_node_second,
        };
        output.object(&row)?;
        let shown = |share: Option<f64>| share.map_or("-".to_owned(), |share| figure(100.0 * share));
        let line = [row.median, row.p90, row.within, row.across].map(shown);
        output.table(
            &format!(
                "Distances between {nodes} nodes in {sites} sites, {name}, {} loss, after {seconds} s",
                percent(loss)
            ),
            ["error, median (%)", "of nine in ten", "within a site", "across"],
            &[line],
        )?;
        let (known, bytes) = (percent(known), figure(bytes_per_node_second));
        output.note(&format!("  known: {known} of all pairs; a node sends {bytes} bytes in a second"))
    }
}
