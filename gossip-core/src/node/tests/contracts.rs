//! The contracts of the node's face, one test for each; those about bytes are in `hostile`.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use core::fmt::Debug;
use core::time::Duration;

use super::super::PutOptions;
use super::*;
use crate::update::{Broadcast, End, Owner};
use crate::wire::{PingReq, Repair, Rumor, Suspicion, Swim};
use crate::{Bound, ConfigError, DatagramError, Membership, Status, WriteError};

// One bad or refused update never costs the rest of its datagram.

#[test]
fn one_refused_update_does_not_cost_the_rest_of_its_datagram() {
    let ahead = Stamp { time: crate::update::LATEST + SECOND, counter: 0, node: NodeId::new(5) };
    let Update::Entry(sound) = entry("ahead", b"x") else { unreachable!() };
    let expired = Broadcast { stamp: sound.stamp, until: Until::at(START - SECOND), asks: None, payload: [1].into() };
    let bad = [
        Update::Entry(Entry { stamp: ahead, ..sound.clone() }),
        Update::Broadcast(expired),
        Update::Broadcast(Broadcast {
            stamp: sound.stamp,
            until: Until::at(START + 60 * SECOND),
            asks: None,
            payload: vec![0; 1_110].into(),
        }),
        Update::Entry(Entry { owner: Some(Owner { id: NodeId::new(77), boot: START }), ..sound }),
    ];
    for bad in bad {
        let mut node = node(1, Config::lan());
        tick(&mut node, START);
        hear(
            &mut node,
            START,
            &[Message::Rumor(Rumor::Mail(Item::Update(bad.clone()))), Message::Swim(Swim::Ping { seq: 1 })],
        );
        hear(
            &mut node,
            START,
            &[
                Message::Repair(Repair::Updates(vec![entry("a", b"1")])),
                Message::Rumor(Rumor::Mail(Item::Update(entry("b", b"2")))),
            ],
        );
        assert!(node.get("a").is_some() && node.get("b").is_some());
        assert!(
            node.get("ahead").is_none() && !node.updates(START).any(|update| matches!(update, Update::Broadcast(_)))
        );
        assert_eq!(node.entries("").count(), 2, "{bad}");
    }
}

// Time.

#[test]
fn time_that_runs_backwards_counts_as_standing_still() {
    let mut node = met();
    let now = node.now;
    let timeout = node.poll_timeout();
    tick(&mut node, START - 100 * SECOND);
    assert_eq!((node.now, node.poll_timeout()), (now, timeout));
    let first = node.put(now, "x", b"1").unwrap();
    let second = node.put(Instant::ORIGIN, "x", b"2").unwrap();
    assert!(second > first);
    assert_eq!(node.get("x").as_deref(), Some(&b"2"[..]));
}

#[test]
fn an_early_tick_does_nothing() {
    let mut node = met();
    tick(&mut node, START + 25 * SECOND);
    transmits(&mut node);
    for _ in 0..50 {
        let due = node.poll_timeout().unwrap();
        let before = node.now;
        let mut between = before;
        while between + Duration::from_millis(1) < due {
            between += (due.since(before) / 3).max(Duration::from_millis(1));
            if between >= due {
                break;
            }
            node.now = before;
            let untouched = state(&mut node).0;
            tick(&mut node, between);
            node.now = before;
            assert!(state(&mut node).0 == untouched, "no draw of its randomness either");
        }
        tick(&mut node, due);
        transmits(&mut node);
    }
}

#[test]
fn a_late_tick_catches_up_once() {
    let mut node = met();
    let late = node.now + 3_600 * SECOND;
    tick(&mut node, late);
    let sent = transmits(&mut node).len();
    assert!(sent < 20, "{sent} datagrams for an hour");
    assert!(node.poll_timeout().is_some_and(|due| due >= late));
    tick(&mut node, late);
    assert!(transmits(&mut node).len() < 4, "and not twice");
}

