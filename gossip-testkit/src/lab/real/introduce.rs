//! A cluster whose nodes know each other without having told each other.

use std::sync::Arc;

use super::{LOOK_INTERVAL, Observed, PATIENCE, Progress, Unsettled};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::sim::Verdict;

const FIRST: Addr = Addr(0);

/// Makes nodes know each other. Where all join through the first, all learn of all: nodes times nodes records are told, each of them more than once.
/// Here only the first hears the others until it knows all, and they restore a snapshot of it, as after a restart. What
/// is left to tell is the record of the first, which is in no snapshot of its own.
///
/// `begin` does what is to be done before anybody knows anybody.
pub(super) fn introduce(
    cluster: &mut Cluster<Observed>,
    begin: impl FnOnce(&mut Cluster<Observed>),
    progress: Progress<'_>,
) -> Result<(), Unsettled> {
    let nodes = cluster.nodes().len();
    // Whether somebody is where it says it is the first must ask, before it takes in what it hears.
    let to_the_first = cluster.rule(|datagram| match (datagram.from, datagram.to) {
        (_, FIRST) => Verdict::Pass,
        (FIRST, _) if datagram.label == "ack" => Verdict::Pass,
        _ => Verdict::Lose,
    });
    begin(cluster);
    let mut known = 0;
    let heard = cluster.run_until(PATIENCE, LOOK_INTERVAL, |cluster| {
        progress();
        known = cluster.get(0).map_or(0, |first| first.node().live_members());
        known == nodes && cluster.live().count() == nodes
    });
    heard.ok_or(Unsettled { nodes, missing: nodes - known, what: "reach the first", after: PATIENCE })?;
    let snapshot = Arc::new(cluster.node(0).node().snapshot());
    for node in 1..nodes as u32 {
        cluster.with(node, |node, now| node.restore(now, &snapshot));
        progress();
    }
    cluster.clear(to_the_first);
    Ok(())
}
