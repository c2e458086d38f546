//! Healing: once the network is whole again, so is the cluster, without help.

mod common;

use std::time::Duration;

use common::settled;
use gossip_core::{Config, Node, Relay, Status};
use gossip_testkit::{Addr, Chance, Cluster, Handle};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Returns true if no live member is seen dead. (While datagrams are lost, some member is always suspected.)
fn buries_nobody(cluster: &Cluster) -> bool {
    let there = |node: &Node<Addr>, of| {
        let seen = gossip_testkit::Machine::opinion(node, of);
        matches!(seen, Some(Status::Alive | Status::Suspect))
    };
    cluster.live().all(|(_, node)| cluster.live().all(|(of, _)| there(node, of)))
}

fn assert_each_has_a_deadline(cluster: &Cluster) {
    assert!(cluster.live().all(|(_, node)| node.poll_timeout().is_some()), "a node waits for nothing");
}

/// A lost datagram is a step towards a suspicion, as in SWIM's paper: a storm that repeated pings would hide.
fn without_doubt() -> Config {
    let mut config = Config::lan();
    config.probe.repeat = 0;
    config
}

/// Loses datagrams for five minutes from the start, then none. Returns the time until all see all alive.
fn after_loss(nodes: u32, loss: u32, seed: u64) -> Duration {
    let mut cluster = Cluster::<Node<Addr>>::builder(nodes, without_doubt()).seed(seed).build();
    let lossy = cluster.lose(Chance::percent(loss));
    cluster.run_for(5 * MINUTE);
    assert_each_has_a_deadline(&cluster);
    assert!(cluster.counters().suspicions > 0, "nobody was ever suspected");
    cluster.clear(lossy);
    let time = cluster.run_until(2 * MINUTE, SECOND / 10, Cluster::sees_all);
    time.unwrap_or_else(|| panic!("{nodes} nodes after {loss} % loss, seed {seed}: not all see all"))
}

/// A long test: a failure detector that fell silent at some moment would not be noticed by chance after this long.
fn assert_all_recover_from_loss(sizes: &[u32], seeds: std::ops::RangeInclusive<u64>) {
    for &nodes in sizes {
        for loss in [10, 20, 30, 50] {
            let longest = seeds.clone().map(|seed| after_loss(nodes, loss, seed)).max();
            println!("{nodes} nodes, {loss} % loss: all see all after at most {longest:?}");
        }
    }
}

#[test]
fn after_five_minutes_of_loss_all_see_all_within_two_minutes() {
    assert_all_recover_from_loss(&[2, 3, 5], 1..=10);
    let longest = after_loss(24, 30, 1);
    println!("24 nodes, 30 % loss: all see all after {longest:?}");
}

#[test]
#[ignore = "1,600 runs of five minutes and more, some minutes"]
fn after_five_minutes_of_loss_all_see_all_within_two_minutes_in_100_seeds() {
    assert_all_recover_from_loss(&[2, 3, 5, 24], 1..=100);
}

/// Cuts these nodes off for this long. Every death reported later is a false one.
fn cut_off(cluster: &mut Cluster, nodes: std::ops::Range<u32>, time: Duration) {
    let all = cluster.nodes().len() as u32;
    cluster.partition(nodes.clone(), nodes.end % all..nodes.end % all + all - nodes.len() as u32);
    cluster.run_for(time);
    assert!(!buries_nobody(cluster), "the cut was noticed");
    assert_each_has_a_deadline(cluster);
}

/// Ends the cut, with this percentage of datagrams lost from now on. Returns the time until all are members again.
fn heals(cluster: &mut Cluster, loss: u32, what: &str) -> (Duration, Handle) {
    let before = cluster.counters().false_deaths;
    cluster.heal();
    let lossy = cluster.lose(Chance::percent(loss));
    let whole = if loss == 0 { Cluster::sees_all } else { buries_nobody };
    let time = cluster.run_until(2 * MINUTE, SECOND / 10, whole);
    let time = time.unwrap_or_else(|| panic!("{what}, {loss} % loss afterwards: not healed"));
    cluster.run_for(30 * SECOND);
    let deaths = cluster.counters().false_deaths - before;
    println!("{what}, {loss} % loss afterwards: healed after {time:?}, {deaths} deaths reported meanwhile");
    assert!(time <= 30 * SECOND, "{what}, {loss} % loss afterwards: {time:?}");
    assert_eq!(deaths, 0, "{what}, {loss} % loss afterwards: the living are reported dead");
    (time, lossy)
}