/// Runs a node by its own timer, with nobody to answer.
fn assert_timer_never_stands_still(node: &mut Node<u32>, mut now: Instant, time: Duration) {
    let end = now + time;
    let (mut ticks, mut at_once) = (0, 0);
    while now < end && !node.has_left() {
        let due = node.poll_timeout().expect("every state other than left has a timer");
        now = now.max(due);
        tick(node, now);
        transmits(node);
        ticks += 1;
        // Without a relay delay a rumor's first two rounds are due at once.
        at_once = if node.poll_timeout().is_some_and(|next| next <= now) { at_once + 1 } else { 0 };
        assert!(at_once < 3, "due again and again at {now}");
    }
    assert!(ticks < 200_000);
}

#[test]
fn every_state_other_than_left_has_a_timer_and_none_is_in_the_past_for_ever() {
    let given = Config { membership: Membership::Given, ..Config::lan() };
    let aligned = {
        let mut config = Config::lan();
        config.probe.random_phase = false;
        config.rumor.exchange = crate::Exchange::PushPull;
        config.rumor.relay_delay = Duration::ZERO;
        config
    };
    for config in [Config::local(), Config::lan(), Config::wan(), given, aligned] {
        let mut net = Net::joined(4, &config);
        let peers: Vec<u32> = (0..4).collect();
        for node in &mut net.nodes {
            node.set_peers(net.now, peers.clone());
        }
        net.run(10 * SECOND);
        for (at, node) in net.nodes.iter_mut().enumerate() {
            node.put(net.now, "x", b"1").unwrap();
            hear(node, net.now, &[Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion(at as u64 % 4 + 2))))]);
            hear(
                node,
                net.now,
                &[Message::Swim(Swim::PingReq(PingReq { seq: 1, target: NodeId::new(9), address: 9 }))],
            );
            if at % 2 == 1 {
                node.leave(net.now);
                assert!(node.poll_timeout().is_some() || node.has_left(), "leaving has a timer as well");
            }
            assert_timer_never_stands_still(node, net.now, 120 * SECOND);
            assert_eq!(node.has_left(), at % 2 == 1, "leaving ends");
            assert_eq!(node.poll_timeout().is_none(), node.has_left());
        }
    }
}

#[test]
fn a_node_at_the_end_of_time_does_not_panic() {
    let mut node = node(1, Config::lan());
    tick(&mut node, Instant::MAX);
    node.join(Instant::MAX, [3]);
    node.put(Instant::MAX, "a", b"1").unwrap_err();
    let said = Record { incarnation: u64::MAX, boot: Instant::MAX, ..record(2, Standing::Alive) };
    let suspicion = Suspicion { incarnation: u64::MAX, ..suspicion(2) };
    for item in [Item::Update(Update::Member(said)), Item::Suspicion(suspicion)] {
        let payload = datagram(&mut node, &[Message::Rumor(Rumor::Mail(item))]);
        node.handle(Instant::MAX, Input::Datagram { from: &900, payload: &payload }).unwrap();
    }
    let _ = node.delete(Instant::MAX, "a");
    node.set_address(Instant::MAX, 9).unwrap();
    node.leave(Instant::MAX);
    node.join(Instant::MAX, [3]);
    tick(&mut node, Instant::MAX);
    transmits(&mut node);
}

// Dropping any transmit is safe.

