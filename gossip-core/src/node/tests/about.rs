//! Name and tags of members.

use super::*;
use crate::{AboutError, Tags};

fn seen(net: &Net, at: usize, of: usize) -> (Option<String>, Vec<(String, String)>) {
    let member = net.nodes[at].member(net.nodes[of].id()).unwrap();
    (member.name().map(String::from), member.tags().iter().map(|(key, value)| (key.into(), value.into())).collect())
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    Tags::of(pairs.iter().copied()).unwrap()
}

#[test]
fn name_and_tags_travel_with_the_record_and_change_without_a_new_life() {
    let mut net = Net::new(4, &Config::lan());
    net.nodes[1].set_name(START, "db-1").unwrap();
    net.nodes[1].set_tags(START, tags(&[("role", "db")])).unwrap();
    net.nodes.iter_mut().for_each(|node| node.join(START, [0]));
    net.run(20 * SECOND);
    let before = net.nodes[3].member(net.nodes[1].id()).unwrap();
    assert_eq!((before.name(), before.has_tag("role", "db"), before.has_tag("role", "")), (Some("db-1"), true, false));
    assert_eq!(before.incarnation, before.boot.as_micros(), "it began with them");
    assert_eq!(seen(&net, 3, 2), (None, [].into()));

    let now = net.now;
    net.nodes[1].put_own(now, "load", b"7").unwrap();
    net.events(3);
    net.nodes[1].set_tags(now, tags(&[("role", "cache"), ("zone", "b")])).unwrap();
    net.run(5 * SECOND);
    let all = [("role", "cache"), ("zone", "b")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(seen(&net, 3, 1), (Some("db-1".into()), all.into()));
    let id = net.nodes[1].id();
    let told = net.events(3).into_iter().any(
        |event| matches!(event, Event::Member { member, .. } if member.id == id && member.has_tag("role", "cache")),
    );
    assert!(told && net.agree() && net.nodes[3].get_own(id, "load").is_some());
    assert_eq!(net.nodes[3].member(id).unwrap().boot, before.boot);

    net.nodes[1].set_name(net.now, "").unwrap();
    net.nodes[1].set_tags(net.now, Tags::default()).unwrap();
    net.run(5 * SECOND);
    assert_eq!(seen(&net, 3, 1), (None, [].into()));
}

#[test]
fn whoever_died_is_still_known_by_name() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes[2].set_name(net.now, "db-2").unwrap();
    net.run(5 * SECOND);
    net.lose = |from, to| from == 2 || to == 2;
    net.run(120 * SECOND);
    let dead = net.nodes[0].member(net.nodes[2].id()).unwrap();
    assert_eq!((dead.status, dead.name()), (crate::Status::Dead, Some("db-2")));
}

#[test]
fn what_is_not_changed_is_not_sent_and_what_cannot_be_is_refused() {
    let mut node = met();
    let now = node.now;
    node.set_name(now, "a").unwrap();
    transmits(&mut node);
    let incarnation = node.member(node.id()).unwrap().incarnation;
    node.set_name(now, "a").unwrap();
    node.set_tags(now, Tags::default()).unwrap();
    assert_eq!(node.member(node.id()).unwrap().incarnation, incarnation);
    assert!(matches!(node.set_name(now, "a\nb"), Err(AboutError::Control { .. })));
    assert!(matches!(node.set_name(now, &"a".repeat(65)), Err(AboutError::NameTooLong { length: 65, longest: 64 })));
    assert_eq!(node.member(node.id()).unwrap().name(), Some("a"));
    let small = Config { max_datagram: 512, ..Config::lan() };
    let mut net = Net::joined(2, &small);
    let largest = tags(&[("a", &"x".repeat(511))]);
    assert!(matches!(net.nodes[0].set_tags(net.now, largest.clone()), Err(AboutError::TooLarge { .. })));
    node.set_tags(now, largest).unwrap();
    node.set_name(now, &"n".repeat(64)).unwrap();
    // It follows a body that has just left: both would share a datagram.
    node.handle(now + SECOND, Input::Tick).unwrap();
    assert!(!transmits(&mut node).is_empty());
}
