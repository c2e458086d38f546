//! The same measurements for each: at rest, joining, messages under loss, a crash, false deaths, memory.

use std::time::Duration;

use allocation_counter::measure;
use gossip_core::Status;
use gossip_testkit::{Addr, Cluster};

use crate::foca::Foca2;
use crate::iroh::Iroh;
use crate::memberlist::Members;
use crate::ours::Ours;
use crate::plumtree::Plum;
use crate::say::{Peer, Say};
use crate::table::{Column, print, spent};

const SEEDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

pub fn all() {
    println!(
        "medians of {SEEDS} seeds; latency 0.3 ms + exponential 0.7 ms; everybody joins through two nodes within a second"
    );
    for nodes in [10, 100] {
        println!("\n{nodes} nodes\n");
        print(&[
            one::<Ours>(nodes),
            one::<Foca2>(nodes),
            one::<Members>(nodes),
            one::<Iroh>(nodes),
            one::<Plum>(nodes),
        ]);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn seconds(values: &[Option<Duration>]) -> String {
    let found: Vec<f64> = values.iter().flatten().map(Duration::as_secs_f64).collect();
    match (found.len(), values.len()) {
        (0, _) => "never".to_owned(),
        (some, all) if some < all => format!("{:.3} s in {some} of {all}", median(found)),
        _ => format!("{:.3} s", median(found)),
    }
}

/// A cluster in which all have joined, and how long that took; and then a minute.
fn settled<P: Peer>(nodes: u32, seed: u64) -> (Cluster<P>, Option<Duration>) {
    let mut cluster =
        Cluster::<P>::builder(nodes, P::Config::default()).seed(seed).seeds(2).start_within(SECOND).build();
    let all = |cluster: &Cluster<P>| {
        cluster.live().count() == nodes as usize && cluster.live().all(|(_, machine)| machine.joined(nodes as usize))
    };
    let joined = cluster.run_until(300 * SECOND, Duration::from_millis(50), all);
    cluster.run_for(60 * SECOND);
    (cluster, joined)
}

/// Bytes on the heap that are freed when every process has crashed, per node.
fn heap<P: Peer>(cluster: &mut Cluster<P>, nodes: u32) -> f64 {
    let freed = measure(|| {
        for node in 0..nodes {
            cluster.crash(node);
        }
    });
    -freed.bytes_current as f64 / f64::from(nodes)
}

fn one<P: Peer>(nodes: u32) -> Column {
    let (mut join, mut bytes, mut datagrams, mut processor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut clean, mut crash, mut all_crash, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let (mut cluster, joined) = settled::<P>(nodes, seed);
        join.push(joined);
        let before = spent();
        let usage = cluster.measure(6_000 / nodes * SECOND);
        processor.push(spent().saturating_sub(before).as_secs_f64() * 1e6 / 6_000.0);
        bytes.push(usage.bytes_per_node_second());
        datagrams.push(usage.datagrams_per_node_second());
        clean.push(message(&mut cluster, 1));
        if P::DETECTS {
            cluster.crash(nodes - 1);
            let gone = Addr(nodes - 1);
            let knows = |machine: &P| !matches!(machine.opinion(gone), Some(Status::Alive | Status::Suspect));
            let spread = cluster.spread(120 * SECOND, knows);
            crash.push(spread.times().first().copied());
            all_crash.push(spread.t_last());
        }
        held.push(heap(&mut settled::<P>(nodes, seed).0, nodes));
    }
    let mut rows = vec![
        ("all have joined after", seconds(&join)),
        ("at rest, per node and second", format!("{:.0} B, {:.2} datagrams", median(bytes), median(datagrams))),
        ("the same of a processor, simulator included", format!("{:.1} µs", median(processor))),
        ("a message of 64 bytes at all", reached(&clean)),
    ];
    let mut all_deaths = Vec::new();
    for (name, loss) in [("the same with 10 % loss", 0.1), ("the same with 30 % loss", 0.3)] {
        let (mut found, mut deaths) = (Vec::new(), Vec::new());
        for seed in 0..SEEDS {
            let (mut cluster, _) = settled::<P>(nodes, seed);
            cluster.lose(loss);
            cluster.run_for(10 * SECOND);
            found.push(message(&mut cluster, 1));
            let before = cluster.counters().false_deaths;
            cluster.run_for(if P::DETECTS { 300 * SECOND } else { SECOND });
            deaths.push((cluster.counters().false_deaths - before) as f64);
        }
        rows.push((name, reached(&found)));
        all_deaths.push(median(deaths));
    }
    let detected = |cell: String| if P::DETECTS { cell } else { "–".to_owned() };
    rows.push(("a crash known to the first after", detected(seconds(&crash))));
    rows.push(("a crash known to all after", detected(seconds(&all_crash))));
    rows.push(("live members told dead in 300 s, at all nodes, 10 % loss", detected(all_deaths[0].to_string())));
    rows.push(("the same with 30 % loss", detected(all_deaths[1].to_string())));
    rows.push(("heap of a node", format!("{:.1} kB", median(held) / 1e3)));
    Column { head: P::NAME, rows }
}

/// Sends a message; how long until all have it, and which share has not after a minute.
fn message<P: Peer>(cluster: &mut Cluster<P>, number: u64) -> (Option<Duration>, f64) {
    if cluster.command(0, &Say(number)).is_err() {
        return (None, 1.0);
    }
    let spread = cluster.spread(60 * SECOND, |machine| machine.heard(number));
    (spread.t_last(), spread.residue())
}

fn reached(found: &[(Option<Duration>, f64)]) -> String {
    let residue = found.iter().map(|(_, residue)| *residue).sum::<f64>() / found.len() as f64;
    let times = seconds(&found.iter().map(|(time, _)| *time).collect::<Vec<_>>());
    if residue > 0.0 { format!("{times}; {:.1} % never", residue * 100.0) } else { times }
}