#[test]
fn whichever_one_datagram_is_lost_all_agree_in_the_end() {
    let run = |lost: usize| {
        let mut net = Net::new(3, &Config::lan());
        for node in &mut net.nodes {
            node.join(START, [0]);
        }
        net.nodes[1].put(START, "a", &[1; 200]).unwrap();
        let mut sent = 0;
        let mut buffer = [0; 1_200];
        let end = START + 30 * SECOND;
        while net.now < end {
            for from in 0..3_u32 {
                while let Some(transmit) = net.nodes[from as usize].poll_transmit(&mut buffer) {
                    sent += 1;
                    if sent != lost {
                        let payload = &buffer[..transmit.len];
                        let to = &mut net.nodes[transmit.to as usize];
                        to.handle(net.now, Input::Datagram { from: &from, payload }).unwrap();
                    }
                }
            }
            let next = net.nodes.iter().filter_map(Node::poll_timeout).min().unwrap();
            net.now = net.now.max(next);
            net.nodes.iter_mut().for_each(|node| tick(node, next));
        }
        assert!(net.agree() && net.nodes.iter().all(|node| node.get("a").is_some()), "without datagram {lost}");
        assert!(net.nodes.iter().all(|node| node.live_members() == 3));
        sent
    };
    let sent = run(0);
    for lost in 1..sent.min(60) {
        run(lost);
    }
}

// One byte budget.

#[test]
#[should_panic(expected = "a buffer of 1199 bytes, max_datagram is 1200")]
fn a_buffer_smaller_than_a_datagram_is_a_panic_that_says_so() {
    let _ = met().poll_transmit(&mut [0; 1_199]);
}

#[test]
fn a_larger_buffer_does_not_make_larger_datagrams() {
    let mut node = met();
    for n in 0..40 {
        node.put(node.now, &n.to_string(), &[1; 300]).unwrap();
    }
    let later = node.now + SECOND;
    tick(&mut node, later);
    let mut buffer = [0; 9_000];
    while let Some(transmit) = node.poll_transmit(&mut buffer) {
        assert!(transmit.len <= 1_200);
    }
}

#[test]
fn an_address_that_is_too_long_or_does_not_survive_encoding_is_refused() {
    let new = |address: String| Node::new(NodeId::new(1), address, Config::lan(), 1);
    assert!(new("a".repeat(126)).is_ok());
    let error = new("a".repeat(129)).unwrap_err();
    assert!(matches!(error, ConfigError::AddressTooLong { length: 131, longest: 128 }), "{error}");

    #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Scoped(u8, #[serde(skip)] u8);
    let scoped = |scope| Node::new(NodeId::new(1), Scoped(1, scope), Config::lan(), 1);
    assert!(scoped(0).is_ok());
    assert!(matches!(scoped(9).unwrap_err(), ConfigError::AddressChanges { .. }));
    let mut node = scoped(0).unwrap();
    assert!(node.set_address(START, Scoped(2, 9)).is_err());
    assert_eq!(node.address(), &Scoped(1, 0), "the old one stays");
}

