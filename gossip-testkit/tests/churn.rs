//! Ids that live for a minute, such as pods and jobs: what they cost those that stay, and one another.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use common::settled_with;
use gossip_core::{Config, Relay, Status};
use gossip_testkit::{Addr, Cluster, id_of};

/// Nodes that stay.
const STEADY: u32 = 20;
/// Time between two newcomers: 10,000 in a day.
const EVERY: Duration = Duration::from_micros(8_640_000);
/// Newcomers that are there at one time: each lives for about a minute.
const LIVING: usize = 7;
/// Time within which a newcomer is visible at all that stay.
const VISIBLE: Duration = Duration::from_secs(2);

/// Costs of a time with newcomers.
#[derive(Debug)]
struct Costs {
    newcomers: u32,
    /// Newcomers that one that stays did not see in time.
    late: u32,
    /// Most bytes that a newcomer received until the next one came.
    fetched: u64,
    /// Most records that a node held.
    records: usize,
    /// Bytes that one that stays has sent in a second of the last quarter.
    bytes_per_second: f64,
}

/// Datagrams and bytes that those that stay send, by class and whether to a newcomer.
type ByClass = BTreeMap<(&'static str, bool), (u64, u64)>;

fn sees(cluster: &Cluster, newcomer: Addr) -> bool {
    let alive = |at| cluster.node(at).member(id_of(newcomer)).is_some_and(|member| member.status == Status::Alive);
    (0..STEADY).all(alive)
}

fn churn(hours: u32, config: Config, seed: u64) -> Costs {
    let mut cluster = settled_with(STEADY, config, seed);
    let mut living = VecDeque::new();
    let mut leaving = None;
    let newcomers = hours * 3_600_000 / 8_640;
    let mut costs = Costs { newcomers, late: 0, fetched: 0, records: 0, bytes_per_second: 0.0 };
    let sent = |cluster: &Cluster| (0..STEADY).map(|node| cluster.traffic(node).bytes_sent).sum::<u64>();
    let mut before = (0, cluster.now());
    let by_class: Rc<RefCell<ByClass>> = Rc::default();
    // What the latest newcomer is sent, and what the one was that fetched most.
    let to_latest: Rc<RefCell<BTreeMap<&'static str, (u64, u64)>>> = Rc::default();
    let mut to_worst = (BTreeMap::new(), 0, 0);
    let (sums, latest) = (by_class.clone(), to_latest.clone());
    let newest = Rc::new(Cell::new(u32::MAX));
    let to = newest.clone();
    cluster.tap(move |datagram| {
        let bytes = datagram.payload.len() as u64;
        if datagram.from.0 < STEADY {
            let mut sums = sums.borrow_mut();
            let sum = sums.entry((datagram.label, datagram.to.0 >= STEADY)).or_default();
            *sum = (sum.0 + 1, sum.1 + bytes);
        }
        if datagram.to.0 == to.get() {
            let mut latest = latest.borrow_mut();
            let sum = latest.entry(datagram.label).or_default();
            *sum = (sum.0 + 1, sum.1 + bytes);
        }
    });
    for number in 0..newcomers {
        if number == newcomers * 3 / 4 {
            before = (sent(&cluster), cluster.now());
            by_class.borrow_mut().clear();
        }
        if let Some(left) = leaving.take() {
            cluster.crash(left);
        }
        to_latest.borrow_mut().clear();
        // Numbers are given in order.
        newest.set(STEADY + number);
        let newcomer = cluster.add();
        assert_eq!(newcomer.0, newest.get());
        living.push_back(newcomer);
        cluster.run_for(VISIBLE);
        costs.late += u32::from(!sees(&cluster, newcomer));
        cluster.run_for(EVERY - VISIBLE);
        let fetched = cluster.traffic(newcomer.0).bytes_received;
        if fetched > costs.fetched {
            costs.fetched = fetched;
            to_worst.0 = to_latest.borrow().clone();
            let stats = cluster.node(newcomer.0).stats();
            (to_worst.1, to_worst.2) = (stats.updates_new, stats.updates_known);
        }
        costs.records = costs.records.max(cluster.node(0).members().count());
        if living.len() == LIVING
            && let Some(Addr(gone)) = living.pop_front()
        {
            // Half of them say so.
            if number % 2 == 0 {
                cluster.with(gone, |node, now| node.leave(now));
                leaving = Some(gone);
            } else {
                cluster.crash(gone);
            }
        }
    }
    let (bytes, from) = before;
    costs.bytes_per_second =
        (sent(&cluster) - bytes) as f64 / cluster.now().since(from).as_secs_f64() / f64::from(STEADY);
    for ((class, to_newcomer), (datagrams, bytes)) in &*by_class.borrow() {
        let per_second = *bytes as f64 / cluster.now().since(from).as_secs_f64() / f64::from(STEADY);
        println!(
            "{class} to {}: {datagrams} datagrams, {per_second:.1} B/s",
            if *to_newcomer { "newcomers" } else { "the others" }
        );
    }
    let (by_class, new, known) = to_worst;
    println!(
        "{costs:?}\nto the newcomer that fetched most, datagrams and bytes: {by_class:?}; {new} updates, {known} again"
    );
    costs
}

/// `most`: bytes that one that stays sends in a second.
fn assert_cheap(costs: &Costs, most: f64) {
    assert!(costs.newcomers >= 400 && costs.late == 0, "{costs:?}");
    assert!(costs.fetched <= 30_000 && costs.bytes_per_second <= most, "{costs:?}");
}

fn along(relay: Relay) -> Config {
    let mut config = Config::lan();
    config.rumor.relay = relay;
    config
}

#[test]
fn two_hours_of_ids_that_live_for_a_minute_leave_nothing_behind() {
    assert_cheap(&churn(2, along(Relay::Tree), 1), 300.0);
}

// Each change of a member is offered to eight in vain by everybody: two thirds of the bytes.
#[test]
fn an_hour_of_them_costs_twice_as_much_by_random_peers() {
    assert_cheap(&churn(1, along(Relay::Random), 1), 600.0);
}

#[test]
#[ignore = "ten thousand ids a day, some minutes"]
fn two_days_of_ids_that_live_for_a_minute_leave_nothing_behind() {
    assert_cheap(&churn(48, along(Relay::Tree), 1), 300.0);
}

// Records of the dead took the room of the living: newcomers were invisible for a day.
#[test]
fn where_the_dead_fill_all_room_newcomers_are_visible_all_the_same() {
    let mut config = along(Relay::Tree);
    config.limits.members = 60;
    let costs = churn(1, config, 2);
    assert_eq!((costs.late, costs.records), (0, 60), "{costs:?}");
    assert!(costs.bytes_per_second <= 300.0, "{costs:?}");
}
