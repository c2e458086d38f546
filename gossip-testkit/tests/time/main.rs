//! No clock and no absence costs a value: the stories in which one did.

#[path = "../common/mod.rs"]
mod common;
mod random;
mod told;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::settled;
use gossip_core::{Config, Event, Node};
use gossip_testkit::{Addr, Checker, Cluster, Command, id_of};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

fn holds(text: &str) {
    let report = Checker::<Node<Addr>>::new(Config::default()).run(&text.parse().expect("a scenario"));
    report.unwrap_or_else(|failure| panic!("{text}\n{failure}"));
}

/// The same where deletions are remembered for a quarter of an hour.
fn forgets(text: &str) {
    let report = Checker::<Node<Addr>>::new(random::forgetful()).run(&text.parse().expect("a scenario"));
    report.unwrap_or_else(|failure| panic!("{text}\n{failure}"));
}

// The flood that brought the value waited in the socket of a node that was suspended until all had forgotten the deletion.
#[test]
fn what_waited_in_a_socket_does_not_bring_a_deleted_value_back() {
    forgets(
        r#"seed 2; nodes 0-2; seeds 2; at 20s node 1: put "k1" ""; at 745s node 1: delete "k1";
        pause 0 from 15.9s to 3633.4s"#,
    );
    // Its clock was wrong for two seconds, just at its last contact: what it knew was dated by that, before anybody was there.
    forgets(
        r#"seed 1; nodes 0-2; seeds 2; at 20s node 1: put "k1" ""; at 745s node 1: delete "k1"; pause 0 from 15.9s to 3633.4s;
        cut 2 <-> 0-1 from 8.2s to 15.4s; skew 0 by -950400s drift 0ppm beyond from 12s to 14s"#,
    );
}

// Two of four clocks were days ahead, and their nodes came and went: who had forgotten a broadcast was offered it again.
#[test]
fn a_broadcast_is_delivered_once_though_agreed_time_turns_back_by_days() {
    forgets(
        r#"seed 0; nodes 0-3; seeds 2; at 15s node 2: broadcast ""; pause 0 from 1220s to 3625s; pause 2 from 20s to 3625s;
        skew 1 by 950400s drift 0ppm beyond from 5s on; skew 2 by 950400s drift 0ppm beyond from 8s on"#,
    );
}

// Nobody can tell the time where as many clocks are wrong as right: what ends then, and what is set aside for that, is no fault.
#[test]
fn where_half_of_the_clocks_are_wrong_leases_and_deletions_are_dated_by_them() {
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 10s node 0: put "k3" "" for 10s; crash 2 at 4s restart at 2405s with memory;
        crash 1 at 25s restart at 30s without memory; skew 0 by 691200s drift -244ppm beyond from 5s on"#,
    );
    forgets(
        r#"seed 3; nodes 0-2; seeds 2; at 10s node 1: delete "k3"; at 10s node 1: put "k1" ""; at 1455s node 2: delete "k1";
        crash 0 at 24s restart at 2445s with memory; skew 2 by 691200s drift 3320ppm beyond from 25s on"#,
    );
    forgets(
        r#"seed 3; nodes 0-2; seeds 2; at 5s node 0: put "k2" ""; at 3213s node 2: put "k2" "" for 10s;
        crash 0 at 17s restart at 3618s with memory; skew 1 by 3600s drift 0ppm beyond from 15s on"#,
    );
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 10s node 0: put "k3" ""; at 25s node 2: delete "k3";
        crash 1 at 20s restart at 3625s with memory; skew 2 by -3600s drift 0ppm beyond from 20s to 30s"#,
    );
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 15s node 1: delete "k3"; at 15s node 0: put "k2" ""; at 20s node 1: put "k2" "";
        crash 2 at 20s restart at 2425s with memory; skew 1 by -30s drift 6781ppm beyond from 20s on;
        skew 2 by 46800s drift 0ppm beyond from 10s on"#,
    );
}

// Clocks were set right during a cut. Readings from before it, of members that were suspected, outvoted those from after it.
#[test]
fn clocks_that_are_set_during_a_cut_are_right_after_it() {
    let text =
        "seed 0; nodes 0-3; seeds 2; cut 3 <-> 0-2 from 10s to 23.4s; skew 1 by -30s drift 0ppm beyond from 20s on;
        skew 2 by -30s drift 0ppm beyond from 20s on; skew 3 by -30s drift 0ppm beyond from 20s on";
    let config = Config::default();
    let checker = Checker::<Node<Addr>>::new(config.clone()).invariant(move |_| told::Told::new(&config));
    checker.run(&text.parse().expect("a scenario")).unwrap_or_else(|failure| panic!("{text}\n{failure}"));
}

