//! Many nodes in one process: they find each other, and then send nearly nothing.

mod common;

use std::time::{Duration, Instant};

use common::gossip::gossip_core::Config;
use common::gossip::{Gossip, bind};
use common::{run_for, runtime};

const NODES: usize = 200;
/// Nodes that join at once: two hundred are more than an unoptimised build can serve on one slow core.
const GROUP: usize = 20;

#[test]
fn two_hundred_nodes_converge_and_sit_idle() {
    run_for(Duration::from_secs(180), || async {
        let start = Instant::now();
        let mut nodes: Vec<Gossip> = Vec::new();
        for _ in 0..NODES {
            let seed = nodes.first().map(Gossip::address);
            let node = bind("127.0.0.1:0").config(Config::lan()).join(seed);
            nodes.push(node.spawn().await.unwrap());
            if nodes.len().is_multiple_of(GROUP) {
                for node in &nodes {
                    node.wait_members(nodes.len()).await.unwrap();
                }
            }
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
        let sent = || nodes.iter().map(|node| node.stats().node.datagrams_sent).sum::<u64>() as f64;
        let (before, began) = (sent(), Instant::now());
        runtime::sleep(Duration::from_secs(5)).await;
        let each = (sent() - before) / began.elapsed().as_secs_f64() / NODES as f64;
        eprintln!("idle: {each:.2} datagrams a node and second");
        // A ping and an ack, and now and then a comparison.
        assert!(each < 3.0, "{each:.2} datagrams a node and second");
        for node in &nodes {
            node.wait_members(NODES).await.unwrap();
        }
    });
}
