//! The application's view of a node, over a network in memory.

mod common;

use std::sync::Arc;
use std::thread;

use common::gossip::gossip_core::{
    Config, ConfigError, Event, NodeId, Payload, Problem, PutOptions, Status, Tags, WriteError,
};
use common::gossip::{Events, Gossip, Lagged, LeaveError, Network, SpawnError, Stopped, over};
use common::{millis, node, pair, run, runtime, sees, within};
use futures_util::future::{join, ready};
use futures_util::{FutureExt as _, StreamExt as _};

#[test]
fn what_one_node_writes_the_other_reads() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        first.put("config/limit", b"10").unwrap();
        first.put_own("role", "primary").unwrap();
        assert_eq!(first.get("config/limit").as_deref(), Some(&b"10"[..]), "at once where it was written");
        assert_eq!(&*second.wait_for("config/limit").await.unwrap(), b"10");
        second.wait_until(|node| node.get_own(NodeId::new(1), "role").is_some()).await.unwrap();
        second.put_with("role", "replica", PutOptions::default().own()).unwrap();
        first.wait_until(|node| node.entries_named("role").len() == 2).await.unwrap();
        second.put("config/rate", b"5").unwrap();
        first.wait_for("config/rate").await.unwrap();
        let names: Vec<_> = first.entries("config/").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["config/limit", "config/rate"]);

        second.delete("config/limit").unwrap();
        first.wait_until(|node| node.get("config/limit").is_none()).await.unwrap();
        second.delete_own("role").unwrap();
        first.wait_until(|node| node.entries_named("role").len() == 1).await.unwrap();
    });
}

#[test]
fn a_share_outlives_the_process_that_wrote_it_and_the_next_one_waits_for_it() {
    run(|| async {
        let network = Network::default();
        let (first, second) = pair(&network).await;
        second.wait_shares().await.unwrap();
        second.put_share("count", b"5").unwrap();
        first.wait_until(|node| node.shares_named("count").len() == 1).await.unwrap();
        second.stop();
        second.stopped().await.unwrap();
        drop(second);
        let id = NodeId::new(2);
        assert_eq!(first.get_share(id, "count").as_deref(), Some(&b"5"[..]));
        // The next process, without memory.
        let second = node(&network, 2).await;
        let early = second.put_share("count", b"1");
        assert!(matches!(early, Err(WriteError::ShareUnknown { .. })), "{early:?}");
        second.wait_shares().await.unwrap();
        assert_eq!(second.shares_of(id), [("count".into(), Arc::from(&b"5"[..]))]);
        second.put_share("count", b"6").unwrap();
        first.wait_until(|node| node.get_share(id, "count").as_deref() == Some(b"6")).await.unwrap();
        second.delete_share("count").unwrap();
        first.wait_until(|node| node.shares_named("count").is_empty()).await.unwrap();

        // Where nobody is there to ask.
        let lonely = node(&Network::default(), 1).await;
        assert_eq!(lonely.put_share("count", b"1"), Err(WriteError::ShareUnknown { alone: true }));
        assert!(within(millis(300), lonely.wait_shares()).await.is_none(), "there may be somebody yet");
        lonely.claim_shares();
        lonely.wait_shares().await.unwrap();
        lonely.put_share("count", b"1").unwrap();
    });
}

#[test]
fn calls_need_no_async_code_around_them() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let writer = thread::spawn(move || {
            first.put("written", b"by a thread").unwrap();
            first
        });
        let first = writer.join().unwrap();
        second.wait_for("written").await.unwrap();
        assert_eq!(first.members().len(), 2);
    });
}

#[test]
fn a_broadcast_is_delivered_once_and_events_are_a_stream() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let mut broadcasts = second.events().filter_map(|event| {
            ready(match event.unwrap() {
                Event::Broadcast { id, payload } => Some((id, payload)),
                _ => None,
            })
        });
        let id = first.broadcast(b"hello").unwrap();
        assert_eq!(broadcasts.next().await.unwrap(), (id, Payload(Arc::from(&b"hello"[..]))));
        runtime::sleep(millis(300)).await;
        assert!(broadcasts.next().now_or_never().is_none(), "no second delivery");
    });
}

