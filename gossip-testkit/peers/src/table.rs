//! Random scenarios: in how many each invariant did not hold, and the costs of those in which all was well.

use std::time::Duration;

use gossip_testkit::invariant::{
    Agreement, DatagramBudget, DeliveredOnce, Invariant, NoStepBack, NobodyBuried, PendingDeadline,
};
use gossip_testkit::{Checker, Expectations, Fault, Scenario, Swarm};

use crate::foca::Foca2;
use crate::iroh::Iroh;
use crate::memberlist::Members;
use crate::ours::Ours;
use crate::plumtree::Plum;
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
    println!("{scenarios} scenarios of 3 to 8 nodes and 1 to 6 messages: in how many each did not hold\n");
    print(&[
        one::<Ours>(scenarios),
        one::<Foca2>(scenarios),
        one::<Members>(scenarios),
        one::<Iroh>(scenarios),
        one::<Plum>(scenarios),
    ]);
}

/// Prints columns side by side, as Markdown. The first column gives the names of the rows.
pub fn print(columns: &[Column]) {
    let heads: Vec<_> = columns.iter().map(|column| column.head).collect();
    println!("| | {} |\n|---|{}", heads.join(" | "), "---|".repeat(columns.len()));
    for (row, (name, _)) in columns[0].rows.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|column| column.rows[row].1.as_str()).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

/// One protocol's results, a name and a cell for each row.
pub struct Column {
    pub head: &'static str,
    pub rows: Vec<(&'static str, String)>,
}

/// Sums over the scenarios in which an invariant held.
#[derive(Default)]
struct Costs {
    failed: u64,
    periods: Vec<u64>,
    bytes: u64,
    node_seconds: f64,
    processor: Duration,
}

fn one<P: Peer>(scenarios: u64) -> Column {
    let count = |costs: &Costs| costs.failed.to_string();
    let agreement = held::<P, _>(scenarios, |_| Agreement::default());
    let mut rows = vec![
        ("every message is everywhere, the members are right", count(&agreement)),
        (
            "a datagram over the budget",
            count(&held::<P, _>(scenarios, |limits| DatagramBudget::new(limits.max_datagram))),
        ),
        ("no deadline, or one that stays past", count(&held::<P, _>(scenarios, |_| PendingDeadline::default()))),
        ("a message that is taken back", count(&held::<P, _>(scenarios, |_| NoStepBack::default()))),
        ("a message delivered twice", count(&held::<P, _>(scenarios, |_| DeliveredOnce::default()))),
    ];
    let buried =
        if P::DETECTS { count(&held::<P, _>(scenarios, |_| NobodyBuried::default())) } else { "–".to_owned() };
    rows.push(("a live member dead in the end", buried));
    let Costs { mut periods, bytes, node_seconds, processor, .. } = agreement;
    periods.sort_unstable();
    let of = |share: usize| periods.get((periods.len() * share / 100).min(periods.len().saturating_sub(1))).copied();
    rows.push(("all agree after the last fault, median (s)", of(50).map_or("–".to_owned(), |n| n.to_string())));
    rows.push(("the same, the slowest (s)", of(100).map_or("–".to_owned(), |n| n.to_string())));
    rows.push(("bytes per node and second", format!("{:.0}", bytes as f64 / node_seconds)));
    let micros = processor.as_secs_f64() * 1e6 / node_seconds;
    rows.push(("processor per node and second, simulator included (µs)", format!("{micros:.1}")));
    Column { head: P::NAME, rows }
}

/// Runs the scenarios with one invariant.
fn held<P: Peer, I: Invariant<P> + 'static>(
    scenarios: u64,
    make: impl Fn(&Expectations) -> I + Copy + 'static,
) -> Costs {
    let mut costs = Costs::default();
    for number in 0..scenarios {
        let checker = Checker::<P>::new(P::Config::default()).without_invariants().invariant(make);
        let mut scenario: Scenario<Say> = swarm().scenario(number);
        forget(&mut scenario);
        let before = spent();
        match checker.run(&scenario) {
            Ok(report) => {
                costs.processor += spent().saturating_sub(before);
                costs.periods.push(report.periods);
                costs.bytes += report.counters.bytes;
                costs.node_seconds += report.simulated.as_secs_f64() * scenario.nodes.len() as f64;
            }
            Err(_) => costs.failed += 1,
        }
    }
    costs
}

/// Processes restart without memory: not all of them have anything to keep.
fn forget(scenario: &mut Scenario<Say>) {
    for fault in &mut scenario.plan.faults {
        if let Fault::Crash { restart: Some(restart), .. } = fault {
            restart.memory = false;
        }
    }
}