fn refused<T: Debug>(result: Result<T, WriteError>) -> (usize, usize) {
    match result {
        Err(WriteError::TooLarge { size, largest }) => (size, largest),
        Err(WriteError::NameTooLong { length, longest }) => (length, longest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_of_256_bytes_is_refused_with_both_sizes() {
    let mut node = node(1, Config::lan());
    let name = "é".repeat(128);
    assert_eq!(refused(node.put(START, &name, b"")), (256, 255));
    assert_eq!(refused(node.delete(START, &name)), (256, 255));
    node.put(START, &name[..254], b"").unwrap();
}

#[test]
fn the_largest_value_is_taken_one_byte_more_is_refused_with_both_sizes() {
    for max_datagram in [512, 1_200, 65_507] {
        let mut node = node(1, Config { max_datagram, ..Config::lan() });
        node.put(START, "warm", b"up").unwrap();
        let largest = 1 << 20;
        for options in [PutOptions::default(), PutOptions::default().own()] {
            let before = state(&mut node);
            let result = node.put_with(START, "n", &vec![0; largest + 1], options.clone());
            assert_eq!(refused(result), (largest + 1, largest));
            assert!(state(&mut node).0 == before.0, "a refused write changes nothing");
            node.put_with(START, "n", &vec![0; largest], options).unwrap();
        }
    }
}

#[test]
fn the_largest_broadcast_exactly_fits_one_byte_more_is_refused_with_both_sizes() {
    for max_datagram in [512, 1_200, 20_000, 65_507] {
        let mut node = node(1, Config { max_datagram, ..Config::lan() });
        node.put(START, "warm", b"up").unwrap();
        let (size, largest) = refused(node.broadcast(START, &vec![0; 70_000]));
        assert_eq!(size, 70_000);
        let before = state(&mut node);
        assert_eq!(refused(node.broadcast(START, &vec![0; largest + 1])), (largest + 1, largest));
        assert!(state(&mut node).0 == before.0, "a refused write changes nothing");
        node.broadcast(START, &vec![0; largest]).unwrap();
    }
}

#[test]
fn the_largest_values_and_what_follows_them_arrive_with_datagrams_of_512_bytes() {
    let config = Config { max_datagram: 512, ..Config::lan() };
    let mut net = Net::joined(3, &config);
    net.nodes[0].put(net.now, "large", &[1; 600]).unwrap();
    net.nodes[0].put_own(net.now, "after", b"small").unwrap();
    let (_, largest) = refused(net.nodes[0].broadcast(net.now, &[0; 600]));
    net.nodes[0].broadcast(net.now, &vec![1; largest]).unwrap();
    net.run(SECOND);
    assert!(net.nodes.iter().all(|node| node.get("large").is_some()));
    let owner = net.nodes[0].id();
    assert!(net.nodes.iter().all(|node| node.get_own(owner, "after").is_some()));
    assert!((1..3).all(|at| net.events(at).iter().any(|event| matches!(event, Event::Broadcast { .. }))));

    // And by anti-entropy alone, in pages.
    net.nodes.push(node(3, config));
    net.nodes[3].join(net.now, [0]);
    net.run(20 * SECOND);
    assert!(net.nodes[3].get("large").is_some() && net.agree());
}

#[test]
fn one_who_asks_for_nothing_new_is_told_so_in_64_bytes() {
    let mut net = Net::joined(2, &Config::lan());
    for n in 0..100_u32 {
        net.nodes[0].put(net.now, &n.to_string(), b"value").unwrap();
    }
    net.run(60 * SECOND);
    let mut seen = 0;
    for _ in 0..40 {
        net.run(Duration::from_millis(700));
        let before = net.nodes[0].stats().exchanges;
        let due = net.nodes[0].poll_timeout().unwrap();
        net.now = due;
        tick(&mut net.nodes[0], due);
        let begun = net.nodes[0].stats().exchanges - before;
        for (_, _, bytes) in transmits(&mut net.nodes[0]) {
            if begun > 0 {
                seen += 1;
                assert!(bytes.len() <= 64, "{}", bytes.len());
                net.nodes[1].handle(due, Input::Datagram { from: &0, payload: &bytes }).unwrap();
                let said = transmits(&mut net.nodes[1]);
                assert!(said.iter().all(|(_, kind, _)| *kind == TrafficClass::Ack), "equal: silence");
                assert!(said.len() <= 1, "but for the ack of the ping on which it rode");
            }
        }
    }
    assert!(seen > 0);
}

// Order out.

#[test]
fn acks_go_before_probes_rumors_and_anti_entropy_and_bulk_after_every_third() {
    let mut node = met();
    let kinds =
        [TrafficClass::Bulk, TrafficClass::AntiEntropy, TrafficClass::Rumor, TrafficClass::Probe, TrafficClass::Ack];
    for (to, kind) in (0..).zip(kinds) {
        node.outbox.message(kind, 100 + to, Message::Swim(Swim::Ping { seq: to }));
        node.outbox.message(kind, 200 + to, Message::Swim(Swim::Ping { seq: to }));
    }
    let out = transmits(&mut node);
    let to: Vec<u32> = out.iter().map(|(to, ..)| *to).collect();
    assert_eq!(to, [104, 204, 103, 100, 203, 102, 202, 200, 101, 201], "by class, and within it by arrival");
}

#[test]
fn what_goes_to_one_peer_shares_a_datagram() {
    let mut node = met();
    for seq in 0..100 {
        node.outbox.message(TrafficClass::Ack, 100, Message::Swim(Swim::Ack { seq }));
    }
    assert_eq!(transmits(&mut node).len(), 1);
}

#[test]
fn a_full_outbox_drops_its_oldest_and_counts_that() {
    let config = Config { limits: crate::Limits { outbox: 16, ..Config::lan().limits }, ..Config::lan() };
    let mut node = node(1, config);
    tick(&mut node, START);
    transmits(&mut node);
    for seq in 0..20 {
        node.outbox.message(TrafficClass::Ack, seq, Message::Swim(Swim::Ack { seq }));
    }
    assert_eq!(node.stats().outbox_dropped, 4);
    assert_eq!(transmits(&mut node).first().map(|(to, ..)| *to), Some(4));
}

// Determinism.

#[test]
fn the_same_configuration_seed_and_calls_give_the_same_bytes() {
    let run = |seed: u64| {
        let mut node = Node::new(NodeId::new(2), 1_u32, Config::lan(), seed).unwrap();
        let mut out = Vec::new();
        let mut now = START;
        node.join(now, [7, 8]);
        for round in 0..200_u32 {
            match round % 7 {
                0 => drop(node.put(now, &round.to_string(), &[1; 100])),
                1 => hear(
                    &mut node,
                    now,
                    &[Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record(
                        u64::from(round) + 10,
                        Standing::Alive,
                    )))))],
                ),
                2 => drop(node.broadcast(now, b"x")),
                3 => hear(
                    &mut node,
                    now,
                    &[
                        Message::Swim(Swim::Ping { seq: round }),
                        Message::Rumor(Rumor::Mail(Item::Update(entry("e", b"v")))),
                    ],
                ),
                4 => drop(node.delete(now, "e")),
                _ => {
                    now = now.max(node.poll_timeout().unwrap());
                    tick(&mut node, now);
                }
            }
            out.extend(transmits(&mut node));
            out.extend(node.poll_event().map(|event| (0, TrafficClass::Bulk, std::format!("{event:?}").into_bytes())));
        }
        out
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2), "and the seed matters");
}

