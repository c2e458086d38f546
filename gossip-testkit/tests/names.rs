//! Ever new names, written to expire or to be deleted: what is held is what lives, and certificates up to their own bound.

mod common;

use std::time::Duration;

use common::settled_with;
use gossip_core::{Config, Input, Instant, Node, NodeId, PutOptions};
use gossip_testkit::{Addr, Command};

const SECOND: Duration = Duration::from_secs(1);
const START: Instant = Instant::from_secs(1_700_000_000);

/// A node with nobody else, and its time.
struct Alone {
    node: Node<Addr>,
    now: Instant,
}

impl Alone {
    fn new(entries: usize, certificates: usize) -> Self {
        let mut config = Config::lan();
        (config.limits.entries, config.limits.certificates, config.limits.share) = (entries, certificates, 100);
        let mut node = Node::new(NodeId::new(1), Addr(0), config, 1).expect("a sound configuration");
        node.join(START, []);
        Self { node, now: START }
    }

    /// Lets time pass and does what is due.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let mut buffer = [0; 1_200];
        while self.node.poll_timeout().is_some_and(|at| at <= self.now) {
            self.node.handle(self.now, Input::Tick).expect("a tick has nothing to refuse");
            while self.node.poll_transmit(&mut buffer).is_some() {}
        }
        while self.node.poll_event().is_some() {}
    }

    fn put(&mut self, name: &str, lives: Option<Duration>) {
        let mut options = PutOptions::default();
        if let Some(lives) = lives {
            options = options.time_to_live(lives);
        }
        let written = self.node.put_with(self.now, name, b"value", options);
        assert!(written.is_ok(), "{name} is refused {:?} after the start: {written:?}", self.now.since(START));
    }

    fn stored(&self) -> usize {
        self.node.updates(Instant::ORIGIN).count()
    }
}

/// 100 names a second, each of which lives for 30 s.
fn lease(seconds: u32) -> Alone {
    // A lease is forgotten when it has been past for a quarter of an hour, at the latest after two.
    let mut alone = Alone::new(100 * 1_900, 1_000);
    for n in 0..seconds * 100 {
        alone.put(&format!("lease-{n}"), Some(30 * SECOND));
        alone.pass(SECOND / 100);
        if n == seconds * 100 - 1 || n % 360_000 == 0 {
            assert!(alone.node.entries("").count() <= 3_000);
        }
    }
    alone
}

/// 100 names a second, each of which is written once and deleted.
fn delete(seconds: u32) -> Alone {
    let mut alone = Alone::new(1_000, 10_000);
    for n in 0..seconds * 100 {
        let name = format!("name-{n}");
        alone.put(&name, None);
        alone.pass(SECOND / 200);
        alone.node.delete(alone.now, &name).expect("a deletion is never refused");
        alone.pass(SECOND / 200);
    }
    assert!(alone.node.entries("").count() == 0);
    let held = alone.stored();
    assert!((9_900..=10_001).contains(&held), "{held} held");
    alone
}

fn days() -> u32 {
    std::env::var("GOSSIP_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(10)
}

#[test]
fn leases_under_ever_new_names_leave_nothing() {
    let mut alone = lease(2_400);
    for _ in 0..60 {
        alone.pass(60 * SECOND);
    }
    // Its own record.
    assert_eq!((alone.stored(), alone.node.stats().certificates_pushed_out), (1, 0));
}

#[test]
fn names_that_are_written_once_and_deleted_are_held_up_to_the_bound_on_certificates() {
    let alone = delete(300);
    assert!(alone.node.stats().certificates_pushed_out >= 10_000);
}

#[test]
#[ignore = "minutes a day: run it with optimisation and GOSSIP_DAYS"]
fn for_days_no_new_name_is_refused() {
    lease(days() * 86_400);
    delete(days() * 86_400);
}

// A bound on certificates costs no agreement: also where one node's is smaller, and a newcomer has none of them.
#[test]
fn nodes_with_certificates_over_their_bounds_agree_and_are_at_rest() {
    let mut config = Config::lan();
    (config.limits.entries, config.limits.certificates) = (200, 100);
    let mut cluster = settled_with(3, config, 1);
    for n in 0..600_u32 {
        let name = format!("name-{n}");
        cluster.command(n % 3, &Command::put(&name, "value")).expect("no new name is refused");
        cluster.run_for(SECOND / 4);
        cluster.command((n + 1) % 3, &Command::delete(&name)).expect("a deletion is never refused");
        cluster.run_for(SECOND / 4);
    }
    cluster.restart(2, false);
    cluster.command(0, &Command::put("lasting", "value")).expect("no new name is refused");
    cluster.run_for(60 * SECOND);
    for (_, node) in cluster.live() {
        assert_eq!(node.entries("").map(|(name, _)| name).collect::<Vec<_>>(), ["lasting"]);
        assert!(node.updates(Instant::ORIGIN).count() <= 100 + 1 + 3);
    }
    let exchanged = |cluster: &gossip_testkit::Cluster| -> u64 {
        cluster.live().map(|(_, node)| node.stats().updates_known + node.stats().updates_new).sum()
    };
    let before = exchanged(&cluster);
    cluster.run_for(120 * SECOND);
    let again = exchanged(&cluster) - before;
    assert!(again <= 30, "{again} updates came though nothing was written");
}