fn put(cluster: &mut Cluster, node: u32, name: &str) {
    cluster.command(node, &Command::put(name, "value")).expect("a write is accepted");
}

fn all_have(cluster: &Cluster, names: &[&str]) -> bool {
    cluster.live().all(|(_, node)| names.iter().all(|name| node.get(name).is_some()))
}

/// Nodes that are told from now on that their clocks are wrong.
fn told(cluster: &mut Cluster) -> Rc<RefCell<Vec<u32>>> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&log);
    cluster.on_event(move |_, node, event| {
        if matches!(event, Event::ClockWrong { .. }) {
            told.borrow_mut().push(node.0);
        }
    });
    log
}

// One was away since the first moments of a cluster: what it knew was dated before the cluster, of which nobody is a witness.
#[test]
fn an_absence_that_begins_in_the_first_moments_of_a_cluster_brings_nothing_back() {
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 10s node 0: put "k1" ""; at 325s node 0: put "k1" "" for 10s;
        pause 1 from 25s to 3635s"#,
    );
}

// It was written after the last exchange of a node that crashed, so that it counted as heard by nobody; others had it by mail.
#[test]
fn a_deleted_value_stays_gone_though_its_writer_crashed_a_second_later() {
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 15s node 0: put "k0" ""; at 25s node 2: delete "k0";
        crash 0 at 16s restart at 2432s with memory"#,
    );
}

// Who had slept through a lease of a large value was offered that for ever: nobody gives away what has ended.
#[test]
fn a_large_value_that_has_ended_replaces_the_version_before_it_everywhere() {
    forgets(
        r#"seed 0; nodes 0-2; seeds 2; at 10s node 0: put "k2" ""; at 15s node 0: put "k2" "a" x 1037 for 10s;
        crash 0 at 18s; crash 1 at 18s restart at 2592019s with memory; crash 2 at 15s restart at 2592020s with memory"#,
    );
}

// A cluster that was switched off over the holidays came back empty.
#[test]
fn a_cluster_that_was_away_for_eight_days_has_all_its_values() {
    holds(
        r#"seed 1; nodes 0-2; at 5s node 0: put "k" "v"; pause 0 from 20s to 691220s;
        pause 1 from 20s to 691220s; pause 2 from 20s to 691220s"#,
    );
    for days in [8, 30] {
        for nodes in [1, 2, 3, 5, 10] {
            // One that stays is not in touch with anybody, and takes long to simulate.
            for away in if days == 8 && nodes == 3 { 2..=3 } else { nodes..=nodes } {
                let mut cluster = settled(nodes, 1);
                put(&mut cluster, 0, "k");
                cluster.run_for(10 * SECOND);
                for node in 0..away {
                    cluster.crash(node);
                }
                if away < nodes {
                    put(&mut cluster, nodes - 1, "meanwhile");
                }
                cluster.run_for(days * 86_400 * SECOND);
                for node in 0..away {
                    cluster.restart(node, true);
                }
                let names: &[&str] = if away < nodes { &["k", "meanwhile"] } else { &["k"] };
                let whole = |cluster: &Cluster| cluster.sees_all() && cluster.agrees() && all_have(cluster, names);
                let time = cluster.run_until(MINUTE, SECOND / 10, whole);
                assert!(time.is_some_and(|time| time <= 15 * SECOND), "{away} of {nodes} for {days} days: {time:?}");
            }
        }
    }
}

// The first packet of a newcomer emptied a node whose only peer had died eight days before.
#[test]
fn one_that_was_alone_for_eight_days_gives_a_newcomer_all_it_has() {
    let mut cluster = settled(2, 1);
    put(&mut cluster, 1, "k");
    cluster.run_for(5 * SECOND);
    cluster.crash(1);
    cluster.run_for(8 * 86_400 * SECOND);
    let newcomer = cluster.add();
    let given = |cluster: &Cluster| all_have(cluster, &["k"]) && cluster.get(newcomer.0).is_some();
    let time = cluster.run_until(MINUTE, SECOND / 10, given);
    assert!(time.is_some_and(|time| time <= 15 * SECOND), "{time:?}");
}

// A member that had left was back in every view, when somebody restored a snapshot after the others had forgotten it.
#[test]
fn a_member_that_left_is_not_back_when_an_old_snapshot_is_restored() {
    holds("seed 1; nodes 0-4; crash 4 at 4300s restart at 88400s with memory; at 4310s node 3: leave");
}

