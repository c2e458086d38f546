//! Throughput of the simulator: 100 idle nodes on a simulated local network, byte-exact. The goal is 500,000 datagrams
//! per second on one core.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gossip_core::{Config, Node};
use gossip_testkit::{Addr, Cluster};

/// Simulated time per iteration.
const SPAN: Duration = Duration::from_secs(10);

fn simulator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulator");
    for nodes in [100, 1_000] {
        let mut cluster = Cluster::<Node<Addr>>::builder(nodes, Config::lan()).seed(1).build();
        // They have met, and what they said about it is cold.
        cluster.run_for(Duration::from_secs(60));
        assert!(cluster.agrees());
        let datagrams = cluster.measure(SPAN).datagrams;
        group.throughput(Throughput::Elements(datagrams));
        group.bench_function(format!("{nodes} idle nodes, datagrams"), |bencher| {
            bencher.iter(|| cluster.run_for(SPAN));
        });
    }
    group.finish();
}

criterion_group!(benches, simulator);
criterion_main!(benches);
