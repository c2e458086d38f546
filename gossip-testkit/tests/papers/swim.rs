//! Das, Gupta, Motivala: SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol (DSN 2002),
//! measured on the datagrams of simulated clusters.
//!
//! Seeds are fixed, so that a bound is either met or not. A statistical bound leaves four standard errors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Node, Relay};
use gossip_testkit::{Addr, Chance, Cluster};

const SECOND: Duration = Duration::from_secs(1);

/// SWIM as it was before Lifeguard.
pub(crate) fn plain() -> Config {
    let mut config = Config::lan();
    let probe = &mut config.probe;
    (probe.max_health, probe.confirmations, probe.beta, probe.buddy, probe.nack) = (0, 0, 1, false, false);
    probe.repeat = 0;
    config
}

/// A cluster in which all know all, and nothing is hot any more.
pub(crate) fn settled(nodes: u32, config: Config, seed: u64) -> Cluster {
    let mut cluster = Cluster::<Node<Addr>>::builder(nodes, config).seed(seed).build();
    cluster.run_for(25 * SECOND);
    assert!(cluster.sees_all(), "{nodes} nodes do not find each other");
    cluster
}

/// A ping: time, sender, target.
type Ping = (Duration, Addr, Addr);

/// Pings of a healthy cluster in a number of periods. Up to the first probe of a crashed member everything happens as
/// without the crash, so that every moment of it stands for a crash.
fn pings(nodes: u32, random_phase: bool, periods: u32) -> Vec<Ping> {
    let mut config = plain();
    config.probe.random_phase = random_phase;
    let mut cluster = settled(nodes, config, u64::from(nodes));
    let pings = Rc::new(RefCell::new(Vec::new()));
    let log = pings.clone();
    cluster.tap(move |datagram| {
        if datagram.label == "probe" {
            log.borrow_mut().push((datagram.at, datagram.from, datagram.to));
        }
    });
    cluster.run_rounds(periods);
    assert_eq!(cluster.counters().false_suspicions, 0, "all of them are first attempts");
    drop(cluster);
    Rc::into_inner(pings).expect("the cluster is gone").into_inner()
}

/// Times of the pings of each member, in order.
fn by_target(pings: &[Ping]) -> BTreeMap<Addr, Vec<Duration>> {
    let mut times = BTreeMap::<_, Vec<_>>::new();
    for &(at, _, to) in pings {
        times.entry(to).or_default().push(at);
    }
    times
}

// Section 3.2: with everybody's periods aligned, a crashed member is first probed in period e/(e − 1) on average.
#[test]
fn in_aligned_periods_the_first_probe_of_a_crashed_member_comes_in_period_1_58() {
    for nodes in [32, 128] {
        let pings = pings(nodes, false, 1_000);
        let period = |at: Duration| at.as_secs();
        let (first, last) = (period(pings[0].0), period(pings[pings.len() - 1].0));
        let (mut sum, mut crashes) = (0_u64, 0_u64);
        for times in by_target(&pings).into_values() {
            let mut times = times.into_iter().map(period).peekable();
            // The periods after the target's last probe have no answer.
            for crash in first..last - 20 {
                while times.next_if(|&at| at < crash).is_some() {}
                sum += times.peek().expect("nobody waits for 20 periods") - crash + 1;
                crashes += 1;
            }
        }
        let mean = sum as f64 / crashes as f64;
        println!("{nodes} nodes, {crashes} crashes: first probed in period {mean:.3}");
        assert!((mean - 1.58).abs() < 0.05, "{nodes} nodes: {mean}");
    }
}

// The same where phases are random, as they are in real life: the probes of a member are a Poisson process then.
#[test]
fn in_random_phases_the_first_probe_of_a_crashed_member_comes_after_one_period() {
    for nodes in [32, 128] {
        let (mut squares, mut sum) = (0.0, 0.0);
        for times in by_target(&pings(nodes, true, 1_000)).into_values() {
            for pair in times.windows(2) {
                let gap = (pair[1] - pair[0]).as_secs_f64();
                squares += gap * gap;
                sum += gap;
            }
        }
        // A crash at a random time waits for the rest of the gap that it falls into.
        let mean = squares / 2.0 / sum;
        println!("{nodes} nodes: first probed after {mean:.3} periods");
        assert!((mean - 1.0).abs() < 0.05, "{nodes} nodes: {mean}");
    }
}

// Section 4.3: round-robin probing bounds the time between two probes of a member by one and the same node.
#[test]
fn nobody_goes_more_than_2n_minus_1_periods_without_a_probe_from_a_given_node() {
    for nodes in [5, 32] {
        let pings = pings(nodes, true, 1_000);
        let mut periods = BTreeMap::<Addr, u32>::new();
        let mut last = BTreeMap::new();
        let mut longest = 0;
        for (_, from, to) in pings {
            let period = periods.entry(from).or_default();
            *period += 1;
            let before = last.insert((from, to), *period).unwrap_or(0);
            longest = longest.max(*period - before);
        }
        println!("{nodes} nodes: at most {longest} periods");
        assert!(last.len() as u32 == nodes * (nodes - 1), "everybody probes everybody");
        assert!(longest < 2 * nodes, "{nodes} nodes: {longest} periods");
        assert!(longest > nodes, "in an order that is shuffled anew in every round: {longest}");
    }
}

