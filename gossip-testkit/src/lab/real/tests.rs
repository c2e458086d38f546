use super::*;
use crate::address::Addr;
use gossip_core::{Instant, Relay};

const SECOND: Duration = Duration::from_secs(1);

fn advise() -> Advise {
    let (config, latency) = (Config::lan(), Latency::default());
    Advise { nodes: 10, config, latency, loss: 0.0, reach: 0.99, within: SECOND }
}

fn idle(nodes: u32, keys: u32) -> Idle {
    Idle { nodes, keys, time: 5 * SECOND, config: Config::lan(), latency: Latency::default() }
}

#[test]
fn a_log_lived_through_again_is_the_same_node() {
    let setting = Setting { logged: [Addr(3)].into(), ..Setting::default() };
    let mut cluster = Cluster::<Observed>::builder(6, setting).seed(2).build();
    cluster.run_for(5 * SECOND);
    cluster.command(3, &crate::Command::put("a", "b")).unwrap();
    cluster.run_for(5 * SECOND);
    let log = cluster.with(3, |node, _| node.take_log()).unwrap();
    let mut replay = log.replay();
    replay.run_until(Instant::MAX);
    let (again, before) = (replay.into_node(), cluster.node(3).node());
    assert_eq!(again.stats(), before.stats());
    assert!(before.stats().datagrams_received > 10);
    assert_eq!(again.get("a"), before.get("a"));
}

#[test]
fn bodies_are_found_wherever_they_stand() {
    let value = observed::marked(7, 40);
    assert_eq!(value.len(), 40);
    let twice = [b"\x01\x01ma", value.as_bytes(), b"\x01", value.as_bytes()].concat();
    assert_eq!([observed::bodies(&twice), observed::bodies(b"\x01mark"), observed::bodies(b"")], [2, 0, 0]);
}

#[test]
fn a_cluster_at_rest_holds_its_keys_and_sends_little() {
    let rest = idle(8, 50).run(1, &|| ()).unwrap();
    assert_eq!(rest.logs.len(), 4);
    for log in &rest.logs {
        let mut replay = log.replay();
        replay.run_until(rest.to);
        let node = replay.into_node();
        assert_eq!((node.live_members(), node.entries("key-").count()), (8, 50));
    }
    assert!((20.0..400.0).contains(&rest.usage.bytes_per_node_second()), "{:?}", rest.usage);
    assert!((38..512).contains(&rest.largest));
    assert!(rest.usage.largest_ever > 512, "whoever joined was sent the entries: {:?}", rest.usage);
}

#[test]
fn nodes_that_need_not_tell_each_other_who_they_are_are_at_rest_as_others_are() {
    // By random peers: along links joining costs no more than this.
    let mut config = Config::default();
    config.rumor.relay = Relay::Random;
    let setting = || Setting { logged: [Addr(7)].into(), ..Setting::new(config.clone()) };
    // Of fewer nodes the coordinates on the first pings are a large part of both.
    let mut joined = Cluster::<Observed>::builder(80, setting()).seed(1).build();
    until_rest(&mut joined, &|| ()).unwrap();
    let mut introduced = Cluster::<Observed>::builder(80, setting()).seed(1).build();
    introduce::introduce(&mut introduced, |cluster| cluster.run_for(SECOND / 10), &|| ()).unwrap();
    let knows = |(_, node): (_, &Observed)| node.node().live_members() >= 79;
    assert!(introduced.live().all(knows), "all know all but the first");
    until_rest(&mut introduced, &|| ()).unwrap();
    let [bytes, of_joining] = [&introduced, &joined].map(|cluster| cluster.counters().bytes);
    assert!(introduced.sees_all() && bytes < of_joining * 2 / 3, "{bytes} bytes, {of_joining} by joining");
    // Whoever has been restarted with all others looks for a witness of its absence, for an hour.
    introduced.run_for(3_700 * SECOND);
    let [one, other] = [&mut joined, &mut introduced].map(|cluster| {
        cluster.run_for(30 * SECOND);
        cluster.measure(30 * SECOND).bytes_per_node_second()
    });
    assert!((one - other).abs() < one / 20.0, "{one} {other}");

    let log = introduced.with(7, |node, _| node.take_log()).unwrap();
    let mut replay = log.replay();
    replay.run_until(Instant::MAX);
    assert_eq!(replay.into_node().stats(), introduced.node(7).node().stats());
}

#[test]
fn two_replicas_are_made_equal_at_a_price_that_follows_the_difference() {
    let run =
        |items, difference, loss| Reconcile { items, difference, loss, config: Config::lan() }.run(3, &|| ()).unwrap();
    let none = run(500, 0, 0.0);
    assert!(none.equal && none.update_bytes == 0 && none.datagrams <= 2, "{none:?}");
    let few = run(500, 9, 0.0);
    assert!(few.equal && few.round_trips >= 1 && few.update_bytes >= 9 * 32, "{few:?}");
    let many = run(500, 200, 0.0);
    assert!(many.equal && many.identification_bytes > 2 * few.identification_bytes, "{many:?}");
    assert!(many.update_bytes > 10 * few.update_bytes && many.datagrams > few.datagrams);
    assert_ne!(run(500, 200, 0.3), many);
}

#[test]
fn a_crash_is_seen_by_all_and_nobody_else_is_accused() {
    let detect = Detect {
        nodes: 12,
        config: Config::lan(),
        latency: Latency::default(),
        loss: 0.0,
        kill: 2,
        pause: 0.0,
        time: 60 * SECOND,
    };
    let seen = detect.run(1, &|| ()).unwrap();
    assert_eq!((seen.seen.len(), seen.witnesses), (2, 10));
    assert!(seen.first().unwrap() >= SECOND && seen.first() <= seen.all(), "{seen:?}");
    assert!(seen.all().unwrap() < 40 * SECOND);
    assert_eq!((seen.false_suspicions, seen.false_deaths), (0, 0));
    let nobody = Detect { kill: 0, ..detect }.run(1, &|| ()).unwrap();
    assert_eq!((nobody.first(), nobody.all()), (None, None));
}

