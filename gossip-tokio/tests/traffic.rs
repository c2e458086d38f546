//! Traffic of a small cluster on the loopback, along links and by random peers.

mod common;

use std::time::Duration;

use common::gossip::gossip_core::{Config, Relay};
use common::gossip::{Gossip, bind};
use common::{run, runtime};

const NODES: usize = 16;
/// Writes, two a second.
const WRITES: u64 = 60;
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of a header of UDP and one of IP.
const HEADERS: u64 = 28;

/// Datagrams and bytes with headers that all nodes have sent.
fn sent(nodes: &[Gossip]) -> [u64; 2] {
    let stats = nodes.iter().map(Gossip::stats);
    stats.fold([0, 0], |[datagrams, bytes], stats| {
        let sent = stats.node;
        [datagrams + sent.datagrams_sent, bytes + sent.bytes_sent + HEADERS * sent.datagrams_sent]
    })
}

/// Datagrams and bytes for a node and write, beyond those at rest.
async fn traffic(relay: Relay) -> [f64; 2] {
    let mut config = Config::lan();
    config.rumor.relay = relay;
    let mut nodes: Vec<Gossip> = Vec::new();
    for _ in 0..NODES {
        let seed = nodes.first().map(Gossip::address);
        nodes.push(bind("127.0.0.1:0").config(config.clone()).join(seed).spawn().await.unwrap());
    }
    for node in &nodes {
        node.wait_members(NODES).await.unwrap();
    }
    runtime::sleep(Duration::from_secs(10)).await;
    let before = sent(&nodes);
    for write in 0..WRITES {
        nodes[write as usize % NODES].put(format!("key-{write}"), [b'x'; 64]).unwrap();
        runtime::sleep(PAUSE).await;
    }
    let after = sent(&nodes);
    for node in &nodes {
        node.wait_for(format!("key-{}", WRITES - 1)).await.unwrap();
    }
    runtime::sleep(PAUSE * WRITES as u32).await;
    let rest = sent(&nodes);
    let each = |at: usize| {
        let more = (after[at] - before[at]) as f64 - (rest[at] - after[at]) as f64;
        more / NODES as f64 / WRITES as f64
    };
    [each(0), each(1)]
}

#[test]
#[ignore = "takes two and a half minutes"]
fn sixteen_nodes_send_a_third_of_the_datagrams_along_links() {
    run(|| async {
        let tree = traffic(Relay::Tree).await;
        let random = traffic(Relay::Random).await;
        for (name, [datagrams, bytes]) in [("tree", tree), ("random", random)] {
            eprintln!("{name}: {datagrams:.1} datagrams and {bytes:.0} bytes a node and write");
        }
        assert!(tree[0] <= 7.0 && 3.0 * tree[0] <= random[0] && 2.0 * tree[1] <= random[1]);
    });
}