// Bounded memory.

#[test]
fn one_who_never_polls_events_costs_one_per_member_and_entry_and_counted_broadcasts() {
    let mut net =
        Net::joined(3, &Config { limits: crate::Limits { undelivered: 10, ..Config::lan().limits }, ..Config::lan() });
    net.events(0);
    for round in 0..100_u32 {
        net.nodes[1].put(net.now, "same", &round.to_be_bytes()).unwrap();
        net.nodes[1].broadcast(net.now, &round.to_be_bytes()).unwrap();
        net.lose = if round % 20 < 10 { |from, to| from == 2 || to == 2 } else { |_, _| false };
        net.run(5 * SECOND);
    }
    let dropped = net.nodes[0].stats().undelivered_dropped;
    let events = net.events(0);
    let count = |what: fn(&Event<u32>) -> bool| events.iter().filter(|event| what(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Entry { .. })), 1);
    assert!(count(|event| matches!(event, Event::Member { .. })) <= 2, "there are two others");
    assert_eq!((count(|event| matches!(event, Event::Broadcast { .. })), dropped), (10, 90));
}

#[test]
fn a_full_node_refuses_what_is_new_and_takes_what_is_newer() {
    let config = Config {
        limits: crate::Limits { entries: 2, members: 3, share: 100, ..Config::lan().limits },
        ..Config::lan()
    };
    let mut node = node(1, config);
    node.put(START, "a", b"1").unwrap();
    node.put(START, "b", b"1").unwrap();
    assert_eq!(node.put(START, "c", b"1"), Err(WriteError::Full { bound: Bound::Entries, held: 2, limit: 2 }));
    let full = WriteError::Full { bound: Bound::Entries, held: 2, limit: 2 };
    assert_eq!(node.broadcast(START, b"x").unwrap_err(), full);
    node.put(START, "a", b"2").unwrap();
    node.delete(START, "b").unwrap();
    node.put(START, "e", b"1").expect("a certificate takes no room of entries");
    hear(&mut node, START, &[Message::Rumor(Rumor::Mail(Item::Update(entry("d", b"1"))))]);
    for id in 10..20 {
        hear(
            &mut node,
            START,
            &[Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record(id, Standing::Alive)))))],
        );
    }
    assert_eq!((node.get("d"), node.members().count()), (None, 3), "this node and two others");
    assert_eq!(node.stats().updates_full, 9);
}

