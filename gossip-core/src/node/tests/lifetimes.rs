//! Ends, the same everywhere: of values, certificates, broadcasts, members and their own entries.

use std::vec::Vec;

use super::super::PutOptions;
use super::*;
use crate::{Change, WriteError};

fn brief() -> Config {
    let mut config = Config::lan();
    config.lifetimes.certificate = 200 * SECOND;
    config.lifetimes.shrink = 20 * SECOND;
    config.lifetimes.reap_after = 200 * SECOND;
    config
}

#[test]
fn a_value_with_a_time_to_live_is_gone_everywhere_when_that_is_over() {
    let mut net = Net::joined(3, &brief());
    let lives = |secs: u32| PutOptions::default().time_to_live(secs * SECOND);
    let refused = net.nodes[0].put_with(net.now, "t", b"x", lives(9));
    assert!(matches!(refused, Err(WriteError::TooShortLived { shortest, .. }) if shortest == 10 * SECOND));
    net.nodes[0].put(net.now, "t", b"before").unwrap();
    net.nodes[0].put_with(net.now, "t", b"x", lives(30)).unwrap();
    net.run(29 * SECOND);
    assert!(net.nodes.iter().all(|node| node.get("t").as_deref() == Some(b"x")));
    net.events(1);
    net.run(2 * SECOND);
    assert!(net.nodes.iter().all(|node| node.get("t").is_none() && node.entries("").count() == 0));
    assert!(net.events(1).iter().any(|event| matches!(event, Event::Entry { change: Change::Gone, .. })));
    net.run(400 * SECOND);
    assert!(net.agree() && net.nodes.iter().all(|node| node.updates(node.clock(net.now)).count() == 3));
}

#[test]
fn a_driver_that_gives_an_earlier_time_is_told_the_latest() {
    let mut node = node(0, brief());
    tick(&mut node, START);
    tick(&mut node, START + 30 * SECOND);
    assert_eq!(node.clock(START), START + 30 * SECOND);
}

#[test]
fn a_certificate_is_kept_shrunk_and_then_forgotten_everywhere() {
    let mut config = brief();
    config.lifetimes.certificate = 4_000 * SECOND;
    let mut net = Net::joined(3, &config);
    net.nodes[0].put(net.now, "d", b"x").unwrap();
    net.nodes[1].delete(net.now, "d").unwrap();
    net.run(2_000 * SECOND);
    let shrunk = |node: &Node<u32>, now| node.updates(now).any(|update| matches!(update, Update::Certificate(_)));
    assert!(net.nodes.iter().all(|node| shrunk(node, net.now)));
    net.run(4_000 * SECOND);
    assert!(net.nodes.iter().all(|node| node.reconciled(Instant::ORIGIN).count == 3), "nothing is stored any more");
}

#[test]
fn a_dead_member_is_forgotten_with_all_it_owned_and_the_application_is_told() {
    let mut net = Net::joined(3, &brief());
    net.nodes[2].put_own(net.now, "role", b"db").unwrap();
    net.run(SECOND);
    let id = net.nodes[2].id();
    assert!(net.nodes[0].get_own(id, "role").is_some());
    // The first is told what happens as it happens, the second polls nothing until all is over.
    net.events(0);
    net.lose = |from, to| from == 2 || to == 2;
    net.run(60 * SECOND);
    assert_eq!(net.nodes[0].member(id).map(|member| member.status), Some(crate::Status::Dead));
    net.run(2_400 * SECOND);
    for at in 0..2 {
        assert!(net.nodes[at].member(id).is_none() && net.nodes[at].get_own(id, "role").is_none());
        let events: Vec<_> = net.events(at);
        assert_eq!(events.contains(&Event::Reaped { id }), at == 0, "who came and went unseen is no event: {events:?}");
    }
}

#[test]
fn a_deletion_is_told_once() {
    let mut net = Net::joined(3, &brief());
    net.nodes[0].put(net.now, "d", b"x").unwrap();
    net.run(SECOND);
    net.events(1);
    net.nodes[0].delete(net.now, "d").unwrap();
    // Its certificate shrinks, and ends.
    net.run(300 * SECOND);
    let gone = |event: &&Event<u32>| matches!(event, Event::Entry { change: Change::Gone, .. });
    assert_eq!(net.events(1).iter().filter(gone).count(), 1);
}

#[test]
fn what_a_member_owns_is_gone_while_its_record_says_that_it_is_dead() {
    let mut net = Net::joined(3, &brief());
    net.nodes[2].put_own(net.now, "role", b"db").unwrap();
    net.run(SECOND);
    net.events(1);
    let id = net.nodes[2].id();
    let own = net.nodes[2].replica.member(id).cloned().unwrap();
    let dead = Record { standing: Standing::Dead, until: Until::at(net.now + 100 * SECOND), ..own.clone() };
    let back = Record { incarnation: own.incarnation + 1, ..own };
    let now = net.now;
    for (record, there) in [(dead, false), (back, true)] {
        net.nodes[1].learn(Update::Member(record), super::super::learn::Source::Rumor, None);
        tick(&mut net.nodes[1], now);
        assert_eq!(net.nodes[1].get_own(id, "role").is_some(), there);
        let events = net.events(1);
        let entries = events.iter().filter_map(|event| match event {
            Event::Entry { change, .. } => Some(matches!(change, Change::Written { .. })),
            _ => None,
        });
        assert_eq!(entries.collect::<Vec<_>>(), [there], "{events:?}");
    }
}