#[test]
fn a_reader_that_is_too_slow_is_told_and_the_protocol_goes_on() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let slow =
            over(network.attach(2).unwrap(), 2).config(Config::local()).events(4).join([1]).spawn().await.unwrap();
        slow.wait_members(2).await.unwrap();
        let mut events = slow.events();
        for number in 0..20 {
            first.put(format!("key/{number}"), b"value").unwrap();
        }
        slow.wait_until(|node| node.entries("key/").len() == 20).await.unwrap();
        first.put("last", b"value").unwrap();
        slow.wait_for("last").await.unwrap();
        slow.wait_until(|node| node.stats().driver.events_dropped > 0).await.unwrap();
        // The last event may still be on its way to the stream.
        runtime::sleep(millis(100)).await;

        let Some(Err(Lagged { missed })) = events.next().await else { panic!("the reader was not told") };
        assert_eq!(missed, slow.stats().driver.events_dropped);
        for _ in 0..4 {
            assert!(matches!(events.next().now_or_never(), Some(Some(Ok(_)))), "the newest are left");
        }
        first.put("after", b"value").unwrap();
        assert!(matches!(events.next().await, Some(Ok(_))), "and it goes on");
    });
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let mut events = second.events();
        for round in 0..20 {
            let name = format!("key/{round}");
            assert!(within(millis(round % 3), second.wait_for(&name)).await.is_none(), "nobody has written it");
            first.put(&name, b"value").unwrap();
            // Waiting a little, again and again, comes to the same as waiting.
            let value = loop {
                if let Some(value) = within(millis(1), second.wait_for(&name)).await {
                    break value;
                }
            };
            assert_eq!(&*value.unwrap(), b"value");
            while !is_entry(&mut events, &name).await {}
        }
    });
}

/// Returns true if the next event arrives soon and is about this entry.
async fn is_entry(events: &mut Events<u64>, wanted: &str) -> bool {
    match within(millis(1), events.next()).await {
        Some(event) => matches!(event.unwrap().unwrap(), Event::Entry { name, .. } if *name == *wanted),
        None => false,
    }
}

#[test]
fn the_last_handle_takes_the_task_and_the_transport_with_it() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let (clone, stopped) = (first.clone(), first.stopped());
        drop(first);
        runtime::sleep(millis(50)).await;
        clone.put("still", b"here").unwrap();
        assert!(network.attach(1).is_err(), "a handle is left");
        drop(clone);
        assert_eq!(stopped.await, Ok(()));
        network.attach(1).expect("the transport is gone when `stopped` says so");
    });
}

#[test]
fn a_stop_ends_every_wait() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let mut events = first.events();
        let other = first.clone();
        let waiting = async { (other.wait_for("never").await, other.wait_members(3).await, other.stopped().await) };
        let stopping = async {
            runtime::sleep(millis(50)).await;
            first.stop();
        };
        let (ended, ()) = join(waiting, stopping).await;
        assert_eq!(ended, (Err(Stopped), Err(Stopped), Ok(())));
        while let Some(event) = events.next().await {
            event.unwrap();
        }
        assert_eq!(first.leave(millis(1_000)).await, Err(LeaveError::Stopped(Stopped)));
        sees(&second, 1, Status::Dead).await;
    });
}

#[test]
fn leaving_is_told_to_the_others_and_can_be_taken_back() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        first.leave(millis(20_000)).await.unwrap();
        assert!(first.has_left());
        sees(&second, 1, Status::Left).await;
        assert!(matches!(first.put("late", b"value"), Err(WriteError::Left)));
        first.join([2]);
        sees(&second, 1, Status::Alive).await;
        first.put("back", b"value").unwrap();
        second.wait_for("back").await.unwrap();
    });
}

