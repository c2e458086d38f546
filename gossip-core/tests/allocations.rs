//! What a node allocates on its most frequent paths.

mod common;

use allocation_counter::measure;
use common::Scene;

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
    assert!(bytes > 100 * 30, "an ack is sent for each: {bytes} bytes");
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

/// Of a hundred updates half are known: those cost no more than what it takes to read them.
#[test]
fn an_update_costs_its_value_and_its_share_of_the_indexes() {
    let mut scene = Scene::new(100, 100);
    // Until all names have been written once, and no table grows any more.
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
    // One for each that is read, known or new: its value. The rest is the share of new ones in the nodes of trees, and in
    // what waits for the application.
    let beyond = count as f64 / news as f64 - 2.0;
    assert!(beyond <= 0.75, "{beyond:.2} allocations for each that is new");
}

/// A record holds nothing that is on the heap: what it costs is its share of tables that grow.
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
