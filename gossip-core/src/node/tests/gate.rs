//! The gate: admission, proofs of address, answers to strangers.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::wire::tests::{encoded, messages};
use crate::wire::{Answer, PingReq, Repair, Rumor, State, Summary, Swim, Trust, read};
use crate::{DatagramError, Membership};

/// Nobody knows who is here.
const STRANGER: u32 = 4_000;

fn say(node: &mut Node<u32>, from: u32, now: Instant, messages: &[Message<u32>]) -> usize {
    let payload = strange(node, messages);
    node.handle(now, Input::Datagram { from: &from, payload: &payload }).unwrap();
    payload.len()
}

/// Returns the datagrams to this address.
fn said_to(node: &mut Node<u32>, to: u32) -> Vec<Message<u32>> {
    let mut messages = Vec::new();
    for (address, _, payload) in transmits(node) {
        if address == to {
            let mut some = Vec::new();
            let body = node.envelope.overheard(&payload).unwrap();
            read(body, &mut some, crate::update::Format::FIRST).unwrap();
            messages.extend(some);
        }
    }
    messages
}

fn joins() -> Vec<Message<u32>> {
    let summary = Message::Repair(Repair::Summary(Summary {
        cut: Instant::from_secs(1_700_000_021).into(),
        count: 1,
        fingerprint: 1,
        state: State::PLAIN,
        answer: Answer::No,
    }));
    vec![Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record(900, Standing::Alive))))), summary]
}

#[test]
fn a_stranger_changes_nothing_until_it_shows_that_it_receives() {
    let mut node = met();
    let now = node.now;
    say(&mut node, STRANGER, now, &joins());
    assert_eq!(node.member(NodeId::new(900)), None);
    let [Message::Trust(Trust::Challenge { cookie })] = said_to(&mut node, STRANGER)[..] else {
        panic!("a challenge and no more")
    };
    assert_eq!(node.stats().datagrams_unproved, 1);

    // Guessed, or overheard by somebody who is elsewhere.
    for (from, cookie) in [(STRANGER, cookie ^ 1), (STRANGER + 1, cookie)] {
        say(&mut node, from, now, &[vec![Message::Trust(Trust::Proof { cookie })], joins()].concat());
        assert_eq!(node.member(NodeId::new(900)), None);
    }
    transmits(&mut node);
    say(&mut node, STRANGER, now, &[vec![Message::Trust(Trust::Proof { cookie })], joins()].concat());
    assert!(node.member(NodeId::new(900)).is_some(), "what came along with the proof is taken in");
    assert!(said_to(&mut node, STRANGER).iter().any(|said| matches!(
        said,
        Message::Repair(Repair::Summary(Summary { answer: Answer::Brief { .. } | Answer::Full { .. }, .. }))
    )));
    assert_eq!(node.stats().datagrams_unproved, 3);
}

#[test]
fn who_pings_is_acked_whoever_it_is() {
    let mut node = met();
    let now = node.now;
    say(&mut node, STRANGER, now, &[Message::Swim(Swim::Ping { seq: 7 })]);
    assert_eq!(said_to(&mut node, STRANGER), [Message::Swim(Swim::Ack { seq: 7 })]);
    say(&mut node, STRANGER, now, &[Message::Trust(Trust::Challenge { cookie: 7 })]);
    assert_eq!(said_to(&mut node, STRANGER), [Message::Trust(Trust::Proof { cookie: 7 })]);
    assert_eq!(node.stats().datagrams_unproved, 0);
}

#[test]
fn joining_takes_a_round_trip_more() {
    let mut net = Net::new(2, &Config::lan());
    let [seed, newcomer] = &mut net.nodes[..] else { unreachable!() };
    tick(seed, START);
    newcomer.join(START, [0]);
    for trip in 0..2 {
        assert_eq!(seed.live_members(), 1, "{trip}");
        for (to, _, payload) in transmits(newcomer) {
            assert_eq!(to, 0);
            seed.handle(START, Input::Datagram { from: &1, payload: &payload }).unwrap();
        }
        for (to, _, payload) in transmits(seed) {
            assert_eq!(to, 1);
            newcomer.handle(START, Input::Datagram { from: &0, payload: &payload }).unwrap();
        }
    }
    assert_eq!(seed.live_members(), 2);
}

