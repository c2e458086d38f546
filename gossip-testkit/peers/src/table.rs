//! Random scenarios: which invariants hold, and in how many scenarios they do not.

use std::time::Duration;

use gossip_testkit::invariant::{
    Agreement, DatagramBudget, DeliveredOnce, Invariant, NoStepBack, NobodyBuried, PendingDeadline,
};
use gossip_testkit::{Checker, Scenario, Swarm};

use crate::foca::Foca2;
use crate::ours::Ours;
use crate::say::{Peer, Say};

/// Processor time of this thread.
pub fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Losses, bursts, copies, delays, cuts both ways and one way, crashes with restarts and without, pauses. No wrong clocks,
/// since the others read none, and no damage: the others leave that to the checksum of their transport.
fn swarm() -> Swarm {
    let classes = vec!["loss", "burst", "duplicate", "delay", "cut", "crash", "pause"];
    Swarm { nodes: 3..=8, writes: 1..=6, classes, ..Swarm::default() }
}

pub fn all(scenarios: u64) {
    println!("{scenarios} scenarios of 3 to 8 nodes and 1 to 6 messages; in how many of them each invariant did not hold");
    one::<Ours>(scenarios);
    one::<Foca2>(scenarios);
}

fn one<P: Peer>(scenarios: u64) {
    println!("\n{}", P::NAME);
    row::<P, _>(scenarios, |limits| DatagramBudget::new(limits.max_datagram));
    row::<P, _>(scenarios, |_| PendingDeadline::default());
    row::<P, _>(scenarios, |_| NoStepBack::default());
    row::<P, _>(scenarios, |_| DeliveredOnce::default());
    row::<P, _>(scenarios, |_| Agreement::default());
    if P::DETECTS {
        row::<P, _>(scenarios, |_| NobodyBuried::default());
    } else {
        println!("  -  does not apply: membership");
    }
}

fn row<P: Peer, I: Invariant<P> + 'static>(
    scenarios: u64,
    make: impl Fn(&gossip_testkit::Expectations) -> I + Copy + 'static,
) {
    let before = spent();
    let (mut failed, mut name, mut slowest) = (0, "", 0);
    let (mut bytes, mut node_seconds) = (0, 0.0);
    for number in 0..scenarios {
        let checker = Checker::<P>::new(P::Config::default()).without_invariants().invariant(make);
        let mut scenario: Scenario<Say> = swarm().scenario(number);
        forget(&mut scenario);
        name = make(&checker_limits::<P>()).name();
        match checker.run(&scenario) {
            Ok(report) => {
                slowest = slowest.max(report.periods);
                bytes += report.counters.bytes;
                node_seconds += report.simulated.as_secs_f64() * scenario.nodes.len() as f64;
            }
            Err(_) => failed += 1,
        }
    }
    let spent = spent().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(u32::try_from(scenarios).unwrap_or(1));
    let rate = if node_seconds > 0.0 { bytes as f64 / node_seconds } else { 0.0 };
    println!(
        "  {failed:>4}  {name:<75} slowest {slowest:>3} periods, {rate:>6.0} B per node and s, {spent:>7.0} us a scenario"
    );
}

fn checker_limits<P: Peer>() -> gossip_testkit::Expectations {
    P::expectations(&P::Config::default())
}

/// Processes restart without memory: not all of them have anything to keep.
fn forget(scenario: &mut Scenario<Say>) {
    for fault in &mut scenario.plan.faults {
        if let gossip_testkit::Fault::Crash { restart: Some(restart), .. } = fault {
            restart.memory = false;
        }
    }
}
