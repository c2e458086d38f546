//! Shares: what outlives every boot of its owner, and what a boot must know before it writes.

use std::vec::Vec;

use super::*;
use crate::error::WriteError;
use crate::update::Owner;
use crate::wire::Repair;

const HOUR: Duration = Duration::from_secs(3_600);

/// Members are forgotten after two hours.
fn config() -> Config {
    let mut config = Config::lan();
    config.lifetimes.reap_after = 2 * HOUR;
    config
}

/// Starts the process of a node anew, without memory.
fn restart(net: &mut Net, at: usize) {
    let seed = net.now.as_micros();
    let id = net.nodes[at].id();
    net.nodes[at] = Node::new(id, u32::try_from(at).unwrap(), config(), seed).unwrap();
    net.nodes[at].join(net.now, [0, 1, 2]);
}

fn value(net: &Net, at: usize, owner: usize) -> Option<Vec<u8>> {
    net.nodes[at].get_share(net.nodes[owner].id(), "n").map(|value| value.to_vec())
}

/// A value of a share as its owner has written it.
fn share(owner: u64, author: u64, secs: u64, text: &[u8]) -> Update<u32> {
    let stamp = Stamp { time: START + Duration::from_secs(secs), counter: 0, node: NodeId::new(author) };
    let (owner, value) = (Some(Owner::of_share(NodeId::new(owner))), Some(text.into()));
    Update::Entry(Entry { owner, name: "n".into(), stamp, ends: None, value, extra: None })
}

#[test]
fn three_entries_of_one_name_are_apart() {
    let mut net = Net::joined(3, &Config::lan());
    let id = net.nodes[1].id();
    net.nodes[1].put(net.now, "n", b"all").unwrap();
    net.nodes[1].put_own(net.now, "n", b"own").unwrap();
    net.nodes[1].put_share(net.now, "n", b"share").unwrap();
    net.events(0);
    net.run(SECOND);
    let node = &net.nodes[0];
    assert_eq!(node.get("n").as_deref(), Some(&b"all"[..]));
    assert_eq!(node.get_own(id, "n").as_deref(), Some(&b"own"[..]));
    assert_eq!(node.get_share(id, "n").as_deref(), Some(&b"share"[..]));
    assert_eq!((node.entries("").count(), node.entries_named("n").count(), node.shares_named("n").count()), (1, 1, 1));
    assert_eq!(node.shares_of(id).collect::<Vec<_>>(), [("n".into(), b"share"[..].into())]);
    let events = net.events(0);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Share { owner, .. } if *owner == id)).count(), 1);
    net.nodes[1].delete_share(net.now, "n").unwrap();
    net.run(SECOND);
    assert!(net.nodes.iter().all(|node| node.get_share(id, "n").is_none() && node.get("n").is_some()) && net.agree());
    assert!(matches!(net.events(0)[..], [Event::Share { change: crate::Change::Gone, .. }]));
}

#[test]
fn a_boot_without_memory_learns_its_shares_before_it_writes_them() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes[2].put_share(net.now, "n", b"5").unwrap();
    net.nodes[2].put_own(net.now, "n", b"own").unwrap();
    net.run(5 * SECOND);
    restart(&mut net, 2);
    let refused = net.nodes[2].put_share(net.now, "n", b"1");
    assert_eq!(refused, Err(WriteError::ShareUnknown { alone: false }), "seeds may be there");
    assert!(net.nodes[2].delete_share(net.now, "n").is_err() && net.nodes[2].put(net.now, "else", b"1").is_ok());
    let started = net.now;
    while !net.nodes[2].knows_shares() {
        assert_eq!(value(&net, 0, 2).as_deref(), Some(&b"5"[..]), "nothing is written over");
        net.run(Duration::from_millis(100));
    }
    assert!(net.now.since(started) <= 5 * SECOND, "{:?}", net.now.since(started));
    assert_eq!(value(&net, 2, 2).as_deref(), Some(&b"5"[..]));
    net.nodes[2].put_share(net.now, "n", b"6").unwrap();
    net.run(5 * SECOND);
    let id = net.nodes[2].id();
    assert!((0..3).all(|at| value(&net, at, 2).as_deref() == Some(&b"6"[..])) && net.agree());
    assert!(net.nodes.iter().all(|node| node.get_own(id, "n").is_none()), "what is own has ended with the boot");
    assert!(net.events(2).iter().all(|event| !matches!(event, Event::ShareLost { .. })));
}

#[test]
fn a_boot_waits_for_a_share_that_is_larger_than_a_datagram() {
    let mut net = Net::joined(2, &Config::lan());
    net.nodes[1].put_share(net.now, "n", &[7; 300_000]).unwrap();
    net.run(10 * SECOND);
    restart(&mut net, 1);
    while !net.nodes[1].knows_shares() {
        net.run(Duration::from_millis(10));
    }
    assert_eq!(value(&net, 1, 1).map(|value| value.len()), Some(300_000));
}