// Leaving.

#[test]
fn one_who_has_left_is_silent_refuses_writes_and_may_join_again() {
    let mut net = Net::joined(3, &Config::lan());
    net.nodes[1].leave(net.now);
    net.run(5 * SECOND);
    let node = &mut net.nodes[1];
    assert!(node.has_left() && node.poll_timeout().is_none());
    assert_eq!(node.put(net.now, "a", b"1"), Err(WriteError::Left));
    assert_eq!(node.broadcast(net.now, b"1").unwrap_err(), WriteError::Left);
    let ping = datagram(node, &[Message::Swim(Swim::Ping { seq: 1 })]);
    assert_eq!(node.handle(net.now, Input::Datagram { from: &0, payload: &ping }), Err(DatagramError::Left));
    tick(node, net.now + 3_600 * SECOND);
    assert!(transmits(node).is_empty());
    assert_eq!(node.stats().datagrams_after_leaving, counted(&node.stats()));
    net.now += 3_600 * SECOND;
    net.nodes[1].join(net.now, [0]);
    net.run(30 * SECOND);
    assert!(net.nodes[1].poll_timeout().is_some());
    assert!(net.nodes.iter().all(|node| node.live_members() == 3));
}

// What is said of oneself.

#[test]
fn whatever_is_said_of_a_node_that_it_does_not_say_itself_is_refuted() {
    for standing in [Standing::Dead, Standing::Left] {
        let mut node = met();
        let now = node.now;
        let own = node.member(node.id()).unwrap();
        let said = Record {
            id: own.id,
            incarnation: own.incarnation,
            boot: own.boot,
            address: own.address,
            ..record(2, standing)
        };
        let said = Record { until: Until::at(now + 3_600 * SECOND), ..said };
        hear(&mut node, now, &[Message::Rumor(Rumor::Mail(Item::Update(Update::Member(said))))]);
        let refuted = node.member(own.id).unwrap();
        assert_eq!((refuted.status, refuted.incarnation), (Status::Alive, own.incarnation + 1));
        assert_eq!(transmits(&mut node).iter().filter(|(to, ..)| *to == 900).count(), 1, "who said it is told at once");
    }
}

#[test]
fn a_write_after_a_shrunk_certificate_was_heard_is_newer_than_it() {
    let mut node = node(1, Config::lan());
    tick(&mut node, START);
    let Update::Entry(sound) = entry("n", b"x") else { unreachable!() };
    let stamp = Stamp { time: START + 5 * SECOND, counter: 3, node: NodeId::new(5) };
    let end = End::new(START, 3_600 * SECOND);
    let deleted: Update<u32> =
        Update::Entry(Entry { stamp, value: None, ends: Some(End { covers: Until::NEVER, ..end }), ..sound });
    let certificate = Update::Certificate(crate::update::Certificate {
        key: node.replica.hasher.key(&deleted),
        owner: None,
        stamp,
        ends: Some(End { covers: Until::NEVER, ..end }),
        digest: node.replica.hasher.digest(&deleted),
    });
    hear(&mut node, START, &[Message::Rumor(Rumor::Mail(Item::Update(certificate)))]);
    node.put(START, "n", b"mine").unwrap();
    assert_eq!(node.get("n").as_deref(), Some(&b"mine"[..]));
}