#[test]
fn a_course_is_the_median_of_its_puts() {
    let spread = Spread { nodes: 20, config: Config::lan(), latency: Latency::default(), loss: 0.0 };
    let course = spread.run(1, &|| ()).unwrap();
    let [half, all] = [0.5, 1.0].map(|share| course.share(share).unwrap());
    assert!(Duration::ZERO < half && half < all && all < SECOND, "{half:?} {all:?}");
    assert!((1.0..20.0).contains(&course.copies_per_node), "{course:?}");
    let curve = course.curve();
    assert_eq!((curve.len(), curve.last().unwrap().1), (200, 1.0));
    assert!(curve.is_sorted());
}

// Where nobody was asked again for what got lost on its way before an interval was over, most puts had to wait for
// anti-entropy: 4 seconds.
#[test]
fn rumors_reach_all_of_a_hundred_at_30_per_cent_loss() {
    let spread = Spread { nodes: 100, config: Config::lan(), latency: Latency::default(), loss: 0.3 };
    let all = spread.run(1, &|| ()).unwrap().share(1.0).unwrap();
    assert!(all < SECOND, "{all:?}");
}

// Of so many who lose so much somebody suspects somebody all the time, and all see all nevertheless.
#[test]
fn a_join_ends_although_suspicions_do_not() {
    let join = Join { nodes: 150, config: Config::lan(), latency: Latency::default(), loss: 0.3 };
    let joined = join.run(1, &|| ()).unwrap();
    assert!((SECOND..30 * SECOND).contains(&joined.time), "{joined:?}");
}

#[test]
fn a_join_that_cannot_end_is_given_up() {
    let mut config = Config::lan();
    config.limits.members = 2;
    let join = Join { nodes: 4, config, latency: Latency::default(), loss: 0.0 };
    let Err(Unfinished::Unsettled(error)) = join.run(1, &|| ()) else { panic!("who may know two does not see four") };
    assert_eq!((error.nodes, error.after), (4, PATIENCE), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_with_its_bound() {
    fn refused<T>(result: Result<T, Unfinished>) -> String {
        match result {
            Err(Unfinished::Impossible(impossible)) => impossible.to_string(),
            other => panic!("{:?}", other.map(drop)),
        }
    }
    let lan = || (Config::lan(), Latency::default());
    let join = |nodes, loss| Join { nodes, config: lan().0, latency: lan().1, loss }.run(1, &|| ());
    let spread = |nodes, config| Spread { nodes, config, latency: lan().1, loss: 0.0 }.run(1, &|| ());
    let detect = |nodes, kill, pause| {
        Detect { nodes, config: lan().0, latency: lan().1, loss: 0.0, kill, pause, time: SECOND }.run(1, &|| ())
    };
    let reconcile = |items, difference| Reconcile { items, difference, loss: 0.0, config: lan().0 }.run(1, &|| ());
    let mut mute = Config::lan();
    mute.rumor.fanout = 0;
    let refusals = [
        (refused(idle(1, 0).run(1, &|| ())), "nodes must be from 2 to 100000"),
        (refused(idle(3, 4_000_001).run(1, &|| ())), "keys must be from 0 to 4000000"),
        (refused(Idle { time: Duration::ZERO, ..idle(3, 0) }.run(1, &|| ())), "time must be more than none"),
        (refused(join(100_001, 0.0)), "nodes must be from 2 to 100000"),
        (refused(join(3, f64::NAN)), "loss must be from 0 to 0.9"),
        (refused(spread(0, Config::lan())), "nodes must be from 2 to 100000"),
        (refused(spread(3, mute)), "config must be one: "),
        (refused(detect(0, 0, 0.0)), "nodes must be from 2 to 100000"),
        (refused(detect(9, 5, 0.0)), "kill must be from 0 to 4"),
        (refused(detect(10, 5, 0.9)), "pause must be from 0 to 0.4: "),
        (refused(detect(3, 1, 0.334)), "pause must be from 0 to 0.333: "),
        (refused(detect(3, 1, -0.1)), "pause must be from 0 to 0.333: "),
        (refused(reconcile(5, 11)), "difference must be from 0 to 10: "),
        (refused(reconcile(u32::MAX, 9)), "items must be from 0 to 3999996: "),
        (refused(Advise { nodes: 1, ..advise() }.run(1, &|| ())), "nodes must be from 2 to 100000"),
        (refused(Advise { reach: 1.0, ..advise() }.run(1, &|| ())), "reach must be from 0.5 to 0.99999"),
    ];
    for (refusal, bound) in refusals {
        assert!(refusal.starts_with(bound), "{refusal}");
    }
}

#[test]
fn what_is_said_to_be_possible_is() {
    let bounds = (2..200).flat_map(|nodes| (0..=nodes / 2).map(move |kill| (nodes, kill)));
    for (nodes, kill) in bounds {
        let detect = |pause| {
            let (config, latency) = (Config::lan(), Latency::default());
            Detect { nodes, config, latency, loss: 0.0, kill, pause, time: SECOND }
        };
        let bound = detect(1.0).check().unwrap_err().bound;
        let most = bound.strip_prefix("must be from 0 to ").and_then(|rest| rest.split(':').next()?.parse().ok());
        assert_eq!(detect(most.unwrap()).check(), Ok(()), "{nodes} {kill} {bound}");
    }
}