#[test]
fn a_share_outlives_its_owner_until_somebody_forgets_it() {
    let mut net = Net::joined(3, &config());
    let id = net.nodes[2].id();
    net.nodes[2].put_share(net.now, "n", b"5").unwrap();
    net.run(5 * SECOND);
    net.nodes[2].leave(net.now);
    net.run(3 * HOUR);
    assert!(net.nodes[0].member(id).is_none(), "it is forgotten as a member");
    assert!((0..2).all(|at| value(&net, at, 2).as_deref() == Some(&b"5"[..])));
    net.nodes[0].forget(net.now, id);
    net.run(5 * SECOND);
    assert!((0..2).all(|at| value(&net, at, 2).is_none()));
    // It comes back with nothing, and counts anew.
    restart(&mut net, 2);
    net.run(20 * SECOND);
    assert!(net.nodes[2].knows_shares() && value(&net, 2, 2).is_none());
    net.nodes[2].put_share(net.now, "n", b"1").unwrap();
    net.run(5 * SECOND);
    assert!((0..3).all(|at| value(&net, at, 2).as_deref() == Some(&b"1"[..])) && net.agree());
}

#[test]
fn where_nobody_is_there_to_ask_that_is_told_and_the_application_decides() {
    let mut node = node(1, Config::lan());
    assert_eq!(node.put_share(START, "n", b"1"), Err(WriteError::ShareUnknown { alone: true }));
    node.claim_shares();
    node.put_share(START, "n", b"1").unwrap();
    // With seeds that are silent, once those have had time to answer.
    let mut net = Net::new(1, &Config::lan());
    net.nodes[0].join(START, [7]);
    assert_eq!(net.nodes[0].put_share(START, "n", b"1"), Err(WriteError::ShareUnknown { alone: false }));
    net.run(60 * SECOND);
    let refused = net.nodes[0].put_share(net.now, "n", b"1").unwrap_err();
    assert_eq!(refused, WriteError::ShareUnknown { alone: true });
    assert!(std::string::ToString::to_string(&refused).contains("nobody is there"), "{refused}");
}

#[test]
fn what_a_boot_could_not_learn_is_told_when_it_comes_after_all_and_once() {
    let mut node = node(1, Config::lan());
    tick(&mut node, START);
    node.claim_shares();
    let now = START + 10 * SECOND;
    // Older than what is written here, and then newer.
    node.put_share(now, "n", b"mine").unwrap();
    for _ in 0..2 {
        hear(&mut node, now, &[Message::Repair(Repair::Updates([share(2, 2, 5, b"older")].to_vec()))]);
    }
    hear(&mut node, now, &[Message::Repair(Repair::Updates([share(2, 2, 50, b"newer")].to_vec()))]);
    let lost = core::iter::from_fn(|| node.poll_event()).filter_map(|event| match event {
        Event::ShareLost { name, value, .. } => Some((name, value.0.to_vec())),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [("n".into(), b"older".to_vec()), ("n".into(), b"mine".to_vec())]);
    assert_eq!(node.stats().shares_lost, 2);
    // What was learned before it was written over is no loss, and what this boot has written neither.
    node.put_share(now, "n", b"all of it").unwrap();
    for update in [share(2, 2, 50, b"newer"), share(2, 2, 5, b"older")] {
        hear(&mut node, now, &[Message::Repair(Repair::Updates([update].to_vec()))]);
    }
    assert_eq!(node.stats().shares_lost, 2);
    assert_eq!(node.get_share(node.id(), "n").as_deref(), Some(&b"all of it"[..]));
}

#[test]
fn a_value_by_another_author_is_refused_with_its_datagram() {
    let mut node = node(1, Config::lan());
    tick(&mut node, START);
    let forged = Message::Repair(Repair::Updates([share(3, 4, 0, b"forged")].to_vec()));
    let before = node.stats().datagrams_malformed;
    let payload = datagram(&mut node, &[forged]);
    assert!(node.handle(START, Input::Datagram { from: &7, payload: &payload }).is_err());
    assert_eq!((node.stats().datagrams_malformed, node.get_share(NodeId::new(3), "n")), (before + 1, None));
    hear(&mut node, START, &[Message::Repair(Repair::Updates([share(3, 3, 0, b"sound")].to_vec()))]);
    assert_eq!(node.get_share(NodeId::new(3), "n").as_deref(), Some(&b"sound"[..]), "its owner is not known here");
}

#[test]
fn a_snapshot_has_the_shares_and_the_next_boot_may_write_them_when_others_agree() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes[2].put_share(net.now, "n", b"5").unwrap();
    net.run(5 * SECOND);
    let snapshot = net.nodes[2].snapshot();
    // It is older than what was written last.
    net.nodes[2].put_share(net.now, "n", b"6").unwrap();
    net.run(5 * SECOND);
    restart(&mut net, 2);
    net.nodes[2].restore(net.now, snapshot).unwrap();
    assert_eq!(value(&net, 2, 2).as_deref(), Some(&b"5"[..]));
    assert!(matches!(net.nodes[2].put_share(net.now, "n", b"7"), Err(WriteError::ShareUnknown { .. })));
    net.run(5 * SECOND);
    assert_eq!(value(&net, 2, 2).as_deref(), Some(&b"6"[..]));
    net.nodes[2].put_share(net.now, "n", b"7").unwrap();
}
