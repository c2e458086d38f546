//! `join`: a cluster that forms through one seed.

use gossip_testkit::lab::real::Join;
use serde::Serialize;

use crate::arguments::{Cluster, Loss, Real, percent};
use crate::failure::Failure;
use crate::output::{Output, figure};
use crate::progress::Progress;

/// Meaning of the fields of --json.
const FIELDS: &str = concat!(
    "With --json:\n",
    "  seconds             until all have seen all\n",
    "  bytes_per_node      sent until then\n",
    "  datagrams_per_node  likewise\n",
    "  updates_per_node    received until then, new ones and known ones",
);

/// Nodes join through one seed: until all have seen all
///
/// All start within a second and know one address. Who is suspected is seen: where datagrams are lost, somebody always
/// is. It is an error if somebody has not seen all within 600 simulated seconds.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    loss: Loss,
}

#[derive(Debug, Serialize)]
struct Row {
    seconds: f64,
    bytes_per_node: f64,
    datagrams_per_node: f64,
    updates_per_node: f64,
}

impl Arguments {
    pub(crate) fn run(self, seed: u64, output: &mut Output) -> Result<(), Failure> {
        let (Cluster { nodes, setup }, Loss { loss }) = (self.cluster, self.loss);
        let Real { config, latency, .. } = setup.load()?;
        let join = Join { nodes, config, latency, loss };
        let progress = Progress::new(Join::PULSES);
        let joined = join.run(seed, &|| progress.step())?;
        drop(progress);
        let row = Row {
            seconds: joined.time.as_secs_f64(),
            bytes_per_node: joined.bytes_per_node,
            datagrams_per_node: joined.datagrams_per_node,
            updates_per_node: joined.updates_per_node,
        };
        output.object(&row)?;
        output.table(
            &format!("{nodes} nodes join through one, {} loss", percent(loss)),
            ["seconds", "bytes per node", "datagrams per node", "updates per node"],
            &[[row.seconds, row.bytes_per_node, row.datagrams_per_node, row.updates_per_node].map(figure)],
        )
    }
}
