//! State first, then what changes; waits that end in time; transports that the application keeps a hold of.

mod common;

use std::sync::Arc;

use common::gossip::gossip_core::{Config, Status};
use common::gossip::{Memory, Network, Stopped, Transport, WaitError, over};
use common::{millis, node, pair, run, runtime, within};
use futures_util::StreamExt;

#[test]
fn the_list_of_members_is_always_the_newest() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let mut lists = first.watch_members();
        assert_eq!(lists.next().await.unwrap().len(), 1, "the present one at once");
        assert!(within(millis(100), lists.next()).await.is_none(), "nothing has changed");
        let second = node(&network, 2).await;
        let list = lists.next().await.unwrap();
        assert_eq!(list, first.members());
        // A reader that sleeps misses lists, and not the newest.
        let _third = node(&network, 3).await;
        first.wait_members(3).await.unwrap();
        second.leave(millis(20_000)).await.unwrap();
        common::sees(&first, 2, Status::Left).await;
        runtime::sleep(millis(50)).await;
        let list = StreamExt::next(&mut lists).await.unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list, first.members());
        first.stop();
        while lists.next().await.is_some() {}
    });
}

#[test]
fn a_subscription_tells_what_is_there_and_then_every_change() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        for (name, value) in [("config/a", "1"), ("config/b", "2"), ("other", "3")] {
            first.put(name, value).unwrap();
        }
        second.wait_until(|node| node.entries("").len() == 3).await.unwrap();
        // Events that are not yet published are about what is there already.
        let mut entries = second.subscribe("config/");
        assert_eq!(entries.remaining(), 2);
        let mut next = async || {
            let entry = entries.next().await.unwrap();
            (entry.name.to_string(), entry.value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
        };
        let told = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(next().await, told("config/a", Some("1")));
        assert_eq!(next().await, told("config/b", Some("2")));
        first.put("other", "4").unwrap();
        first.put(String::from("config/b"), "5").unwrap();
        assert_eq!(next().await, told("config/b", Some("5")));
        first.delete("config/a").unwrap();
        assert_eq!(next().await, told("config/a", None));
        assert_eq!(entries.remaining(), 0);
        assert!(format!("{:?}", second.subscribe("other").next().await).contains("\"4\""), "text as text");
        second.stop();
        assert!(entries.next().await.is_none());
    });
}

#[test]
fn a_subscriber_that_sleeps_misses_no_entry() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let builder = over(network.attach(2).unwrap(), 2).config(Config::local()).events(4);
        let slow = builder.join([1]).spawn().await.unwrap();
        first.put("key/gone", "x").unwrap();
        slow.wait_for("key/gone").await.unwrap();
        let mut entries = slow.subscribe("key/");
        assert_eq!(entries.next().await.unwrap().name, "key/gone");
        first.delete("key/gone").unwrap();
        for number in 0..50 {
            first.put(format!("key/{number}"), "value").unwrap();
        }
        slow.wait_until(|node| node.entries("key/").len() == 50).await.unwrap();
        slow.wait_until(|node| node.stats().driver.events_dropped > 0).await.unwrap();
        let mut seen = std::collections::BTreeMap::new();
        while seen.len() < 51 {
            let entry = within(millis(5_000), entries.next()).await.expect("all of them").unwrap();
            seen.insert(entry.name.to_string(), entry.value);
        }
        assert_eq!(seen["key/gone"], None);
    });
}

#[test]
fn a_wait_ends_at_its_limit() {
    run(|| async {
        let first = node(&Network::default(), 1).await;
        let limited = first.within(millis(50));
        assert_eq!(limited.wait_for("never").await, Err(WaitError::TimedOut(millis(50))));
        assert_eq!(limited.wait_members(2).await, Err(WaitError::TimedOut(millis(50))));
        assert_eq!(limited.wait_members(1).await, Ok(()));
        first.put("x", "1").unwrap();
        assert_eq!(limited.wait_for("x").await.as_deref(), Ok(&b"1"[..]));
        first.stop();
        let waited = first.within(millis(5_000)).wait_until(|_| false).await;
        assert_eq!(waited, Err(WaitError::Stopped(Stopped)));
        assert_eq!(WaitError::TimedOut(millis(50)).to_string(), "it did not come within 50ms");
    });
}

#[test]
fn a_transport_may_be_shared_or_boxed() {
    run(|| async {
        let network = Network::default();
        let held: Arc<Memory> = Arc::new(network.attach(1).unwrap());
        let first = over(Arc::clone(&held), 1).config(Config::local()).spawn().await.unwrap();
        let boxed = Box::new(network.attach(2).unwrap());
        let second = over(boxed, 2).config(Config::local()).join([1]).spawn().await.unwrap();
        first.wait_members(2).await.unwrap();
        second.wait_members(2).await.unwrap();
        assert_eq!(held.max_datagram(), network.attach(3).unwrap().max_datagram());
    });
}
