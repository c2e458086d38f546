//! Allocations of a node on its most frequent paths.

mod common;

use std::time::Duration;

use allocation_counter::measure;
use common::Scene;
use gossip_core::{Input, Node};

#[test]
fn a_ping_is_answered_without_any_allocation() {
    let mut scene = Scene::new(100, 0);
    let ping = scene.ping();
    let answer = |scene: &mut Scene| {
        scene.hear(&ping);
        scene.drain()
    };
    answer(&mut scene);
    let mut bytes = 0;
    let info = measure(|| bytes = (0..100).map(|_| answer(&mut scene)).sum());
    assert_eq!(bytes, 100 * 16, "a bare ack is sent for each");
    assert_eq!(info.count_total, 0);
}

#[test]
fn nothing_is_allocated_where_time_passes_and_nothing_is_due() {
    let mut scene = Scene::new(100, 0);
    let info = measure(|| {
        scene.tick();
        scene.drain();
    });
    assert_eq!(info.count_total, 0);
}

/// Half of a hundred updates are known: those cost only the allocations of reading them.
#[test]
fn an_update_costs_its_value_and_its_share_of_the_indexes() {
    let mut scene = Scene::new(100, 100);
    // Until all names have been written once and no table grows any more.
    for _ in 0..100 {
        let datagram = scene.news(100);
        scene.hear(&datagram);
    }
    let (mut count, mut news) = (0, 0);
    for _ in 0..20 {
        let datagram = scene.news(100);
        let before = scene.node.stats();
        count += measure(|| scene.hear(&datagram)).count_total;
        let after = scene.node.stats();
        news += after.updates_new - before.updates_new;
        assert!(after.updates_known - before.updates_known >= 40, "half of them are known");
    }
    assert!(news >= 20 * 50, "{news}");
    // One for each update that is read, known or new: its value. The rest is the share of new ones in the nodes of
    // trees and in events that wait.
    let beyond = count as f64 / news as f64 - 2.0;
    assert!(beyond <= 0.75, "{beyond:.2} allocations for each that is new");
}

/// A record holds nothing on the heap: its cost is its share of tables that grow.
#[test]
fn a_member_costs_less_than_one_allocation() {
    let mut scene = Scene::new(1_000, 0);
    let members = scene.node.members().count();
    let datagrams = common::strangers(2_000, 200);
    let info = measure(|| datagrams.iter().for_each(|datagram| scene.hear(datagram)));
    let news = scene.node.members().count() - members;
    assert_eq!(news, 200, "all of them");
    let each = info.count_total as f64 / news as f64;
    assert!(each <= 1.0, "{each:.2} allocations for each");
}

/// Counts memory held, not the number of allocations. (`gossip-sim idle` measures the memory of a member.)
#[test]
fn an_entry_and_a_hot_rumor_hold_so_many_bytes() {
    const ENTRIES: usize = 4_000;
    let (mut node, mut now) = common::unanswered();
    let names: Vec<String> = (0..ENTRIES).map(|number| format!("name-{number}")).collect();
    let mut buffer = vec![0; 65_536];
    let mut told = |node: &mut Node<u32>| {
        while node.poll_transmit(&mut buffer).is_some() {}
        while node.poll_event().is_some() {}
    };
    told(&mut node);
    let written = measure(|| {
        for name in &names {
            node.put(now, name, &[7; 32]).expect("there is room");
            while node.poll_event().is_some() {}
        }
    });
    assert_eq!(node.hot_rumors(), ENTRIES + 1, "all of them, and that it lives");
    let cooled = measure(|| {
        while node.hot_rumors() > 0 {
            now += Duration::from_millis(50);
            node.handle(now, Input::Tick).expect("a tick has nothing to refuse");
            told(&mut node);
        }
    });
    let each = |bytes: i64| bytes as f64 / ENTRIES as f64;
    let (entry, rumor) = (each(written.bytes_current + cooled.bytes_current), each(-cooled.bytes_current));
    println!("an entry of 32 bytes holds {entry:.0} bytes, a hot rumor {rumor:.0} more");
    assert!(entry < 360.0 && (1.0..100.0).contains(&rumor), "{entry:.0} {rumor:.0}");
}
