//! Many nodes in one process: they find each other, and then cost nearly nothing.

mod common;

use std::time::{Duration, Instant};

use common::gossip::gossip_core::Config;
use common::gossip::{Gossip, bind};
use common::{run, runtime};

const NODES: usize = 200;

/// Processor time of this process so far, if the system reports it.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the command's name, which may contain anything: user and system time in ticks of 10 ms.
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Some(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>().ok()?))
}

#[test]
fn two_hundred_nodes_converge_and_sit_idle() {
    run(|| async {
        let start = Instant::now();
        let mut nodes: Vec<Gossip> = Vec::new();
        for _ in 0..NODES {
            let seed = nodes.first().map(Gossip::address);
            let node = bind("127.0.0.1:0").config(Config::lan()).join(seed);
            nodes.push(node.spawn().await.unwrap());
        }
        for node in &nodes {
            node.wait_members(NODES).await.unwrap();
        }
        eprintln!("{NODES} nodes know each other after {:?}", start.elapsed());
        nodes[NODES / 2].put("key", b"value").unwrap();
        for node in &nodes {
            node.wait_for("key").await.unwrap();
        }

        // Until the rumors have cooled.
        runtime::sleep(Duration::from_secs(10)).await;
        let (before, began) = (processor_time(), Instant::now());
        runtime::sleep(Duration::from_secs(5)).await;
        if let (Some(before), Some(after)) = (before, processor_time()) {
            let share = (after - before).as_secs_f64() / began.elapsed().as_secs_f64();
            eprintln!("idle: {:.1} % of one core", 100.0 * share);
            assert!(share < 0.1, "{:.1} % of one core", 100.0 * share);
        }
        for node in &nodes {
            node.wait_members(NODES).await.unwrap();
        }
    });
}