fn halves(nodes: u32, cut: Duration, loss: u32, seed: u64) {
    let mut cluster = settled(nodes, seed);
    cut_off(&mut cluster, 0..nodes / 2, cut);
    heals(&mut cluster, loss, &format!("halves of {nodes} nodes cut for {cut:?}, seed {seed}"));
}

#[test]
fn two_halves_are_one_cluster_within_30_seconds_of_the_cuts_end() {
    for loss in [0, 30] {
        for seed in 1..=3 {
            halves(6, HOUR, loss, seed);
        }
        halves(50, HOUR / 6, loss, 1);
    }
    halves(200, HOUR / 30, 30, 1);
}

#[test]
#[ignore = "an hour of 200 nodes many times over, some minutes"]
fn two_halves_cut_for_an_hour_are_one_cluster_within_30_seconds_of_the_cuts_end() {
    for loss in [0, 30] {
        for seed in 1..=10 {
            halves(6, HOUR, loss, seed);
            halves(50, HOUR, loss, seed);
        }
        for seed in 1..=5 {
            halves(200, HOUR, loss, seed);
        }
    }
}

fn isolated(nodes: u32, cut: Duration, loss: u32, seed: u64) {
    let mut cluster = settled(nodes, seed);
    // Not the seed itself, nor one that would find nobody to go by.
    cut_off(&mut cluster, nodes - 1..nodes, cut);
    // It finds out one by one, ever more slowly, for it doubts itself first.
    assert!(cluster.node(nodes - 1).is_isolated() || cut < 10 * nodes * SECOND);
    heals(&mut cluster, loss, &format!("one of {nodes} nodes isolated for {cut:?}, seed {seed}"));
    assert!(!cluster.node(nodes - 1).is_isolated());
}

#[test]
fn one_who_was_isolated_comes_back_within_30_seconds() {
    isolated(51, HOUR / 6, 0, 1);
    isolated(51, HOUR / 6, 30, 1);
}

#[test]
#[ignore = "an hour of 201 nodes many times over, some minutes"]
fn one_who_was_isolated_for_an_hour_comes_back_to_200_others_within_30_seconds() {
    for loss in [0, 30] {
        for seed in 1..=5 {
            isolated(201, HOUR, loss, seed);
        }
    }
}

/// Counts reports of living members as dead, later than a period after the end of a cut that was too short for every
/// suspicion to end in it. (Nobody could have refuted a suspicion that ends within that period.)
fn late_deaths((nodes, apart): (u32, u32), cuts: [u64; 3], loss: u32, buddy: bool) -> u64 {
    let mut config = without_doubt();
    config.probe.buddy = buddy;
    if !buddy {
        // In rounds, which end: along links the accused hears of it sooner, and hardly anybody is too late.
        config.rumor.relay = Relay::Random;
    }
    let late = |(seed, cut)| {
        let mut cluster = Cluster::<Node<Addr>>::builder(nodes, config.clone()).seed(seed).build();
        cluster.run_for(15 * SECOND);
        assert!(cluster.sees_all());
        cluster.partition(nodes - apart..nodes, 0..nodes - apart);
        cluster.run_for(Duration::from_secs(cut));
        cluster.heal();
        cluster.lose(Chance::percent(loss));
        cluster.run_for(config.probe.period);
        let before = cluster.counters().false_deaths;
        cluster.run_for(30 * SECOND);
        cluster.counters().false_deaths - before
    };
    let late = cuts.into_iter().flat_map(|cut| (1..=3).map(move |seed| (seed, cut))).map(late).sum();
    println!(
        "{apart} of {nodes} cut off for {cuts:?} s, {loss} % loss, told of suspicions {buddy}: {late} late deaths"
    );
    late
}

// The rumors of these suspicions have cooled while nothing got through, so the accused have to be told in other ways: as
// soon as they speak, and by the accusers before the end.
#[test]
fn a_suspicion_that_outlasts_the_cut_is_refuted_before_it_ends() {
    for cuts in [[10, 12, 14], [18, 22, 30]] {
        assert_eq!(late_deaths((20, 10), cuts, 30, true), 0);
    }
    assert!(late_deaths((20, 10), [10, 12, 14], 30, false) > 10, "it is not for nothing");
    // One who is alone doubts itself, and is not done with its suspicions for long.
    assert_eq!(late_deaths((40, 1), [60, 120, 200], 0, true), 0);
}

