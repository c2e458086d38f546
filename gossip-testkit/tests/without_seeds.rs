//! A cluster whose only seed is dead heals all the same, whatever else happened while it was apart.

mod common;

use std::time::Duration;

use common::{settled, settled_with};
use gossip_core::{Config, Node};
use gossip_testkit::lab::real::{Heal, Restarted};
use gossip_testkit::{Addr, Cluster, Latency, Links, id_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The bound on healing: 8·log2 n + 90 periods.
fn bound(nodes: u32) -> Duration {
    (8 * (nodes.ilog2() + 1) + 90) * SECOND
}

fn heals(cluster: &mut Cluster, within: Duration, what: &str) {
    cluster.heal();
    let time = cluster.run_until(within, SECOND / 10, Cluster::sees_all);
    println!("{what}: healed after {time:?}");
    assert!(time.is_some(), "{what}: still apart after {within:?}: {}", cluster.disagreement());
}

// Each side has a record of the other's death, and an incarnation of its own that is newer: it was dropped without a word.
#[test]
fn halves_whose_members_are_all_restarted_meanwhile_find_each_other() {
    for (seed, memory) in [(1, true), (2, true), (3, true), (4, false)] {
        let mut cluster = settled(7, seed);
        cluster.crash(0);
        cluster.run_for(MINUTE);
        cluster.partition(1..4, 4..7);
        cluster.run_for(MINUTE);
        for node in 1..7 {
            cluster.crash(node);
            cluster.run_for(5 * SECOND);
            cluster.restart(node, memory);
            cluster.run_for(20 * SECOND);
        }
        heals(&mut cluster, bound(7), &format!("3 and 3 restarted, with memory: {memory}, seed {seed}"));
    }
}

#[test]
fn two_survivors_of_many_on_two_sides_find_each_other() {
    let mut cluster = settled(60, 1);
    cluster.partition(0..30, 30..60);
    cluster.run_for(MINUTE);
    (0..60).filter(|node| ![7, 42].contains(node)).for_each(|node| cluster.crash(node));
    // Until both have noticed that all others are dead: alone, each doubts itself first.
    cluster.run_for(15 * MINUTE);
    heals(&mut cluster, bound(60), "two survivors of 60");
}

// A day after the cut nobody on either side knows any more where the other is.
#[test]
fn a_cut_that_outlasts_the_memory_of_the_dead_heals() {
    let mut cluster = settled(5, 1);
    cluster.crash(0);
    cluster.run_for(MINUTE);
    cluster.partition(1..3, 3..5);
    cluster.run_for(26 * HOUR);
    assert!(cluster.live().all(|(_, node)| node.members().count() == 2), "the dead are forgotten");
    heals(&mut cluster, bound(5), "cut for 26 hours");
}

#[test]
fn two_that_have_both_left_meet_when_they_join_again() {
    let mut cluster = settled(2, 1);
    for node in [0, 1] {
        cluster.with(node, |node, now| node.leave(now));
        cluster.run_for(5 * SECOND);
    }
    for node in [0, 1] {
        cluster.with(node, |node, now| node.join(now, []));
    }
    heals(&mut cluster, bound(2), "both had left");
}

#[test]
fn halves_that_forget_each_other_meet_again() {
    let mut cluster = settled(4, 1);
    cluster.partition(0..2, 2..4);
    cluster.run_for(MINUTE);
    for (node, other) in [(0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1)] {
        cluster.with(node, |node, now| {
            node.forget(now, id_of(Addr(other)));
            node.join(now, []);
        });
    }
    cluster.run_for(MINUTE);
    heals(&mut cluster, 10 * bound(4), "each half has forgotten the other");
}

#[test]
fn exchanges_that_only_pull_heal_a_one_way_cut() {
    let mut config = Config::lan();
    config.anti_entropy.exchange = gossip_core::Exchange::Pull;
    config.rumor.exchange = gossip_core::Exchange::PushPull;
    config.rumor.lambda = 2;
    for seed in 1..=10 {
        let mut cluster = settled_with(3, config.clone(), seed);
        cluster.cut(Links::new(2, 0..2), false);
        cluster.run_for(12 * SECOND);
        heals(&mut cluster, bound(3), &format!("cut one way, seed {seed}"));
    }
}

/// Round trips of about two seconds.
fn far() -> Latency {
    Latency { base: Duration::from_millis(950), mean: Duration::from_millis(50) }
}

// Every probe failed, for its answer came after its period: 35 deaths in half an hour.
#[test]
fn round_trips_of_two_seconds_make_no_false_deaths() {
    let mut cluster = Cluster::<Node<Addr>>::builder(3, Config::lan()).seed(1).latency(far()).build();
    cluster.run_for(MINUTE);
    assert!(cluster.sees_all());
    cluster.run_for(30 * MINUTE);
    assert_eq!(cluster.counters().false_deaths, 0);
}

#[test]
fn a_simulated_wait_with_fractions_of_a_microsecond_ends() {
    let mut cluster = settled(2, 1);
    let within = Duration::from_nanos(1_500_700);
    assert_eq!(cluster.run_until(within, SECOND, |_| false), None);
    assert_eq!(cluster.run_until(within, Duration::from_nanos(300), |_| false), None);
}

/// Heals many clusters of sizes from 2 to `most`, on a logarithmic scale, and returns those that were not whole in time.
fn sweep_halves(runs: u64, most: f64) -> Vec<String> {
    let mut late = Vec::new();
    let mut slowest: Option<(f64, String)> = None;
    for run in 0..runs {
        // A low-discrepancy sequence: every size has its turn, also in the first runs.
        let nodes = 2.0 * (most / 2.0).powf((run as f64 * 0.618_034).fract());
        let restarted = [Restarted::Neither, Restarted::One, Restarted::Both][run as usize % 3];
        let (nodes, latency) = (nodes.round() as u32, Latency::default());
        let heal = Heal { nodes, config: Config::lan(), latency, seed_alive: false, restarted };
        let time = heal.run(run).unwrap();
        let what = format!("run {run}: {nodes} nodes, {restarted:?} restarted: {time:?} of {:?}", heal.bound());
        let part = time.map_or(f64::INFINITY, |time| time.as_secs_f64() / heal.bound().as_secs_f64());
        if part > 1.0 {
            late.push(what.clone());
        }
        if slowest.as_ref().is_none_or(|(most, _)| part > *most) {
            slowest = Some((part, what));
        }
    }
    println!("{runs} clusters, the slowest: {slowest:?}");
    late
}

#[test]
fn halves_without_a_living_seed_are_whole_in_time() {
    assert_eq!(sweep_halves(30, 12.0), [""; 0]);
}

#[test]
#[ignore = "a thousand clusters of up to 200 nodes, an hour"]
fn a_thousand_halves_of_up_to_200_nodes_are_whole_in_time() {
    assert_eq!(sweep_halves(1_000, 200.0), [""; 0]);
}