#[test]
fn leaving_without_an_answer_times_out() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        second.stop();
        second.stopped().await.unwrap();
        assert_eq!(first.leave(millis(1)).await, Err(LeaveError::TimedOut(millis(1))));
        first.wait_until(Gossip::has_left).await.unwrap();
    });
}

#[test]
fn nodes_of_another_label_are_not_heard() {
    run(|| async {
        let network = Network::default();
        let _first = node(&network, 1).await;
        let end = over(network.attach(2).unwrap(), 2).config(Config::local()).label("other").join([1]);
        let second = end.spawn().await.unwrap();
        runtime::sleep(millis(500)).await;
        assert!(second.stats().node.datagrams_sent > 0, "it did try");
        assert_eq!(second.members().len(), 1);
    });
}

#[test]
fn ids_are_random_named_or_given() {
    run(|| async {
        let network = Network::default();
        let builder = |address| over(network.attach(address).unwrap(), address);
        let (first, second) = (builder(1).spawn().await.unwrap(), builder(2).spawn().await.unwrap());
        assert_ne!(first.id(), second.id());
        assert_eq!(builder(3).name("db-1").spawn().await.unwrap().id(), NodeId::from_name("db-1"));
        assert_eq!(builder(4).id(NodeId::new(7)).spawn().await.unwrap().id(), NodeId::new(7));
    });
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_values() {
    run(|| async {
        let network = Network::default();
        let mut config = Config::local();
        config.max_datagram = 100_000;
        let error = over(network.attach(1).unwrap(), 1).config(config).spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::DatagramTooLarge { configured: 100_000, carried: 65_507 }));
        assert_eq!(error.to_string(), "max_datagram is 100000 bytes, this transport carries at most 65507");
        let mut config = Config::local();
        config.max_datagram = 100;
        let error = over(network.attach(1).unwrap(), 1).config(config).spawn().await.unwrap_err();
        let SpawnError::Config(ConfigError::OutOfBounds { field, value, .. }) = error else { panic!("{error}") };
        assert_eq!((field, &*value), ("max_datagram", "100"));
    });
}

#[test]
fn statistics_are_data() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        // A value, a message and a question, and then pings in both directions.
        first.put("name", b"value").unwrap();
        second.wait_for("name").await.unwrap();
        let _ = second.query("?").timeout(millis(200)).gather().await;
        first.send_to_acknowledged(second.id(), b"message", millis(5_000)).await.unwrap();
        while first.stats().driver.bytes_acks.min(first.stats().driver.bytes_probes) == 0 {
            runtime::sleep(millis(20)).await;
        }
        let counted = first.stats();
        let by_purpose = counted.driver;
        let parts =
            [by_purpose.bytes_acks, by_purpose.bytes_probes, by_purpose.bytes_unicasts, by_purpose.bytes_rumors];
        assert!(parts.iter().all(|bytes| *bytes > 0), "{counted:?}");
        let all = parts.iter().sum::<u64>() + by_purpose.bytes_anti_entropy + by_purpose.bytes_bulk;
        assert_eq!(all, counted.node.bytes_sent, "each datagram has one purpose");
        let stats = serde_json::to_value(first.stats()).unwrap();
        assert!(stats["node"]["datagrams_sent"].as_u64().unwrap() > 0);
        assert!(stats["driver"]["turns"].as_u64().unwrap() > 0);
        assert!(first.now().as_micros() > 1_700_000_000_000_000, "UNIX time");
        assert!(format!("{first:?}").contains("0000000000000001"));
    });
}

#[test]
fn handles_and_waits_may_move_between_threads() {
    fn check<T: Send>(value: T) -> T {
        value
    }
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    run(|| async {
        let first = node(&Network::default(), 1).await;
        shared(&first);
        check(first.events());
        check(first.wait_members(1)).await.unwrap();
        drop(check(first.leave(millis(1))));
        drop(check(first.stopped()));
    });
}