#[test]
fn given_peers_meet_whichever_of_them_was_given_the_other() {
    let config = Config { membership: Membership::Given, ..Config::lan() };
    let mut net = Net::new(2, &config);
    net.nodes[0].set_peers(START, [1]);
    net.nodes[1].set_peers(START, []);
    net.nodes[0].put(START, "name", b"value").unwrap();
    net.run(10 * SECOND);
    assert_eq!(net.nodes[1].get("name").as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_ping_for_another_carries_nothing_along() {
    let mut node = met();
    let now = node.now;
    node.put(now, "hot", &[7; 500]).unwrap();
    transmits(&mut node);
    hear(
        &mut node,
        now,
        &[Message::Swim(Swim::PingReq(PingReq { seq: 1, target: NodeId::new(77), address: STRANGER }))],
    );
    assert!(matches!(said_to(&mut node, STRANGER)[..], [Message::Swim(Swim::Ping { .. })]));
}

#[test]
fn who_is_not_admitted_is_not_heard_and_not_believed_in() {
    let mut node = met();
    let now = node.now;
    node.set_admission(|id, address| id != NodeId::new(900) && *address != 4_000);
    let payload = datagram(&mut node, &[Message::Swim(Swim::Ping { seq: 1 })]);
    let heard = node.handle(now, Input::Datagram { from: &2, payload: &payload });
    assert_eq!((heard, node.stats().datagrams_not_admitted), (Err(DatagramError::NotAdmitted), 1));
    // Told by a member, of two that may not be.
    let told = [record(901, Standing::Alive), Record { address: 2, ..record(900, Standing::Alive) }];
    let told = told.map(|record| Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record)))));
    let mut body = vec![0; 500];
    let mut writer = Writer::new(&mut body);
    assert!(told.iter().all(|message| writer.push(message)));
    let used = writer.used();
    let payload = sealed_as(&mut node, 1, &body[..used]);
    node.handle(now, Input::Datagram { from: &0, payload: &payload }).unwrap();
    assert_eq!((node.live_members(), node.stats().updates_not_admitted), (4, 2));
}

#[test]
fn another_cluster_is_reported_once_an_hour() {
    let mut node = met();
    let mut other = self::node(77, Config { label: "other".into(), ..Config::lan() });
    let payload = datagram(&mut other, &[Message::Swim(Swim::Ping { seq: 1 })]);
    let mut told = Vec::new();
    let start = node.now;
    for minute in 0..180_u32 {
        let now = start + 60 * minute * SECOND;
        for from in 0..3 {
            let from = STRANGER + 10 * minute + from;
            let heard = node.handle(now, Input::Datagram { from: &from, payload: &payload });
            assert_eq!(heard, Err(DatagramError::ForeignLabel));
        }
        tick(&mut node, now);
        told.extend(core::iter::from_fn(|| node.poll_event()).filter_map(|event| match event {
            Event::ForeignCluster { address } => Some(address - STRANGER),
            _ => None,
        }));
    }
    assert_eq!(told, [2, 602, 1_202], "the latest address of each");
    assert_eq!(node.stats().datagrams_foreign, 540);
}

