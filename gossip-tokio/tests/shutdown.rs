//! A runtime that ends before its nodes do. (That of async-std never ends.)

mod common;

use common::gossip::{Network, TaskError};
use common::node;
use common::runtime::Runtime;

#[test]
fn a_task_that_its_runtime_drops_says_so_to_those_who_wait() {
    let (dying, living) = (Runtime::new(), Runtime::new());
    let network = Network::default();
    let node = dying.block_on(node(&network, 1));
    let stopped = node.stopped();
    drop(dying);
    assert_eq!(living.block_on(stopped), Err(TaskError::Aborted));
    assert!(living.block_on(node.wait_for("never")).is_err(), "no wait outlives the task");
    network.attach(1).expect("the transport is gone");
}
