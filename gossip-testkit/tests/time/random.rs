//! Random wall clocks and absences: off by seconds to weeks, stepped, stepped back and drifting, at one node, at some, at all;
//! away for half a minute to 30 days, suspended or in the form of a snapshot. Values are written, leased and deleted meanwhile.

use std::ops::Range;
use std::time::Duration;

use gossip_core::{Config, Node};
use gossip_testkit::{Addr, Checker, Counters, Swarm};

use crate::told::Told;

/// Nodes that are few enough for absences of an hour, and no other faults, or all.
fn swarm(others: bool) -> Swarm {
    let mut swarm = Swarm { nodes: 2..=5, writes: 2..=12, ..Swarm::default() };
    swarm.classes.retain(|class| others && *class != "skew");
    swarm.classes.extend(["clock", "absence"]);
    swarm
}

/// Deletions are remembered for a quarter of an hour, for less than some are away.
pub(crate) fn forgetful() -> Config {
    let mut config = Config::default();
    config.lifetimes.certificate = Duration::from_secs(900);
    config.lifetimes.shrink = Duration::from_secs(90);
    config
}

/// Nodes that do everything once a minute: days in which some are away while others stay are simulated in a second.
fn slow() -> Config {
    let (mut config, minute) = (Config::default(), Duration::from_secs(60));
    (config.probe.period, config.probe.timeout) = (minute, minute / 4);
    (config.anti_entropy.interval, config.healing.interval) = (minute, minute);
    config
}

/// Of these some are away for up to 30 days while others stay, and write and delete.
fn swarm_of_days() -> Swarm {
    Swarm { seconds: 1_800, longest_absence: Duration::from_secs(30 * 86_400), ..swarm(false) }
}

fn sweep(config: &Config, swarm: &Swarm, numbers: Range<u64>) -> Counters {
    let of = config.clone();
    let checker = Checker::<Node<Addr>>::new(config.clone()).invariant(move |_| Told::new(&of));
    let sweep = checker.sweep(swarm, numbers).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{sweep}");
    sweep.counters
}

#[test]
fn wrong_clocks_alone_make_nobody_suspect_anybody() {
    let swarm = Swarm { nodes: 2..=8, classes: vec!["clock"], ..Swarm::default() };
    let counters = sweep(&Config::default(), &swarm, 0..60);
    assert!(counters.skews > 60, "{counters}");
    assert_eq!((counters.suspicions, counters.deaths), (0, 0), "{counters}");
}

#[test]
fn wrong_clocks_and_absences_cost_nothing() {
    let counters = sweep(&Config::default(), &swarm(false), 0..40);
    assert!(counters.skews > 20 && counters.pauses > 10 && counters.restarts_with_memory > 10, "{counters}");
}

#[test]
fn absences_of_days_of_some_cost_nothing() {
    let counters = sweep(&slow(), &swarm_of_days(), 0..10);
    assert!(counters.pauses + counters.restarts_with_memory > 10, "{counters}");
}

#[test]
#[ignore = "minutes for ten thousand with optimisation: GOSSIP_CASES says how many scenarios"]
fn as_many_scenarios_of_clocks_and_absences_as_asked_for() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().expect("a number"));
    let (first, cases) = (number("GOSSIP_FIRST").unwrap_or(0), number("GOSSIP_CASES").unwrap_or(100_000));
    // With and without all the other faults, and with deletions that some have forgotten by the time that others are back. In
    // hundredths of all: where a deletion is remembered for a week, few are away for as long.
    let mut from = first;
    for (config, others, share) in [
        (Config::default(), false, 10),
        (Config::default(), true, 10),
        (forgetful(), false, 30),
        (forgetful(), true, 50),
    ] {
        let cases = cases * share / 100;
        let counters = sweep(&config, &swarm(others), from..from + cases);
        from += cases;
        assert!(
            counters.skews > cases / 2 && counters.pauses + counters.restarts_with_memory > cases / 2,
            "{counters}"
        );
    }
}