#[test]
fn unknown_keys_and_versions_are_reported_once_an_hour_each() {
    let mut node = met();
    let plain = datagram(&mut node, &[Message::Swim(Swim::Ping { seq: 1 })]);
    let with = |first: u8| [&[first], &plain[1..]].concat();
    let later = sealed_as(&mut node, 900, &[0xc3, 0]);
    let (start, mut told) = (node.now, Vec::new());
    for minute in 0..90_u32 {
        let now = start + 60 * minute * SECOND;
        for payload in [with(0x90), with(0x24), later.clone()] {
            assert!(node.handle(now, Input::Datagram { from: &(STRANGER + minute), payload: &payload }).is_err());
        }
        tick(&mut node, now);
        told.extend(core::iter::from_fn(|| node.poll_event()).filter_map(|event| match event {
            Event::UnknownKey { key, address } => Some((u32::from(key), address - STRANGER)),
            Event::UnknownVersion { version, address } => Some((1_000 + u32::from(version), address - STRANGER)),
            _ => None,
        }));
    }
    told.sort_unstable();
    let key = u32::from(plain[15]);
    assert_eq!(told, [(key, 0), (key, 60), (1_002, 0), (1_002, 60)], "the latest of each");
    assert_eq!(node.stats().datagrams_foreign, 270);
}

/// Messages that may come from anywhere, and name third parties if they can.
fn anything() -> impl Strategy<Value = Vec<Message<u32>>> {
    let elsewhere = || STRANGER..STRANGER + 5;
    let member = (900_u64..905, elsewhere()).prop_map(|(id, address)| {
        Message::Rumor(Rumor::Mail(Item::Update(Update::Member(Record { address, ..record(id, Standing::Alive) }))))
    });
    let request = elsewhere()
        .prop_map(|address| Message::Swim(Swim::PingReq(PingReq { seq: 1, target: NodeId::new(2), address })));
    let hostile = proptest::sample::select(hostile::hostile().concat());
    let cookie = any::<u32>();
    let message = prop_oneof![
        member,
        request,
        hostile,
        proptest::sample::select(joins()),
        any::<u32>().prop_map(|seq| Message::Swim(Swim::Ping { seq })),
        cookie.prop_map(|cookie| Message::Trust(Trust::Challenge { cookie })),
        cookie.prop_map(|cookie| Message::Trust(Trust::Proof { cookie })),
        Just(Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion(1))))),
        Just(Message::Rumor(Rumor::Mail(Item::Update(entry("x", &[1; 300]))))),
    ];
    proptest::collection::vec(message, 1..6)
}

/// As many of these messages as fit.
fn written_up_to(messages: &[Message<u32>]) -> Vec<u8> {
    let mut body = vec![0; 1_162];
    let mut writer = Writer::new(&mut body);
    for message in messages {
        writer.push(message);
    }
    let used = writer.used();
    body.truncate(used);
    body
}

/// Nodes in different states that have nothing more to send. `prepare`: what is done with each before it begins.
fn victims(prepare: impl Fn(&mut Node<u32>)) -> Vec<(&'static str, Node<u32>)> {
    let met = || {
        let mut net = Net::new(4, &Config::lan());
        for node in &mut net.nodes {
            prepare(node);
            node.join(START, [0]);
        }
        net.run(20 * SECOND);
        net.nodes[1].put(net.now, "a", &[7; 300]).unwrap();
        net.nodes[1].put_own(net.now, "b", b"own").unwrap();
        net.run(SECOND);
        net.nodes.swap_remove(1)
    };
    let mut hot = met();
    let now = hot.now;
    (0..40_u8).for_each(|n| _ = hot.put(now, &std::format!("hot-{n}"), &[n; 200]).unwrap());
    let mut joining = node(77, Config::lan());
    prepare(&mut joining);
    joining.join(now, [0, 1]);
    let mut victims = vec![("at rest", met()), ("hot", hot), ("joining", joining)];
    victims.iter_mut().for_each(|(_, node)| _ = transmits(node));
    victims
}

/// State of a node that an outsider can see: nothing of it may change.
fn seen(node: &Node<u32>) -> (crate::inspect::Reconciled, usize, usize) {
    (node.reconciled(node.now), node.members().count(), node.hot_rumors())
}

