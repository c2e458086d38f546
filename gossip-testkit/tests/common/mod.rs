//! First scenes shared by several files of stories.

#![allow(dead_code, reason = "each test crate uses another part of it")]

use std::time::Duration;

use gossip_core::{Config, Node};
use gossip_testkit::{Addr, Cluster};

/// A cluster on a local network in which all know all.
pub(crate) fn settled(nodes: u32, seed: u64) -> Cluster {
    settled_with(nodes, Config::lan(), seed)
}

/// The same with this configuration.
pub(crate) fn settled_with(nodes: u32, config: Config, seed: u64) -> Cluster {
    let mut cluster = Cluster::<Node<Addr>>::builder(nodes, config).seed(seed).build();
    cluster.run_for(Duration::from_secs(15));
    assert!(cluster.sees_all(), "{nodes} nodes do not find each other, seed {seed}");
    cluster
}
