//! Helpers shared by the tests of both adapters.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by test binaries that use parts of it")]

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub mod harness;
pub mod runtime;

pub use runtime::gossip;

use futures_util::future::{Either, select};
use gossip::gossip_core::{Config, NodeId, Status};
use gossip::{Gossip, Network, over};

/// Time limit of a test: hardly any needs this long, and one that hangs fails.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test on a thread of its own, so that a starved runtime is noticed, too.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    run_for(LIMIT, test);
}

/// The same for a test that needs longer.
pub fn run_for<F: Future<Output = ()>>(limit: Duration, test: impl FnOnce() -> F + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        runtime::block_on(test());
        done.send(()).expect("the test waits");
    });
    match end.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        // A panic in the test drops the sender: let it be seen.
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Waits for a future within the time limit, and drops it otherwise.
pub async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(runtime::sleep(time))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A node in memory that is known by its address and joins through address 1.
pub async fn node(network: &Network, address: u64) -> Gossip<u64> {
    let builder = over(network.attach(address).expect("a free address"), address);
    let builder = builder.id(NodeId::new(address)).config(Config::local());
    builder.join((address != 1).then_some(1)).spawn().await.expect("a node")
}

/// Two nodes in memory that know each other.
pub async fn pair(network: &Network) -> (Gossip<u64>, Gossip<u64>) {
    let nodes = (node(network, 1).await, node(network, 2).await);
    nodes.0.wait_members(2).await.expect("it runs");
    nodes.1.wait_members(2).await.expect("it runs");
    nodes
}

/// Waits until `node` sees the member with this id in this status.
pub async fn sees(node: &Gossip<u64>, id: u64, status: Status) {
    let seen = |node: &Gossip<u64>| node.member(NodeId::new(id)).is_some_and(|member| member.status == status);
    node.wait_until(seen).await.expect("it runs");
}