#[test]
fn name_and_tags_are_seen_by_others_and_change_while_it_runs() {
    run(|| async {
        let network = Network::default();
        let first = over(network.attach(1).unwrap(), 1).config(Config::local()).spawn().await.unwrap();
        let second = over(network.attach(2).unwrap(), 2).config(Config::local()).join([1]);
        let second = second.name("db-2").tags([("role", "db")]).spawn().await.unwrap();
        assert_eq!(second.id(), NodeId::from_name("db-2"));
        first.wait_members(2).await.unwrap();
        let seen = first.member(second.id()).unwrap();
        assert_eq!((seen.name(), seen.tags().get("role")), (Some("db-2"), Some("db")));
        second.set_tags(Tags::of([("role", "cache")]).unwrap()).unwrap();
        first.wait_until(|first| first.members_with("role", "cache").len() == 1).await.unwrap();
        assert!(first.members_with("role", "db").is_empty() && first.health().is_empty());
        let refused = over(network.attach(3).unwrap(), 3).name("a\nb").spawn().await.unwrap_err();
        assert_eq!(refused.to_string(), "\"a\\nb\" has a control character");
    });
}

/// Two clusters of two nodes each on one network, with these labels, where an address of the first is given to a new member
/// of the second.
async fn reused_address(labels: [&str; 2]) -> [Vec<Gossip<u64>>; 2] {
    let network = Network::default();
    let start = async |id: u64, address: u64, seed: u64, label: &str| {
        let builder = over(network.attach(address).unwrap(), address).id(NodeId::new(id)).config(Config::local());
        builder.label(label).join((address != seed).then_some(seed)).spawn().await.unwrap()
    };
    let mut clusters = [Vec::new(), Vec::new()];
    for (at, cluster) in clusters.iter_mut().enumerate() {
        let seed = 10 + 10 * at as u64;
        for address in seed..seed + 3 {
            cluster.push(start(address, address, seed, labels[at]).await);
        }
        for node in &*cluster {
            node.wait_members(3).await.unwrap();
        }
    }
    let gone = clusters[0].pop().unwrap();
    gone.stop();
    gone.stopped().await.unwrap();
    drop(gone);
    sees(&clusters[0][0], 12, Status::Dead).await;
    clusters[1].push(start(23, 12, 20, labels[1]).await);
    for node in &clusters[1] {
        node.wait_members(4).await.unwrap();
    }
    clusters
}

#[test]
fn two_clusters_without_a_label_are_one_when_an_address_is_used_again() {
    run(|| async {
        let [first, second] = reused_address(["", ""]).await;
        // Whoever is dead is looked for at its address, and the one who answers there knows others.
        for node in first.iter().chain(&second) {
            node.wait_members(6).await.unwrap();
        }
        first[0].put("name", b"of the first").unwrap();
        second[0].wait_for("name").await.unwrap();
    });
}

#[test]
fn a_label_keeps_clusters_apart_when_an_address_is_used_again_and_that_is_told() {
    run(|| async {
        for labels in [["first", "second"], ["", "second"]] {
            let [first, second] = reused_address(labels).await;
            first[0].put("name", b"of the first").unwrap();
            let mut alerts = Vec::new();
            // The member at the address of the dead one hears the first cluster look for it.
            let told = |node: &Gossip<u64>| {
                alerts = node.health();
                alerts.iter().any(|alert| matches!(alert.problem, Problem::ForeignCluster { address: 10 | 11 }))
            };
            second[3].wait_until(told).await.unwrap();
            // Longer than clusters without labels took to become one.
            runtime::sleep(millis(5_000)).await;
            for (cluster, own) in [(&first, 10..20), (&second, 20..30)] {
                for node in cluster {
                    let ids: Vec<_> = node.members().iter().map(|member| member.id.get()).collect();
                    assert!(ids.iter().all(|id| own.contains(id)), "{labels:?}: {ids:?}");
                }
            }
            assert_eq!(second.iter().filter_map(|node| node.get("name")).count(), 0);
        }
    });
}
