//! The same measurements for each: at rest, joining, messages under loss, a crash, false deaths.

use std::time::Duration;

use gossip_core::Status;
use gossip_testkit::{Addr, Cluster};

use crate::foca::Foca2;
use crate::ours::Ours;
use crate::say::{Peer, Say};
use crate::table::spent;

const SEEDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

pub fn all() {
    println!("medians of {SEEDS} seeds; latency 0.3 ms + exponential 0.7 ms; everybody joins through two nodes within a second");
    for nodes in [10, 100] {
        println!("\n{nodes} nodes");
        one::<Ours>(nodes);
        one::<Foca2>(nodes);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn seconds(values: Vec<Option<Duration>>) -> String {
    let found: Vec<f64> = values.iter().flatten().map(Duration::as_secs_f64).collect();
    match (found.len(), values.len()) {
        (0, _) => "never".to_owned(),
        (some, all) if some < all => format!("{:.2} s ({some} of {all})", median(found)),
        _ => format!("{:.2} s", median(found)),
    }
}

/// A cluster in which all have joined, and how long that took; and then a minute.
fn settled<P: Peer>(nodes: u32, seed: u64) -> (Cluster<P>, Option<Duration>) {
    let mut cluster = Cluster::<P>::builder(nodes, P::Config::default()).seed(seed).seeds(2).start_within(SECOND).build();
    let all = |cluster: &Cluster<P>| {
        cluster.live().count() == nodes as usize && cluster.live().all(|(_, machine)| machine.joined(nodes as usize))
    };
    let joined = cluster.run_until(300 * SECOND, Duration::from_millis(50), all);
    cluster.run_for(60 * SECOND);
    (cluster, joined)
}

fn one<P: Peer>(nodes: u32) {
    let (mut join, mut bytes, mut datagrams, mut processor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut clean, mut crash, mut all_crash) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let (mut cluster, joined) = settled::<P>(nodes, seed);
        join.push(joined);
        // Long enough for a clock of processor time that ticks every 4 ms.
        let before = spent();
        let usage = cluster.measure(60_000 / nodes * SECOND);
        processor.push(spent().saturating_sub(before).as_secs_f64() * 1e6 / 60_000.0);
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
    }
    println!("  {}", P::NAME);
    println!("    join, all know enough            {}", seconds(join));
    println!(
        "    at rest, per node and second     {:.0} B, {:.2} datagrams, {:.1} us of a processor with the simulator's share",
        median(bytes),
        median(datagrams),
        median(processor)
    );
    println!("    a message, all have it, no loss  {}", reached(&clean));
    for (percent, loss) in [(10, 0.1), (30, 0.3)] {
        let mut found = Vec::new();
        let mut deaths = Vec::new();
        for seed in 0..SEEDS {
            let (mut cluster, _) = settled::<P>(nodes, seed);
            cluster.lose(loss);
            cluster.run_for(10 * SECOND);
            found.push(message(&mut cluster, 1));
            let before = cluster.counters().false_deaths;
            cluster.run_for(300 * SECOND);
            deaths.push((cluster.counters().false_deaths - before) as f64);
        }
        println!("    a message, all have it, {percent} % loss {}", reached(&found));
        if P::DETECTS {
            println!("    false deaths told in 300 s of {percent} % loss, at all nodes  {}", median(deaths));
        }
    }
    if P::DETECTS {
        println!("    a crash, first to know           {}", seconds(crash));
        println!("    a crash, all know                {}", seconds(all_crash));
    }
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
    let residue = median(found.iter().map(|(_, residue)| *residue).collect());
    let times = seconds(found.iter().map(|(time, _)| *time).collect());
    if residue > 0.0 { format!("{times}; {:.1} % never", residue * 100.0) } else { times }
}
