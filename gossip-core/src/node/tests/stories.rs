use core::time::Duration;
use std::vec::Vec;

use super::{Net, START};
use crate::{Change, Config, Event, Status};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn five_nodes_find_each_other_through_one() {
    let mut net = Net::joined(5, &Config::lan());
    assert!(net.agree());
    for at in 0..5 {
        assert_eq!(net.nodes[at].live_members(), 5);
        let joined = net.events(at).iter().filter(|e| matches!(e, Event::Member { was: None, .. })).count();
        assert_eq!(joined, 4, "one event for each of the others");
    }
}

#[test]
fn a_put_is_seen_everywhere_and_a_delete_as_well() {
    let mut net = Net::joined(8, &Config::lan());
    net.nodes[3].put(net.now, "limit", b"10").unwrap();
    net.run(SECOND);
    assert!(net.nodes.iter().all(|node| node.get("limit").as_deref() == Some(b"10")));
    let events = net.events(5);
    assert!(events.iter().any(|e| matches!(e, Event::Entry { change: Change::Written { .. }, .. })), "{events:?}");
    net.nodes[4].delete(net.now, "limit").unwrap();
    net.run(SECOND);
    assert!(net.nodes.iter().all(|node| node.get("limit").is_none()));
    assert!(net.agree());
}

#[test]
fn a_broadcast_is_delivered_once_to_everybody_else() {
    let mut net = Net::joined(8, &Config::lan());
    for _ in 0..2 {
        net.nodes[2].broadcast(net.now, b"same").unwrap();
    }
    net.run(30 * SECOND);
    for at in 0..8 {
        let delivered = net.events(at).iter().filter(|e| matches!(e, Event::Broadcast { .. })).count();
        assert_eq!(delivered, if at == 2 { 0 } else { 2 }, "two equal payloads are two broadcasts");
    }
    net.run(90 * SECOND);
    let cut = net.now;
    assert!(net.nodes.iter().all(|node| node.reconciled(cut).count == 8), "gone after its window");
}

#[test]
fn a_crash_is_noticed_and_a_return_as_well() {
    let mut net = Net::joined(5, &Config::lan());
    net.lose = |from, to| from == 4 || to == 4;
    net.run(60 * SECOND);
    assert!((0..4).all(|at| net.nodes[at].member(net.nodes[4].id()).unwrap().status == Status::Dead));
    assert!(net.nodes[4].is_isolated());
    net.lose = |_, _| false;
    net.run(60 * SECOND);
    assert!(net.nodes.iter().all(|node| node.members().all(|member| member.status == Status::Alive)));
    assert!(net.agree());
}

#[test]
fn one_who_leaves_is_gone_at_once_and_says_so_when_done() {
    let mut net = Net::joined(5, &Config::lan());
    net.nodes[1].leave(net.now);
    net.run(5 * SECOND);
    assert!(net.nodes[1].has_left() && net.events(1).contains(&Event::Left));
    assert_eq!(net.nodes[1].poll_timeout(), None);
    let id = net.nodes[1].id();
    assert!([0, 2, 3, 4].iter().all(|at| net.nodes[*at].member(id).unwrap().status == Status::Left));
    net.nodes[1].join(net.now, [0]);
    net.run(20 * SECOND);
    assert!(net.nodes.iter().all(|node| node.member(id).unwrap().status == Status::Alive));
}

#[test]
fn an_idle_cluster_is_quiet() {
    let mut net = Net::joined(10, &Config::lan());
    net.nodes[0].put(net.now, "a", &[1; 100]).unwrap();
    net.run(60 * SECOND);
    let before: u64 = net.nodes.iter().map(|node| node.stats().bytes_sent).sum();
    net.run(100 * SECOND);
    let after: u64 = net.nodes.iter().map(|node| node.stats().bytes_sent).sum();
    let per_node_second = (after - before) / 1_000;
    assert!(per_node_second < 150, "{per_node_second}");
    assert!(net.nodes.iter().all(|node| node.hot_rumors() == 0));
    assert!(net.now > START);
}

#[test]
fn replicas_that_differ_by_hundreds_find_out_which() {
    let mut net = Net::joined(2, &Config::lan());
    net.lose = |_, _| true;
    for n in 0..400_u32 {
        net.nodes[(n % 2) as usize].put(net.now, &std::format!("key-{n}"), &[7; 40]).unwrap();
        net.run(Duration::from_millis(20));
    }
    net.run(60 * SECOND);
    assert!(!net.agree());
    net.lose = |_, _| false;
    net.run(30 * SECOND);
    assert!(net.agree());
    assert_eq!(net.nodes[1].entries("key-").collect::<Vec<_>>().len(), 400);
}

#[test]
fn one_who_leaves_before_it_knows_anybody_tells_its_seed() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes.push(super::node(3, Config::lan()));
    let id = net.nodes[3].id();
    net.nodes[3].join(net.now, [0]);
    net.nodes[3].leave(net.now);
    net.run(5 * SECOND);
    assert!(net.nodes[3].has_left());
    assert!((0..3).all(|at| net.nodes[at].member(id).unwrap().status == Status::Left));
}

#[test]
fn what_a_node_owns_survives_that_its_clock_was_set_back_before_it_started() {
    let mut net = Net::joined(3, &Config::lan());
    net.run(20 * SECOND);
    // The same id again, with a clock that is ten seconds behind its first process'.
    net.nodes[2] = super::node(2, Config::lan());
    let (behind, id) = (START - 10 * SECOND, net.nodes[2].id());
    net.nodes[2].join(behind, [0]);
    net.nodes[2].put_own(behind, "role", b"db").unwrap();
    net.run(10 * SECOND);
    assert!(net.agree());
    assert!(net.nodes.iter().all(|node| node.get_own(id, "role").is_some()));
    let boot = net.nodes[0].member(id).unwrap().boot;
    assert!(net.nodes.iter().all(|node| node.member(id).unwrap().boot == boot) && boot > START);
}

#[test]
fn one_who_was_cut_off_while_it_was_suspected_hears_of_it_as_soon_as_it_speaks() {
    let mut net = Net::joined(10, &Config::lan());
    net.lose = |from, to| (from == 9) != (to == 9);
    let of = net.nodes[9].id();
    let suspected = |net: &Net, at: usize| net.nodes[at].member(of).is_some_and(|m| m.status == Status::Suspect);
    // Long enough for the rumor to cool, not for the suspicion to end.
    while !(0..9).all(|at| suspected(&net, at) && net.nodes[at].hot_rumors() == 0) {
        net.run(SECOND / 10);
    }
    assert!(net.now < START + 40 * SECOND);
    net.lose = |_, _| false;
    net.run(2 * SECOND);
    assert!((0..9).all(|at| net.nodes[at].member(of).is_some_and(|m| m.status == Status::Alive)));
    assert_eq!(net.nodes[..9].iter().map(|node| node.stats().deaths).sum::<u64>(), 0);
}
