//! Stories of clusters, told through the imperative interface.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Node, Status};
use gossip_testkit::{Addr, Cluster, Command, Fault, Links, Verdict, Window, id_of};

type Sim = Cluster<Node<Addr>>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn met(nodes: u32, seed: u64) -> Sim {
    let mut cluster = Sim::new(nodes, seed);
    cluster.run_until(secs(30), Duration::from_millis(100), Sim::sees_all).expect("they meet");
    cluster.assert_converges_within(secs(10));
    cluster
}

#[test]
fn two_halves_write_apart_and_agree_again() {
    let mut cluster = met(8, 1);
    cluster.partition(0..4, 4..8);
    cluster.command(0, &Command::put("k", "left")).unwrap();
    cluster.run_rounds(2);
    cluster.command(7, &Command::put("k", "right")).unwrap();
    cluster.run_for(secs(120));
    assert!(!cluster.agrees());
    assert!(cluster.disagreement().contains("right"), "{}", cluster.disagreement());
    assert!(cluster.counters().blocked > 0);
    cluster.heal();
    cluster.assert_converges_within(secs(60));
    assert_eq!(cluster.node(0).get("k").as_deref(), Some(&b"right"[..]));
    cluster.run_until(secs(60), secs(1), Sim::sees_all).expect("nobody stays buried");
}

#[test]
fn a_process_that_crashes_is_found_out_and_one_that_restarts_is_back() {
    let mut cluster = met(5, 2);
    cluster.command(0, &Command::put("k", "v")).unwrap();
    cluster.run_rounds(3);
    cluster.crash(3);
    let dead = |node: &Node<Addr>| node.member(id_of(Addr(3))).is_some_and(|member| member.status == Status::Dead);
    let found_out = cluster.spread(secs(60), dead);
    assert_eq!((found_out.nodes(), found_out.residue()), (4, 0.0));
    assert!(found_out.share(0.25) <= found_out.t_ave() && found_out.t_ave() <= found_out.t_last());
    cluster.restart(3, false);
    assert_eq!(cluster.node(3).get("k"), None, "it has forgotten");
    cluster.assert_converges_within(secs(30));
    assert_eq!(cluster.node(3).get("k").as_deref(), Some(&b"v"[..]));
    cluster.run_until(secs(30), secs(1), Sim::sees_all).expect("it is alive again");
    assert_eq!(cluster.counters().restarts_without_memory, 1);
}

#[test]
fn a_process_that_stands_still_finds_its_socket_full() {
    let mut cluster = met(3, 3);
    cluster.pause(2);
    for number in 0..400 {
        cluster.command(0, &Command::put(format!("k{number}"), "v".repeat(500))).unwrap();
        cluster.run_for(Duration::from_millis(50));
    }
    assert!(cluster.counters().overflowed > 0, "{}", cluster.counters());
    assert_eq!(cluster.node(2).get("k0"), None);
    cluster.resume(2);
    cluster.assert_converges_within(secs(60));
}

#[test]
fn a_rule_decides_about_every_datagram_until_it_is_taken_back() {
    let mut cluster = met(4, 4);
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let rule = cluster.rule(move |datagram| {
        count.set(count.get() + 1);
        if datagram.to == Addr(1) { Verdict::Lose } else { Verdict::Pass }
    });
    cluster.command(0, &Command::put("k", "v")).unwrap();
    cluster.run_rounds(3);
    assert!(cluster.node(2).get("k").is_some() && cluster.node(1).get("k").is_none());
    cluster.clear(rule);
    let until_then = asked.get();
    assert!(until_then > 0);
    cluster.assert_converges_within(secs(60));
    assert_eq!(asked.get(), until_then);
}

#[test]
fn every_verdict_and_every_fault_of_the_network_is_survived_and_counted() {
    let mut cluster = met(4, 5);
    for verdict in [Verdict::Duplicate, Verdict::Corrupt, Verdict::Delay(secs(1))] {
        let rule = cluster.rule(move |_| verdict);
        cluster.command(0, &Command::broadcast("x")).unwrap();
        cluster.run_rounds(2);
        cluster.clear(rule);
    }
    let (on, during) = (Links::new(0, ..), Window::since(Duration::ZERO));
    let (bad, good) = (Duration::from_millis(500), Duration::from_millis(500));
    let burst = cluster.fault(Fault::Burst { on, during, chance: 0.9.into(), bad, good });
    cluster.run_rounds(10);
    cluster.clear(burst);
    cluster.assert_converges_within(secs(60));
    let counters = cluster.counters();
    for count in [counters.duplicated, counters.corrupted, counters.delayed, counters.refused, counters.lost_in_burst] {
        assert!(count > 0, "{counters}");
    }
}

#[test]
fn a_clock_that_is_behind_still_wins_with_its_next_write() {
    let mut cluster = met(3, 6);
    cluster.skew(2, -4_000_000, 100);
    cluster.command(0, &Command::put("k", "first")).unwrap();
    cluster.run_rounds(5);
    cluster.command(2, &Command::put("k", "second")).unwrap();
    cluster.assert_converges_within(secs(30));
    assert_eq!(cluster.node(0).get("k").as_deref(), Some(&b"second"[..]));
}

#[test]
fn somebody_new_is_told_everything() {
    let mut cluster = met(3, 7);
    cluster.command(0, &Command::put("k", "v")).unwrap();
    cluster.set_seeds([2]);
    let new = cluster.add();
    assert_eq!(new, Addr(3));
    cluster.run_until(secs(30), secs(1), Sim::sees_all).expect("it is seen");
    cluster.assert_converges_within(secs(30));
    assert!(cluster.node(3).get("k").is_some());
}

#[test]
fn events_and_datagrams_can_be_looked_at() {
    let mut cluster = Cluster::<Node<Addr>>::builder(5, Config::lan()).seed(8).seeds(2).build();
    let (events, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (count, sum) = (Rc::clone(&events), Rc::clone(&bytes));
    cluster.on_event(move |_, _, _| count.set(count.get() + 1));
    cluster.tap(move |datagram| sum.set(sum.get() + datagram.payload.len() as u64));
    cluster.record(5);
    cluster.run_rounds(20);
    assert!(events.get() >= 5 * 4, "each hears of each");
    assert_eq!(bytes.get(), cluster.counters().bytes);
    assert_eq!(cluster.take_lines().len(), 5);
    let usage = cluster.measure(secs(20));
    assert_eq!(usage.nodes, 5);
    assert!(usage.bytes_per_node_second() > usage.datagrams_per_node_second());
    let sent: u64 = (0..5).map(|node| cluster.traffic(node).bytes_sent).sum();
    assert_eq!(sent, cluster.counters().bytes);
}

#[test]
#[should_panic(expected = "not all nodes hold the same after")]
fn what_does_not_converge_panics_with_the_difference() {
    let mut cluster = met(2, 9);
    cluster.lose(1.0);
    cluster.command(0, &Command::put("k", "v")).unwrap();
    cluster.assert_converges_within(secs(5));
}