// Section 3.1 and 5.1: each member sends and receives one ping and one ack in a period, in whatever company.
fn assert_load_at_rest(nodes: u32) {
    const PERIODS: u32 = 20;
    let mut cluster = settled(nodes, Config::lan(), 3);
    let counts = Rc::new(RefCell::new((0_u64, BTreeMap::<Addr, u64>::new())));
    let log = counts.clone();
    cluster.tap(move |datagram| {
        if matches!(datagram.label, "probe" | "ack") {
            let (sent, received) = &mut *log.borrow_mut();
            *sent += 1;
            *received.entry(datagram.to).or_default() += 1;
        }
    });
    cluster.run_rounds(PERIODS);
    let (sent, received) = &*counts.borrow();
    let each = *sent as f64 / f64::from(nodes) / f64::from(PERIODS);
    println!("{nodes} nodes: {each:.3} a member and period");
    assert!((each - 2.0).abs() < 0.1, "{nodes} nodes: {each} datagrams sent, and as many received, without loss");
    let busiest = received.values().max().copied().unwrap_or_default();
    // Pings come at random: 20 on average, and their acks are as many as the pings sent.
    assert!(busiest < 2 * 3 * u64::from(PERIODS), "nobody is singled out: {busiest}");
}

#[test]
fn ten_members_at_rest_send_and_receive_two_datagrams_each_in_a_period() {
    assert_load_at_rest(10);
}

#[test]
fn a_hundred_members_at_rest_send_and_receive_two_datagrams_each_in_a_period() {
    assert_load_at_rest(100);
}

#[test]
#[ignore = "a thousand nodes have to find each other first"]
fn a_thousand_members_at_rest_send_and_receive_two_datagrams_each_in_a_period() {
    assert_load_at_rest(1_000);
}

/// Share of probes of a healthy member that fail: ping or ack is lost, and ping-req, ping, ack or ack `k` times.
pub(crate) fn expected_failures(loss: u32, k: u32) -> f64 {
    let passes = 1.0 - f64::from(loss) / 100.0;
    (1.0 - passes.powi(2)) * (1.0 - passes.powi(4)).powi(k as i32)
}

/// Share of failed probes among all probes of live members, their number, and the share that section 5.1 expects.
fn failed_probes(loss: u32, indirect: u32, probes: u32) -> (f64, u64, f64) {
    const NODES: u32 = 32;
    let mut config = plain();
    config.probe.indirect = indirect;
    // Nobody is to die of it. What a probe finds depends neither on how long a suspicion lasts nor on how it and its
    // refutation spread, which is what takes the time at heavy loss: the accused are told by those who probe them.
    (config.probe.alpha, config.probe.buddy) = (100, true);
    config.rumor.relay = Relay::Random;
    (config.rumor.fanout, config.rumor.lambda) = (1, 1);
    let mut cluster = settled(NODES, config, u64::from(loss));
    let count = |cluster: &Cluster| {
        let stats = cluster.live().map(|(_, node)| node.stats());
        stats.fold((0, 0), |(probes, failed), stats| (probes + stats.probes, failed + stats.probes_failed))
    };
    let before = count(&cluster);
    cluster.lose(Chance::percent(loss));
    cluster.run_rounds(probes.div_ceil(NODES));
    let after = count(&cluster);
    assert_eq!(cluster.counters().deaths, 0);
    let (probes, failed) = (after.0 - before.0, after.1 - before.1);
    let expected = expected_failures(loss, indirect);
    let share = failed as f64 / probes as f64;
    println!("{loss} % loss, k = {indirect}: {failed} of {probes} failed, {share:.6}, expected {expected:.6}");
    (share, failed, expected)
}

// Section 5.1, with datagrams lost independently of each other.
#[test]
fn probes_of_healthy_members_fail_as_often_as_datagram_loss_says() {
    for (loss, indirect, probes) in
        [(5, 1, 20_000), (5, 3, 40_000), (10, 1, 8_000), (10, 3, 20_000), (20, 1, 2_000), (20, 3, 5_000)]
    {
        let (share, failed, expected) = failed_probes(loss, indirect, probes);
        let allowed = 0.05 + 4.0 / (failed as f64).sqrt();
        assert!((share / expected - 1.0).abs() < allowed, "{loss} %, k = {indirect}: {share}, {expected}");
    }
}

/// With two thousand failures expected, ten per cent are more than four standard errors: from 10,000 probes (20 %, k =
/// 1) to 3.2 million (5 %, k = 3).
fn assert_fail_within_ten_per_cent(loss: u32, indirect: u32) {
    let probes = 2_000.0 / expected_failures(loss, indirect);
    let (share, failed, expected) = failed_probes(loss, indirect, probes as u32);
    assert!(failed > 1_600, "{loss} %, k = {indirect}: {failed} failures say nothing");
    assert!((share / expected - 1.0).abs() < 0.1, "{loss} %, k = {indirect}: {share}, {expected}");
}

#[test]
#[ignore = "three million probes, half a minute"]
fn probes_of_healthy_members_fail_within_ten_per_cent_of_what_5_per_cent_loss_says() {
    assert_fail_within_ten_per_cent(5, 1);
    assert_fail_within_ten_per_cent(5, 3);
}

#[test]
#[ignore = "three hundred thousand probes, some seconds"]
fn probes_of_healthy_members_fail_within_ten_per_cent_of_what_10_per_cent_loss_says() {
    assert_fail_within_ten_per_cent(10, 1);
    assert_fail_within_ten_per_cent(10, 3);
}

#[test]
#[ignore = "a storm of suspicions, some seconds"]
fn probes_of_healthy_members_fail_within_ten_per_cent_of_what_20_per_cent_loss_says() {
    assert_fail_within_ten_per_cent(20, 1);
    assert_fail_within_ten_per_cent(20, 3);
}
