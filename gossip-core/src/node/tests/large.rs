//! Values larger than a datagram: whole or not at all, from whoever holds them, within bounds.

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::update::Descriptor;
use crate::wire::{Chunk, FetchRequest, Pull, Rumor};
use crate::{Limits, Relay, WriteError};

fn value(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + at / 251 + seed) as u8).collect()
}

fn all_have(net: &Net, name: &str, value: &[u8]) -> bool {
    net.nodes.iter().all(|node| node.get(name).as_deref() == Some(value))
}

#[test]
fn values_of_every_size_arrive_and_are_the_same_everywhere() {
    let mut net = Net::joined(3, &Config::lan());
    let sizes: Vec<usize> = (1_000..1_130).chain([1_200, 2_300, 5_000, 100_000, 1 << 20]).collect();
    for size in &sizes {
        net.nodes[size % 3].put(net.now, &size.to_string(), &value(*size, *size)).unwrap();
    }
    net.run(5 * SECOND);
    for size in sizes {
        assert!(all_have(&net, &size.to_string(), &value(size, size)), "{size}");
    }
    assert!(net.agree());
    for node in &net.nodes {
        let stats = node.stats();
        assert!(stats.transfers_begun > 0 && stats.transfers_begun == stats.transfers_completed, "{stats:?}");
        assert_eq!(node.transfers(), (0, 0));
        assert_eq!((stats.outbox_unsendable, stats.updates_oversized), (0, 0));
    }
}

#[test]
fn a_newcomer_ends_with_all_of_many_large_values_within_its_bounds() {
    let mut config = Config::lan();
    config.limits.transfers = 40;
    config.limits.transfer_bytes = 200_000;
    config.limits.max_value = 200_000;
    let mut net = Net::joined(2, &config);
    for n in 0..300_usize {
        net.nodes[0].put(net.now, &n.to_string(), &value(n, 2_000 + 37 * n)).unwrap();
        net.nodes[0].put(net.now, &std::format!("small {n}"), b"x").unwrap();
    }
    net.run(60 * SECOND);
    net.nodes.push(node(2, config));
    net.nodes[2].join(net.now, [0]);
    let mut seconds = 0;
    while net.nodes[2].entries("").count() < 600 {
        for _ in 0..20 {
            net.run(SECOND / 20);
            let (count, bytes) = net.nodes[2].transfers();
            assert!(count <= 40 && bytes <= 200_000, "{count} {bytes}");
        }
        seconds += 1;
        assert!(seconds < 120, "{} entries, {:?}", net.nodes[2].entries("").count(), net.nodes[2].stats());
    }
    net.run(20 * SECOND);
    assert!(net.agree() && (0..300_usize).all(|n| all_have(&net, &n.to_string(), &value(n, 2_000 + 37 * n))));
    let stats = net.nodes[2].stats();
    assert!(stats.transfers_refused > 0, "{stats:?}");
    assert_eq!((stats.transfers_begun, stats.transfers_completed), (300, 300));
}

/// Makes the descriptor that a holder of this value sends.
fn described(name: &str, secs: u64, value: &[u8]) -> Descriptor {
    let Update::Entry(entry) = entry(name, value) else { unreachable!() };
    let stamp = Stamp { time: START + Duration::from_secs(secs), ..entry.stamp };
    let entry = Entry { stamp, ..entry };
    let hasher = crate::update::ItemHasher::new("");
    Descriptor::of(&entry, hasher.digest(&Update::<u32>::Entry(entry.clone()))).unwrap()
}

fn mail(descriptor: Descriptor) -> Message<u32> {
    Message::Rumor(Rumor::Mail(Item::Large(descriptor)))
}

/// A node that has heard, from 900, of a value of 50,000 bytes.
fn fetching() -> Node<u32> {
    let mut node = node(1, Config::lan());
    tick(&mut node, START);
    hear(&mut node, START, &[mail(described("n", 0, &value(1, 50_000)))]);
    assert_eq!(node.transfers(), (1, 50_000));
    node
}

