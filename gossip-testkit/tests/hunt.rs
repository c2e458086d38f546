//! The search that is guided by coverage, and what a sweep says of its own.

mod mini;

use gossip_testkit::{Checker, Swarm};
use mini::{Bug, Config, Mini};

#[test]
fn a_hunt_is_a_function_of_its_seed() {
    let checker = Checker::<Mini>::new(Config::default());
    let hunt = |seed| checker.hunt(&Swarm::default(), seed, |hunt| hunt.cases < 60).unwrap();
    assert_eq!(hunt(1), hunt(1));
    assert_ne!(hunt(1), hunt(2));
    let hunt = hunt(3);
    assert!(hunt.kept > 5 && hunt.features > hunt.kept, "{hunt}");
}

#[test]
fn a_hunt_finds_a_bug_and_minimises_it() {
    let checker = Checker::<Mini>::new(Config { bug: Some(Bug::OlderWins) });
    let failure = checker.hunt(&Swarm::default(), 1, |hunt| hunt.cases < 200).expect_err("there is a bug");
    assert!(failure.invariant().starts_with("versions"), "{failure}");
    assert!(failure.scenario().starts_with("seed "));
}

#[test]
fn a_sweep_says_what_it_has_met() {
    let sweep = Checker::<Mini>::new(Config::default()).sweep(&Swarm::default(), 0..100).unwrap();
    let coverage = &sweep.coverage;
    assert_eq!((coverage.classes.len(), coverage.pairs.len()), (9, 36), "{coverage}");
    assert!(coverage.states.contains_key("an older version arrives"), "{coverage:?}");
    assert!(coverage.states.contains_key("lost") && coverage.new[0] > 9 + 36);
    assert!(sweep.to_string().contains("9 classes of faults, 36 of 36 pairs"));
}

/// Races between the two searches. They need a clock of processor time.
#[cfg(unix)]
mod race {
    use std::fmt::Display;

    use gossip_testkit::{Checker, Framed, Machine, Swarm, Workload};
    use rustix::time::{ClockId, clock_gettime};

    use super::mini::around::{NoCopies, ShortLength};
    use super::mini::swim::{self, Swim};
    use super::mini::tree::{self, Tree};
    use super::mini::{Bug, Config, Mini};

    /// Scenarios after which neither goes on.
    const MOST: u64 = 2_000;
    /// Seeds, of which the medians are told.
    const SEEDS: u64 = 9;

    /// Processor time of this thread, in milliseconds.
    fn spent() -> f64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    }

    /// Prints medians: processor time until the sweep and until the hunt have found a bug. Returns two answers: the hunt
    /// has found it, and it was faster.
    fn race<M: Machine<Command: Workload + Display>>(name: &str, config: M::Config, swarm: &Swarm) -> (bool, bool) {
        let checker = Checker::<M>::new(config).most_runs(0);
        let time = |find: &dyn Fn(u64) -> u64| {
            let mut found: Vec<(f64, u64)> = (0..SEEDS)
                .map(|seed| {
                    let before = spent();
                    let cases = find(seed);
                    (spent() - before, cases)
                })
                .collect();
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            found[found.len() / 2]
        };
        let sweep = time(&|seed| {
            let first = 1 + seed * 1_000_000;
            // As a hunt does: what fails is explained.
            (0..MOST).find(|case| checker.check(&swarm.scenario(first + case)).is_err()).map_or(MOST, |case| case + 1)
        });
        let hunt = time(&|seed| {
            let mut cases = 0;
            let result = checker.hunt(swarm, seed, |hunt| {
                cases = hunt.cases + 1;
                hunt.cases < MOST
            });
            if result.is_ok() { MOST } else { cases }
        });
        println!("{name:<24} sweep {:>7} in {:>9.2} ms   hunt {:>7} in {:>9.2} ms", sweep.1, sweep.0, hunt.1, hunt.0);
        (hunt.1 < MOST, hunt.0 < sweep.0)
    }

    /// `cargo test --release -p gossip-testkit --test hunt -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn the_hunt_against_the_sweep_on_the_planted_bugs() {
        let (swarm, quiet) = (Swarm::default(), Swarm { writes: 0..=0, ..Swarm::default() });
        let mut races: Vec<(bool, bool)> =
            Bug::ALL.iter().map(|&bug| race::<Mini>(&format!("{bug:?}"), Config { bug: Some(bug) }, &swarm)).collect();
        races.extend(swim::Bug::ALL.iter().map(|&bug| race::<Swim>(&format!("swim {bug:?}"), Some(bug), &quiet)));
        races.extend(tree::Bug::ALL.iter().map(|&bug| race::<Tree>(&format!("tree {bug:?}"), Some(bug), &swarm)));
        races.push(race::<Framed<Mini, ShortLength>>("ShortLength", Config::default(), &swarm));
        races.push(race::<NoCopies>("NoCopies", Config::default(), &swarm));
        let won = races.iter().filter(|&&(_, faster)| faster).count();
        println!("the hunt was faster for {won} of {}", races.len());
        assert!(races.iter().all(|&(found, _)| found), "there is one that the hunt has not found");
        // Several fail in the first or second scenario of either, where it is chance which is the faster.
        assert!(won >= 20, "the hunt was faster for {won}");
    }
}