// The dead are forgotten after a day: nobody knows anybody on the other side any more.
#[test]
fn a_cut_that_outlasts_the_memory_of_the_dead_heals_through_the_seeds() {
    for seed in 1..=1 {
        let mut cluster = settled(6, seed);
        cut_off(&mut cluster, 0..3, 25 * HOUR + MINUTE);
        assert!(cluster.live().all(|(_, node)| node.members().count() == 3), "the dead are forgotten");
        heals(&mut cluster, 0, &format!("6 nodes cut for 25 hours, seed {seed}"));
    }
}

// Nobody on the side without the seed has ever heard of the others: the same as a join that was tried too early.
#[test]
fn a_node_that_starts_before_its_seed_finds_it() {
    let mut cluster = Cluster::<Node<Addr>>::builder(3, Config::lan()).seed(1).build();
    cluster.partition(0, 1..3);
    cluster.run_for(10 * MINUTE);
    assert!(cluster.node(1).is_isolated() && cluster.node(1).live_members() == 1);
    cluster.heal();
    let time = cluster.run_until(30 * SECOND, SECOND / 10, Cluster::sees_all);
    // At most five quarters of `healing.interval` until the next call, and what follows.
    assert!(time.is_some_and(|time| time < 7 * SECOND), "{time:?}");
}

/// Returns the number of datagrams sent to a node.
fn datagrams_to(cluster: &mut Cluster, node: u32, time: Duration) -> f64 {
    let count = std::rc::Rc::new(std::cell::Cell::new(0_u32));
    let counted = count.clone();
    cluster.tap(move |datagram| counted.set(counted.get() + u32::from(datagram.to == Addr(node))));
    cluster.run_for(time);
    f64::from(count.get()) / time.as_secs_f64()
}

fn assert_few_contacts(nodes: u32) {
    let mut cluster = settled(nodes, 1);
    // The seed is contacted as a seed and as one that died.
    for (node, what) in [(7, "a member"), (0, "the seed")] {
        cluster.crash(node);
        let gone = |cluster: &Cluster| {
            cluster.live().all(|(_, other)| {
                other.member(gossip_testkit::id_of(Addr(node))).is_some_and(|member| member.status == Status::Dead)
            })
        };
        assert!(cluster.run_until(MINUTE, SECOND / 10, gone).is_some());
        cluster.run_for(5 * SECOND);
        let rate = datagrams_to(&mut cluster, node, 60 * SECOND);
        println!("{what} of {nodes} that died draws {rate:.2} datagrams a second");
        assert!(rate <= 5.0, "{what}: {rate} datagrams a second");
    }
}

#[test]
fn the_dead_draw_a_few_contacts_a_second_from_all_together() {
    assert_few_contacts(100);
}

#[test]
#[ignore = "a thousand nodes have to find each other first"]
fn the_dead_draw_a_few_contacts_a_second_from_a_thousand_together() {
    assert_few_contacts(1_000);
}

/// A thousand nodes start within a second and join through one. Returns the time until all see all.
fn a_thousand_join(loss: u32) -> Duration {
    let mut cluster = Cluster::<Node<Addr>>::builder(1_000, Config::lan()).seed(1).build();
    cluster.lose(Chance::percent(loss));
    // Comparing fingerprints is cheap, looking at a million opinions is not.
    let all = |cluster: &Cluster| {
        cluster.live().count() == 1_000 && cluster.live().all(|(_, node)| node.live_members() == 1_000)
    };
    let time = cluster.run_until(MINUTE, SECOND / 10, all).expect("all join");
    let counters = *cluster.counters();
    println!("1,000 join at {loss} % loss: all see all after {time:?}, {} datagrams", counters.datagrams);
    let largest = (0..1_000).map(|node| cluster.traffic(node).largest).max();
    assert!(largest <= Some(Config::lan().max_datagram), "{largest:?}");
    assert_eq!(counters.deaths, 0);
    time
}

#[test]
fn a_thousand_nodes_join_through_one_seed_within_5_seconds() {
    assert!(a_thousand_join(0) <= 5 * SECOND);
}

#[test]
#[ignore = "two million datagrams, a quarter of a minute"]
fn a_thousand_nodes_join_through_one_seed_within_8_seconds_at_10_per_cent_loss() {
    assert!(a_thousand_join(10) <= 8 * SECOND);
}