/// Returns the requests to 900.
fn requests(node: &mut Node<u32>) -> Vec<Message<u32>> {
    let intents = core::iter::from_fn(|| node.outbox.pop());
    let messages = intents.filter_map(|(_, to, intent)| match intent {
        crate::outbox::Intent::Message(message @ Message::Pull(Pull::Fetch(FetchRequest { .. }))) if to == 900 => {
            Some(message)
        }
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_value_is_seen_when_it_is_whole_and_not_before() {
    let mut node = fetching();
    let value = value(1, 50_000);
    let Some(Message::Pull(Pull::Fetch(FetchRequest { item, .. }))) = requests(&mut node).pop() else { panic!() };
    for (at, bytes) in value.chunks(1_000).enumerate() {
        assert_eq!((node.get("n"), node.stats().updates_new), (None, 0));
        let chunk =
            Message::Pull(Pull::Chunk(Chunk { item, offset: 1_000 * at as u32, last: false, bytes: bytes.to_vec() }));
        hear(&mut node, START, &[chunk]);
    }
    assert_eq!(node.get("n").as_deref(), Some(&value[..]));
    assert_eq!((node.transfers(), node.hot_rumors()), ((0, 0), 2), "and goes on as a rumor");
    let events: Vec<_> = core::iter::from_fn(|| node.poll_event()).collect();
    assert!(matches!(&events[..], [Event::Entry { .. }]), "one event: {events:?}");
}

#[test]
fn a_value_that_is_not_what_it_should_be_is_never_seen() {
    let mut node = fetching();
    let Some(Message::Pull(Pull::Fetch(FetchRequest { item, .. }))) = requests(&mut node).pop() else { panic!() };
    for (at, bytes) in value(2, 50_000).chunks(1_000).enumerate() {
        hear(
            &mut node,
            START,
            &[Message::Pull(Pull::Chunk(Chunk {
                item,
                offset: 1_000 * at as u32,
                last: false,
                bytes: bytes.to_vec(),
            }))],
        );
    }
    assert_eq!((node.get("n"), node.transfers(), node.stats().transfers_failed), (None, (0, 0), 1));
}

#[test]
fn what_is_overwritten_deleted_or_known_is_not_fetched_any_more() {
    for newer in [true, false] {
        let mut node = fetching();
        if newer {
            node.put(START + SECOND, "n", b"small").unwrap();
        } else {
            node.delete(START + SECOND, "n").unwrap();
        }
        assert_eq!((node.transfers(), node.stats().transfers_overtaken), ((0, 0), 1));
        hear(&mut node, START + SECOND, &[mail(described("n", 0, &value(1, 50_000)))]);
        assert_eq!((node.transfers(), node.stats().transfers_begun), ((0, 0), 1), "nor again");
    }
    let mut node = fetching();
    hear(&mut node, START, &[mail(described("n", 2, &value(3, 9_000)))]);
    assert_eq!((node.transfers(), node.stats().transfers_overtaken), ((1, 9_000), 1), "the newer large one is");
    hear(&mut node, START, &[mail(described("other", 2, &value(3, 9_000)))]);
    node.leave(START);
    node.handle(START + 60 * SECOND, Input::Tick).unwrap();
    assert!(node.has_left());
    assert_eq!((node.transfers(), node.stats().transfers_failed), ((0, 0), 2), "nobody fetches who has left");
}

#[test]
fn a_descriptor_that_would_be_refused_as_an_update_is_not_fetched_and_counted() {
    let config = Config { limits: Limits { max_value: 40_000, ..Config::lan().limits }, ..Config::lan() };
    let mut node = node(1, config);
    node.put(START, "n", b"mine").unwrap();
    hear(&mut node, START, &[mail(described("too large", 0, &value(1, 40_001)))]);
    hear(
        &mut node,
        START,
        &[mail(described("after 2500", crate::update::LATEST.since(START).as_secs() + 1, &value(1, 9_000)))],
    );
    let past = Descriptor {
        ends: Some(crate::update::End::new(START - SECOND, SECOND)),
        ..described("past", 0, &value(1, 9_000))
    };
    hear(&mut node, START, &[mail(past)]);
    let stranger = crate::update::Owner { id: NodeId::new(77), boot: START };
    hear(&mut node, START, &[mail(Descriptor { owner: Some(stranger), ..described("n", 0, &value(1, 9_000)) })]);
    let stats = node.stats();
    assert_eq!((stats.updates_oversized, stats.updates_ahead, stats.updates_expired), (1, 1, 1));
    assert_eq!((stats.transfers_begun, node.transfers()), (0, (0, 0)));
    assert_eq!(node.put(START, "n", &[0; 40_001]), Err(WriteError::TooLarge { size: 40_001, largest: 40_000 }));
}

#[test]
fn a_value_outlives_its_author_if_one_other_has_it_whole() {
    let mut config = Config::lan();
    config.rumor.relay = Relay::Random;
    let mut net = Net::joined(4, &config);
    // Only the second hears of it, and gets it; the others, that it exists.
    net.lose = |from, to| from == 0 && to > 1;
    net.nodes[0].put(net.now, "n", &value(1, 300_000)).unwrap();
    net.run(Duration::from_micros(1));
    assert!(net.nodes[1].get("n").is_some() && net.nodes[2].get("n").is_none());
    net.lose = |from, to| from == 0 || to == 0;
    net.run(5 * SECOND);
    assert!((1..4).all(|at| net.nodes[at].get("n").as_deref() == Some(&value(1, 300_000)[..])));
}

#[test]
fn a_snapshot_carries_large_values_and_a_smaller_bound_refuses_them_one_by_one() {
    let mut source = node(1, Config::lan());
    source.put(START, "large", &value(1, 1 << 20)).unwrap();
    source.put(START, "small", b"x").unwrap();
    let bytes = postcard::to_allocvec(&source.snapshot()).unwrap();
    let mut same = node(1, Config::lan());
    same.restore(START + SECOND, postcard::from_bytes(&bytes).unwrap()).unwrap();
    assert_eq!(same.get("large"), source.get("large"));
    let config = Config { limits: Limits { max_value: 1_000, ..Config::lan().limits }, ..Config::lan() };
    let mut narrow = node(1, config);
    narrow.restore(START + SECOND, source.snapshot()).unwrap();
    assert_eq!((narrow.get("large"), narrow.get("small").as_deref()), (None, Some(&b"x"[..])));
    assert_eq!(narrow.stats().updates_oversized, 1);
}

#[test]
fn owned_and_expiring_large_values_arrive_and_end_as_others_do() {
    let mut net = Net::joined(3, &Config::lan());
    let lives = crate::PutOptions::default().time_to_live(30 * SECOND);
    net.nodes[0].put_with(net.now, "brief", &value(1, 70_000), lives).unwrap();
    net.nodes[0].put_own(net.now, "own", &value(2, 70_000)).unwrap();
    net.run(2 * SECOND);
    let owner = net.nodes[0].id();
    assert!(all_have(&net, "brief", &value(1, 70_000)));
    assert!(net.nodes.iter().all(|node| node.get_own(owner, "own").as_deref() == Some(&value(2, 70_000))));
    net.run(30 * SECOND);
    assert!(net.nodes.iter().all(|node| node.get("brief").is_none()) && net.agree());
    net.nodes[0].delete_own(net.now, "own").unwrap();
    net.run(2 * SECOND);
    assert!(net.nodes.iter().all(|node| node.get_own(owner, "own").is_none()) && net.agree());
}

#[test]
fn what_there_is_no_room_for_is_not_fetched() {
    let mut config = Config::lan();
    config.limits.bytes = 10_000;
    let mut net = Net::joined(2, &config);
    // The other has more room.
    net.nodes[0].config.limits.bytes = 1 << 20;
    net.nodes[0].put(net.now, "large", &value(1, 50_000)).unwrap();
    net.run(30 * SECOND);
    let stats = net.nodes[1].stats();
    assert_eq!((stats.transfers_begun, net.nodes[1].get("large")), (0, None));
    assert!(stats.updates_full_bytes > 0);
}