// The others remember who lived briefly for less long. A returner that had restored such a member saw it alive, declared it
// dead, and gave it a memory of a day everywhere.
#[test]
fn a_member_that_lived_briefly_is_not_back_when_a_snapshot_is_restored_after_it_was_forgotten() {
    for gone in ["at 610s node 3: leave", "crash 3 at 610s"] {
        holds(&format!("seed 1; nodes 0-4; crash 4 at 600s restart at 6000s with memory; {gone}"));
        let mut cluster = settled(5, 1);
        cluster.run_for(9 * MINUTE);
        cluster.crash(4);
        if gone.contains("leave") {
            cluster.command(3, &Command::Leave).expect("it may leave");
            cluster.run_for(10 * SECOND);
        }
        cluster.crash(3);
        cluster.run_for(90 * MINUTE);
        let knows = |cluster: &Cluster, at: u32| cluster.node(at).members().any(|member| member.id == id_of(Addr(3)));
        assert!((0..3).all(|at| !knows(&cluster, at)), "it is forgotten");
        cluster.restart(4, true);
        for second in 0..120 {
            cluster.run_for(SECOND);
            assert!((0..5).filter(|at| *at != 3).all(|at| !knows(&cluster, at)), "{gone}: known after {second} s");
        }
        assert!(cluster.sees_all());
    }
}

// A value that was deleted while one that held it was away came back with that one, after the others had forgotten the deletion.
#[test]
fn one_that_was_away_for_longer_than_deletions_are_remembered_brings_none_back() {
    let mut config = Config::default();
    config.lifetimes.certificate = 60 * MINUTE;
    config.lifetimes.shrink = 10 * MINUTE;
    for comes_back in ["crash 3 at 600s restart at 8000s with memory", "pause 3 from 600s to 8000s"] {
        let text = format!(
            r#"seed 1; nodes 0-3; at 5s node 0: put "k" "v"; at 5s node 3: put "stays" "v"; at 700s node 1: delete "k"; {comes_back}"#
        );
        let report = Checker::<Node<Addr>>::new(config.clone()).run(&text.parse().expect("a scenario"));
        report.unwrap_or_else(|failure| panic!("{text}\n{failure}"));
    }
}