/// Bodies of every kind of message, `each` of a kind, and of those combinations that are worth trying.
fn of_every_kind(each: usize) -> Vec<Vec<u8>> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found: BTreeMap<u8, Vec<Vec<u8>>> = messages::tags_of_all().map(|tag| (tag, Vec::new())).collect();
    while found.values().any(|bodies| bodies.len() < each) {
        let body = encoded(&messages::message().new_tree(&mut runner).unwrap().current());
        let bodies = found.get_mut(&body[0]).expect("the list of kinds is whole");
        if bodies.len() < each && body.len() < 1_100 {
            bodies.push(body);
        }
    }
    let of_trust = [
        vec![Message::Trust(Trust::Challenge { cookie: 7 })],
        vec![Message::Trust(Trust::Proof { cookie: 7 })],
        vec![Message::Trust(Trust::Proof { cookie: 7 }), Message::Trust(Trust::Challenge { cookie: 7 })],
        vec![Message::Rumor(Rumor::Mail(Item::Update(entry("x", &[1; 300]))))],
        vec![Message::Swim(Swim::Ping { seq: 1 })],
        vec![Message::Swim(Swim::Ping { seq: 1 }), Message::Trust(Trust::Challenge { cookie: 7 })],
        joins(),
        vec![],
    ];
    let combined =
        hostile::hostile().iter().chain(&of_trust).map(|messages| written_up_to(messages)).collect::<Vec<_>>();
    found.into_values().flatten().chain(combined).collect()
}

