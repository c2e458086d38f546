//! Things that are to happen to a cluster at certain times.

use std::time::Duration;

use super::{Observed, Progress};
use crate::cluster::Cluster;
use crate::metrics::Usage;

/// Steps of simulated time between two pulses.
const STEP: Duration = Duration::from_millis(100);

type Deed<'a> = Box<dyn FnOnce(&mut Cluster<Observed>) + 'a>;

/// Things to do, at times counted from when it is [run](Self::run).
#[derive(Default)]
pub(super) struct Agenda<'a> {
    deeds: Vec<(Duration, Deed<'a>)>,
}

impl<'a> Agenda<'a> {
    pub(super) fn at(&mut self, time: Duration, deed: impl FnOnce(&mut Cluster<Observed>) + 'a) {
        self.deeds.push((time, Box::new(deed)));
    }

    /// Does everything in order, and goes on until `end`; deeds later than that are left undone.
    pub(super) fn run(mut self, cluster: &mut Cluster<Observed>, end: Duration, progress: Progress<'_>) {
        let start = cluster.now();
        self.deeds.sort_by_key(|&(time, _)| time);
        for (time, deed) in self.deeds.into_iter().take_while(|&(time, _)| time <= end) {
            pass(cluster, (start + time).since(cluster.now()), progress);
            deed(cluster);
        }
        pass(cluster, (start + end).since(cluster.now()), progress);
    }
}

/// Lets time pass, and says what was sent meanwhile.
pub(super) fn measure(cluster: &mut Cluster<Observed>, time: Duration, progress: Progress<'_>) -> Usage {
    let (end, mut usage) = (cluster.now() + time, cluster.measure(Duration::ZERO));
    while cluster.now() < end {
        let Usage { nodes, datagrams, bytes, largest_ever, .. } = cluster.measure(STEP.min(end.since(cluster.now())));
        usage = Usage { nodes, time, datagrams: usage.datagrams + datagrams, bytes: usage.bytes + bytes, largest_ever };
        progress();
    }
    usage
}

/// Adds up the traffic of consecutive times.
pub(super) fn sum(parts: &[Usage]) -> Usage {
    let mut parts = parts.iter().copied();
    let first = parts.next().expect("there is something to add up");
    parts.fold(first, |sum, part| Usage {
        time: sum.time + part.time,
        datagrams: sum.datagrams + part.datagrams,
        bytes: sum.bytes + part.bytes,
        ..part
    })
}

/// Lets time pass.
pub(super) fn pass(cluster: &mut Cluster<Observed>, time: Duration, progress: Progress<'_>) {
    let end = cluster.now() + time;
    while cluster.now() < end {
        cluster.run_for(STEP.min(end.since(cluster.now())));
        progress();
    }
}
