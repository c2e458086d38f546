//! The same scenario gives the same run, to the byte; and so it will in the next version, on every platform.

mod mini;

use gossip_testkit::{Checker, Swarm};
use mini::{Config, Mini};

#[test]
fn a_scenario_run_twice_gives_the_same_trace() {
    let checker = Checker::<Mini>::new(Config::default());
    for number in 0..200 {
        let scenario = Swarm::default().scenario(number);
        let (one, other) = (checker.run(&scenario).unwrap(), checker.run(&scenario).unwrap());
        assert_eq!(one, other, "{scenario:?}");
    }
}