/// Bytes sent and received by one who forges addresses. `seal`: how he makes a datagram of a sender's id and a body.
fn forge(
    victims: Vec<(&'static str, Node<u32>)>,
    mut seal: impl FnMut(&Node<u32>, u64, &[u8]) -> Vec<u8>,
) -> (usize, usize) {
    let bodies = of_every_kind(8);
    let (mut sent, mut received) = (0, 0);
    for (state, mut node) in victims {
        let before = seen(&node);
        let now = node.now;
        // An address of nobody, those of members and seeds, and the node's own.
        for from in [STRANGER, 0, 1, 2, 77] {
            for sender in [900, 1, 2, 78] {
                for body in &bodies {
                    let payload = seal(&node, sender, body);
                    let heard = node.handle(now, Input::Datagram { from: &from, payload: &payload });
                    let answers: usize = transmits(&mut node).iter().map(|(_, _, answer)| answer.len()).sum();
                    let most = if heard.is_ok() { payload.len() } else { 0 };
                    assert!(answers <= most, "{state}, {from}: {answers} for {}: {body:x?}", payload.len());
                    (sent, received) = (sent + payload.len(), received + answers);
                }
            }
        }
        assert_eq!(seen(&node), before, "{state}");
    }
    (sent, received)
}

#[test]
fn a_forger_of_any_address_gets_no_byte_more_than_he_sent_and_changes_nothing() {
    let mut his = node(0, Config::lan());
    let (sent, received) = forge(victims(|_| ()), |_, sender, body| sealed_for(&mut his, sender, body, None));
    assert!(received > 0, "he gets something");
    std::println!("{sent} bytes of a forger, {received} in answer");
}

#[cfg(feature = "encryption")]
#[test]
fn where_there_is_a_key_a_forger_gets_nothing_and_who_holds_it_no_more_than_he_sent() {
    let keyring = |key, salt| crate::Keyring::new(crate::Key::new([key; 32]), [salt; 16]);
    let prepare = |node: &mut Node<u32>| node.set_keyring(Some(keyring(1, node.id().get() as u8)));
    let forger = |keys: Option<crate::Keyring>| {
        let mut his = node(0, Config::lan());
        his.set_keyring(keys);
        move |node: &Node<u32>, sender: u64, body: &[u8]| {
            let header = Header::new(NodeId::new(sender), START.as_micros(), Standing::Alive, node.clock(node.now));
            let (mut bytes, place) = (vec![0; 1_200], his.envelope.body());
            let length = body.len().min(place.len());
            bytes[place.start..place.start + length].copy_from_slice(&body[..length]);
            let length = his.envelope.seal(&header, &mut bytes, length, None);
            bytes.truncate(length);
            bytes
        }
    };
    for keys in [None, Some(keyring(2, 9))] {
        let (sent, received) = forge(victims(prepare), forger(keys));
        assert!(sent > 100_000 && received == 0, "{received} bytes for {sent}");
    }
    let (sent, received) = forge(victims(prepare), forger(Some(keyring(1, 9))));
    assert!(received > 0, "he gets something");
    std::println!("{sent} sealed bytes under forged addresses, {received} in answer");
}

#[test]
fn who_guesses_the_trailer_of_a_member_is_refused() {
    let mut node = met();
    let (now, before) = (node.now, seen(&node));
    let body = written(&[Message::Rumor(Rumor::Mail(Item::Update(entry("x", b"1"))))]);
    for guess in 0..10_000 {
        let payload = sealed_for(&mut node, 1, &body, Some(guess));
        let heard = node.handle(now, Input::Datagram { from: &0, payload: &payload });
        assert_eq!(heard, Err(DatagramError::Integrity));
    }
    assert_eq!((seen(&node), transmits(&mut node).len()), (before, 0));
}

#[test]
fn two_that_hold_no_record_of_one_another_exchange_them_once() {
    let mut net = Net::joined(2, &Config::lan());
    net.nodes.push(node(2, Config::lan()));
    let now = net.now;
    tick(&mut net.nodes[2], now);
    let sent = |net: &Net| net.nodes.iter().map(|node| node.stats().datagrams_sent).sum::<u64>();
    let before = sent(&net);
    // It speaks to one that it was not told of.
    let key = net.nodes[2].own_key();
    net.nodes[2].outbox.push(TrafficClass::Rumor, 0, crate::outbox::Intent::Fact(key));
    net.deliver();
    assert!(net.nodes[0].member(NodeId::new(3)).is_some() && net.nodes[2].member(NodeId::new(1)).is_some());
    let legs = sent(&net) - before;
    assert!(legs <= 8, "{legs} datagrams");
}

#[test]
fn one_that_restarts_without_a_memory_and_is_told_of_nobody_is_found_within_seconds() {
    let mut net = Net::joined(3, &Config::lan());
    let (now, old) = (net.now, net.nodes[1].pass());
    net.nodes[1] = Node::new(NodeId::new(2), 1, Config::lan(), 99).unwrap();
    tick(&mut net.nodes[1], now + SECOND);
    net.run(10 * SECOND);
    assert!(net.nodes[1].pass() != old);
    for node in &net.nodes {
        assert_eq!(node.live_members(), 3, "{:?}", node.id());
        assert_eq!(node.stats().deaths, 0);
        let record = node.replica.member(NodeId::new(2)).unwrap();
        assert_eq!(record.pass, net.nodes[1].pass());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_gets_more_than_he_sent_before_he_has_shown_that_he_receives(
        datagrams in proptest::collection::vec((STRANGER..STRANGER + 5, 890_u64..905, anything(), 0_u64..2_000), 1..40),
    ) {
        let mut node = met();
        let mut now = node.now;
        let (mut sent, mut received) = (BTreeMap::<u32, usize>::new(), BTreeMap::<u32, usize>::new());
        for (from, sender, messages, wait) in datagrams {
            let body = written_up_to(&messages);
            let payload = sealed_for(&mut node, sender, &body, None);
            let heard = node.handle(now, Input::Datagram { from: &from, payload: &payload });
            prop_assert!(matches!(heard, Ok(()) | Err(DatagramError::Unasked)), "{:?}", heard);
            *received.entry(from).or_default() += payload.len();
            now += Duration::from_millis(wait);
            tick(&mut node, now);
            for (to, _, payload) in transmits(&mut node) {
                *sent.entry(to).or_default() += payload.len();
            }
            for (to, bytes) in sent.range(STRANGER..) {
                prop_assert!(*bytes <= received.get(to).copied().unwrap_or(0), "{} bytes to {}", bytes, to);
            }
        }
        prop_assert!((900..905).all(|id| node.member(NodeId::new(id)).is_none()), "and nobody got in");
        prop_assert_eq!(node.get("x"), None);
    }
}
