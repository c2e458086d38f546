//! Time that the simulator takes for scenarios of a thousand nodes. Each is to take less than 20 s of one core.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use gossip_core::{Config, Node};
use gossip_testkit::lab::real::Join;
use gossip_testkit::{Addr, Cluster, Command, Latency};

const NODES: u32 = 1_000;

/// A cluster that has met, with no hot rumors left.
fn at_rest() -> Cluster<Node<Addr>> {
    let mut cluster = Cluster::builder(NODES, Config::lan()).seed(1).build();
    cluster.run_for(Duration::from_secs(60));
    assert!(cluster.agrees());
    cluster
}

fn scenarios(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a thousand nodes");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("join", |bencher| {
        let join = Join { nodes: NODES, config: Config::lan(), latency: Latency::default(), loss: 0.0 };
        bencher.iter(|| join.run(1, &|| ()).expect("all see all in time"));
    });
    let mut cluster = at_rest();
    let mut number = 0;
    group.bench_function("spread", |bencher| {
        bencher.iter(|| {
            number += 1;
            cluster.command(number % NODES, &Command::put("name", number.to_string())).expect("it is short");
            let agrees = |cluster: &Cluster<Node<Addr>>| cluster.agrees();
            cluster.run_until(Duration::from_secs(10), Duration::from_millis(10), agrees).expect("it reaches all")
        });
    });
    let mut cluster = at_rest();
    group.bench_function("idle minute", |bencher| bencher.iter(|| cluster.run_for(Duration::from_secs(60))));
    group.finish();
}

criterion_group!(benches, scenarios);
criterion_main!(benches);
