//! The real node under random faults of every class.

use gossip_core::Node;
use gossip_testkit::{Addr, Checker, Counters, Scenario, Swarm};

#[test]
fn random_scenarios_converge() {
    let cases: u64 = std::env::var("GOSSIP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100);
    let from: u64 = std::env::var("GOSSIP_FROM").ok().and_then(|cases| cases.parse().ok()).unwrap_or(0);
    let checker = Checker::<Node<Addr>>::default();
    let mut total = Counters::default();
    let mut kinds = std::collections::BTreeMap::new();
    let mut slowest = 0;
    for number in from..from + cases {
        let scenario: Scenario<_> = Swarm::default().scenario(number);
        match checker.run(&scenario) {
            Ok(report) => {
                total += report.counters;
                slowest = slowest.max(report.periods)
            }
            Err(failure) => kinds
                .entry(failure.invariant().to_owned())
                .or_insert_with(Vec::new)
                .push((number, failure.violation().message.clone())),
        }
    }
    println!("{total} slowest {slowest}");
    for (kind, list) in &kinds {
        println!("{kind}: {} {:?}", list.len(), &list[..list.len().min(6)]);
    }
    assert!(kinds.is_empty());
}