// Two stay, and all others are away, each alone, in one way or another.
#[test]
fn absences_longer_than_deletions_are_remembered_bring_nothing_back_and_cost_nothing() {
    let mut config = Config::default();
    config.lifetimes.certificate = 60 * MINUTE;
    config.lifetimes.shrink = 10 * MINUTE;
    // Members are remembered meanwhile, though they have lived for ten minutes only.
    config.lifetimes.reap_after = 14 * 24 * 60 * MINUTE;
    for seed in 0..6 {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
        let nodes = rng.random_range(3..=5_u32);
        let mut text = format!("seed {seed}; nodes 0-{}", nodes - 1);
        let mut say = |part: String| text.extend(["; ".to_owned(), part]);
        for _ in 0..6 {
            let (at, node, key) = (rng.random_range(5..500), rng.random_range(0..nodes), rng.random_range(0..4));
            say(format!(r#"at {at}s node {node}: put "k{key}" "v{at}""#));
        }
        for _ in 0..6 {
            let (at, node, key) = (rng.random_range(700..1_500), rng.random_range(0..2), rng.random_range(0..4));
            let put = format!(r#"put "k{key}" "v{at}""#);
            let what = if rng.random() { put } else { format!(r#"delete "k{key}""#) };
            say(format!("at {at}s node {node}: {what}"));
        }
        for node in 2..nodes {
            let (from, to) = (rng.random_range(600..650), rng.random_range(8_000..8_060));
            let others: Vec<String> = (0..nodes).filter(|at| *at != node).map(|at| at.to_string()).collect();
            match rng.random_range(0..3) {
                0 => say(format!("crash {node} at {from}s restart at {to}s with memory")),
                1 => say(format!("pause {node} from {from}s to {to}s")),
                _ => {
                    say(format!("cut {node} <-> {} from {from}s to {to}s", others.join(",")));
                    say(format!(r#"at 3000s node {node}: put "alone" "{node}""#));
                }
            }
        }
        let report = Checker::<Node<Addr>>::new(config.clone()).run(&text.parse().expect("a scenario"));
        report.unwrap_or_else(|failure| panic!("{text}\n{failure}"));
    }
}

// All repair with a node whose clock was 30 s ahead stopped, and every one of its writes was accepted and lost.
#[test]
fn a_clock_that_is_ahead_keeps_no_write_from_the_others() {
    holds(r#"seed 1; nodes 0-2; at 60s node 2: put "k" "v"; skew 2 by 30s drift 0ppm beyond from 20s on"#);
}

#[test]
fn whatever_a_clock_says_values_are_equal_within_fifteen_seconds_and_who_is_wrong_is_told() {
    let seconds = [9, 15, 30, 60, 3_600, 13 * 3_600, 8 * 86_400];
    for nodes in [1, 2, 3, 5, 10] {
        for by in seconds.iter().flat_map(|&by| [by * 1_000_000, -by * 1_000_000]) {
            for all in [false, true] {
                let mut cluster = settled(nodes, 1);
                let log = told(&mut cluster);
                put(&mut cluster, 0, "before");
                for node in 0..if all { nodes } else { 1 } {
                    cluster.skew(node, by, 0);
                }
                put(&mut cluster, 0, "by one");
                put(&mut cluster, nodes - 1, "by another");
                let names = ["before", "by one", "by another"];
                let whole = |cluster: &Cluster| cluster.agrees() && all_have(cluster, &names);
                let time = cluster.run_until(MINUTE, SECOND / 10, whole);
                let what = format!("{nodes} nodes, {by} us at {}", if all { "all" } else { "one" });
                assert!(time.is_some_and(|time| time <= 15 * SECOND), "{what}: {time:?}");
                cluster.run_for(MINUTE);
                assert!(cluster.sees_all() && whole(&cluster), "{what}");
                assert_eq!(cluster.counters().false_deaths, 0, "{what}");
                let mut wrong = log.borrow().clone();
                wrong.sort_unstable();
                wrong.dedup();
                let expected: &[u32] = match nodes {
                    _ if by.abs() < 10_000_000 => &[],
                    1 => &[],
                    2 => &[0, 1],
                    _ => &[0],
                };
                // Where all step at once each is told, until it has heard the others again: a step shows at once.
                assert!(all || wrong == expected, "{what}: {wrong:?} were told");
            }
        }
    }
}

// The driver followed a clock that was an hour ahead for two seconds, and never came back.
#[test]
fn a_clock_that_is_wrong_for_two_seconds_loses_nothing_not_even_across_a_restart() {
    for by in [HOUR, -HOUR, 8 * DAY, -8 * DAY] {
        let mut cluster = settled(3, 1);
        put(&mut cluster, 1, "before");
        cluster.run_for(5 * SECOND);
        cluster.skew(1, by, 0);
        cluster.run_for(SECOND);
        put(&mut cluster, 1, "meanwhile");
        cluster.run_for(SECOND);
        cluster.skew(1, 0, 0);
        put(&mut cluster, 1, "after");
        cluster.run_for(5 * SECOND);
        assert!(all_have(&cluster, &["before", "meanwhile", "after"]), "{by}");
        for node in 0..3 {
            cluster.restart(node, true);
            cluster.run_for(10 * SECOND);
        }
        assert!(
            cluster.sees_all() && cluster.agrees() && all_have(&cluster, &["before", "meanwhile", "after"]),
            "{by}"
        );
    }
}

// One clock that gained two percent dragged a cluster 71 s ahead in an hour.
#[test]
fn a_clock_that_gains_two_percent_moves_no_other() {
    let mut cluster = settled(7, 1);
    for node in 1..7 {
        cluster.skew(node, (i64::from(node) - 4) * 600_000, 0);
    }
    cluster.skew(0, 0, 20_000);
    let log = told(&mut cluster);
    cluster.run_for(60 * MINUTE);
    let right = cluster.now().as_micros();
    let off = |node: u32| {
        let agreed = cluster.node(node).clock(cluster.reading(node)).as_micros();
        // Simulated time begins at 1,000,000 s of every right clock.
        (agreed - 1_000_000_000_000).abs_diff(right)
    };
    assert!((1..7).all(|node| off(node) < 2_000_000), "{:?}", (0..7).map(off).collect::<Vec<_>>());
    assert!(off(0) < 12_000_000, "{}", off(0));
    assert_eq!(*log.borrow(), [0]);
}

// Thirteen hours ahead at fifty nodes were 466 false suspicions and 98 false deaths; set back by an hour, nobody probed.
#[test]
fn no_timer_runs_on_the_wall_clock() {
    for by in [13 * HOUR, -HOUR] {
        let mut cluster = settled(20, 1);
        let before = *cluster.counters();
        let probes = |cluster: &Cluster| cluster.node(3).stats().probes;
        let probed = probes(&cluster);
        cluster.skew(3, by, 0);
        cluster.run_for(MINUTE);
        assert!(probes(&cluster) >= probed + 50, "{by}: {} probes in a minute", probes(&cluster) - probed);
        cluster.skew(3, 0, 0);
        cluster.run_for(MINUTE);
        assert!(probes(&cluster) >= probed + 100, "{by}: {} probes in two minutes", probes(&cluster) - probed);
        assert_eq!(cluster.counters().false_suspicions, before.false_suspicions, "{by}");
    }
}
