//! Clusters of two versions: format 2.0, and 2.1, which no release has.

use super::*;
use crate::health::Problem;
use crate::inspect::VersionFault;
use crate::{Features, Format, Snapshot};

const KINDS: Features = Features::of(1);

/// All joined through the first; those of these positions speak format 2.1.
fn mixed(nodes: u32, next: &[usize]) -> Net {
    let mut net = Net::new(nodes, &Config::lan());
    for at in next {
        net.nodes[*at].speak_next(*at as u8);
    }
    net.nodes.iter_mut().for_each(|node| node.join(START, [0]));
    net.run(20 * SECOND);
    net
}

/// Restarts a node from what it knew, in the other version.
fn restart(net: &mut Net, at: usize, next: bool) {
    let snapshot: Snapshot<u32> = net.nodes[at].snapshot();
    let mut again = node(at as u32, Config::lan());
    again.restore(net.now, snapshot).unwrap();
    if next {
        again.speak_next(at as u8);
    }
    again.join(net.now, [0]);
    net.nodes[at] = again;
    net.run(30 * SECOND);
}

fn fields(node: &Node<u32>, name: &str) -> Option<Vec<u8>> {
    let cut = node.clock(node.now).floor_to(SECOND);
    node.updates(cut).find_map(|update| match update {
        Update::Entry(entry) if entry.name == name => entry.extra.map(|extra| extra.bytes().to_vec()),
        _ => None,
    })
}

fn uses(net: &Net) -> Vec<bool> {
    net.nodes.iter().map(Node::writes_kinds).collect()
}

#[test]
fn an_old_node_carries_along_what_it_does_not_know() {
    let mut net = mixed(3, &[0, 2]);
    // All goes through the old one.
    net.lose = |from, to| from + to == 2 && from != to;
    let now = net.now;
    net.nodes[0].put(now, "a", b"1").unwrap();
    net.nodes[1].put(now, "b", b"2").unwrap();
    net.nodes[2].put(now, "large", &[7; 5_000]).unwrap();
    net.nodes[0].set_name(now, "zero").unwrap();
    net.run(30 * SECOND);
    assert!(net.agree());
    let ids: Vec<NodeId> = net.nodes.iter().map(Node::id).collect();
    for node in &net.nodes {
        assert_eq!((node.shade_of(ids[0]), node.shade_of(ids[1]), node.shade_of(ids[2])), (Some(0), None, Some(2)));
        assert_eq!(fields(node, "a"), Some([0x21, 1, 0].to_vec()));
        assert_eq!(fields(node, "b"), None);
        assert_eq!(fields(node, "large"), Some([0x21, 1, 2].to_vec()), "with its descriptor");
        assert_eq!(node.member(ids[0]).unwrap().name(), Some("zero"));
    }
    let kept: Snapshot<u32> = postcard::from_bytes(&postcard::to_allocvec(&net.nodes[1].snapshot()).unwrap()).unwrap();
    assert_eq!(kept, net.nodes[1].snapshot(), "and in snapshots");
}

#[test]
fn each_is_written_to_in_the_highest_format_that_it_reads() {
    let net = mixed(4, &[1, 2]);
    assert_eq!((net.nodes[1].format_for(&2), net.nodes[1].format_for(&3)), (Format::NEXT, Format::FIRST));
    assert_eq!(net.nodes[1].format_for(&77), Format::FIRST, "a stranger, as the oldest member");
    assert_eq!(net.nodes[0].format_for(&1), Format::FIRST);
    assert!(net.nodes[2].heard_next() > 0 && net.nodes[0].heard_next() == 0 && net.nodes[3].heard_next() == 0);
    assert_eq!(mixed(2, &[0, 1]).nodes[0].format_for(&77), Format::NEXT);
}

#[test]
fn a_feature_is_used_when_the_last_node_has_it_and_for_ever() {
    let mut net = mixed(3, &[1]);
    assert_eq!(uses(&net), [false; 3]);
    restart(&mut net, 0, true);
    assert_eq!(uses(&net), [false; 3], "one is old");
    restart(&mut net, 2, true);
    assert_eq!(uses(&net), [true; 3]);
    assert!(net.events(1).contains(&Event::Features(KINDS)));
    assert!(net.nodes.iter().all(|node| node.health(net.now).is_empty()));
    net.nodes[2].put_kind(net.now, "kind", b"7").unwrap();
    net.run(10 * SECOND);
    assert!(net.agree() && net.nodes[0].get("kind").is_some());
}

#[test]
fn whoever_lacks_a_feature_that_is_used_is_named_at_both_sides() {
    let mut net = mixed(3, &[0, 1, 2]);
    assert_eq!(uses(&net), [true; 3]);
    net.nodes[1].put_kind(net.now, "kind", b"7").unwrap();
    net.run(5 * SECOND);
    (0..3).for_each(|at| drop(net.events(at)));
    restart(&mut net, 2, false);
    let (old, new) = (net.nodes[2].id(), net.nodes[0].id());
    let named = |events: Vec<Event<u32>>, of| {
        events.iter().any(|event| matches!(event, Event::Incompatible { id, .. } if *id == of))
    };
    assert!(named(net.events(0), old) && named(net.events(2), new));
    let problem = Problem::Incompatible { id: old };
    assert!(net.nodes[0].health(net.now).iter().any(|alert| alert.problem == problem));
    let at_old = net.nodes[2].health(net.now);
    assert!(at_old.iter().any(|alert| matches!(alert.problem, Problem::Incompatible { .. })), "{at_old:?}");
    assert!(at_old.iter().any(|alert| matches!(alert.problem, Problem::RestoredWithLoss { lost: 1 })), "{at_old:?}");
    assert_eq!(uses(&net), [true, true, false], "used for ever");

    restart(&mut net, 2, true);
    assert_eq!(uses(&net), [true; 3]);
    assert!(net.agree() && net.nodes[2].get("kind").is_some());
    assert!(net.nodes.iter().all(|node| node.health(net.now).is_empty()));
}

#[test]
fn a_crashed_old_node_holds_a_feature_back_until_it_is_forgotten() {
    let mut net = mixed(4, &[0, 1, 2]);
    net.lose = |from, to| from == 3 || to == 3;
    net.run(60 * SECOND);
    let old = net.nodes[3].id();
    assert_eq!(net.nodes[0].member(old).unwrap().status, crate::Status::Dead);
    assert_eq!(uses(&net), [false; 4], "it may be on the other side of a partition");
    (0..3).for_each(|at| net.nodes[at].forget(net.now, old));
    net.run(30 * SECOND);
    assert_eq!(uses(&net), [true, true, true, false]);
}

#[test]
fn the_planted_faults_do_what_they_say() {
    let mut net = mixed(3, &[0, 2]);
    net.nodes[1].plant(VersionFault::DropsFields);
    net.nodes[0].put(net.now, "a", b"1").unwrap();
    net.run(30 * SECOND);
    assert!(!net.agree());
    let mut net = mixed(3, &[0, 2]);
    net.nodes[1].plant(VersionFault::HidesFields);
    net.nodes[0].put(net.now, "a", b"1").unwrap();
    net.run(30 * SECOND);
    assert!(!net.agree());
    let mut net = Net::new(4, &Config::lan());
    for at in 0..3 {
        net.nodes[at].speak_next(0);
        net.nodes[at].plant(VersionFault::Majority);
    }
    net.nodes.iter_mut().for_each(|node| node.join(START, [0]));
    net.run(40 * SECOND);
    assert_eq!(uses(&net), [true, true, true, false]);
}
