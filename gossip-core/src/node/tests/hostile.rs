//! Bytes that no honest node sends: no panic, no change, bounded cost.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::absence::{Doubt, Knowledge};
use crate::outbox::Intent;
use crate::replica::{Cut, Range};
use crate::sketch::Sketch;
use crate::update::Descriptor;
use crate::wire::{
    self, Answer, COUNTS, Chunk, Content, Coordinates, Decoded, Feedback, FetchRequest, Page, PingReq, Post, Prefixes,
    Pull, PullRequest, Repair, Rival, Round, Rumor, Short, Span, Split, State, Summary, Suspicion, Swim, Symbols,
    Tokens, Trust, Unicast, Want,
};

// `handle` never panics on any bytes; on `Err` nothing changed but a counter.

/// A node that has heard a datagram that is refused is the same as before, but for one count.
fn assert_refused(node: &mut Node<u32>, payload: &[u8]) {
    let before = state(node);
    let later = START + 100 * SECOND;
    assert!(node.handle(later, Input::Datagram { from: &1, payload }).is_err());
    let after = state(node);
    assert!(before.0 == after.0, "the node has changed");
    assert_eq!(counted(&after.1), counted(&before.1) + 1, "exactly one counter");
}

#[test]
fn on_an_error_nothing_changes_but_a_counter() {
    let mut node = met();
    let good = datagram(
        &mut node,
        &[Message::Rumor(Rumor::Mail(Item::Update(entry("x", b"1")))), Message::Swim(Swim::Ping { seq: 1 })],
    );
    for end in 0..good.len() {
        assert_refused(&mut node, &good[..end]);
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_refused(&mut node, &bad);
    }
    let half = [
        datagram(&mut node, &[Message::Rumor(Rumor::Mail(Item::Update(entry("x", b"1"))))])[HEADER..].to_vec(),
        vec![0xff],
    ];
    let half = sealed_as(&mut node, 900, &half.concat());
    assert_refused(&mut node, &half);
    assert_refused(&mut node, &vec![0; 70_000]);
    assert_eq!(node.get("x"), None);
}

#[test]
fn an_error_does_not_begin_a_nodes_life() {
    let mut node = node(1, Config::lan());
    assert_refused(&mut node, b"junk");
    assert_eq!(node.poll_timeout(), Some(Instant::ORIGIN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sealed_bytes_panic(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 60)) {
        let mut node = met();
        for body in bodies {
            let payload = sealed_as(&mut node, 900, &body);
            let before = state(&mut node);
            let result = node.handle(START + 30 * SECOND, Input::Datagram { from: &900, payload: &payload });
            if result.is_err() {
                prop_assert!(state(&mut node).0 == before.0);
            }
        }
        transmits(&mut node);
        tick(&mut node, START + 60 * SECOND);
        transmits(&mut node);
    }

    #[test]
    fn a_key_may_be_any_text_of_up_to_255_bytes(name in ".{0,80}", value in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assume!(name.len() <= 255);
        let mut net = Net::joined(2, &Config::lan());
        net.nodes[0].put(net.now, &name, &value).unwrap();
        net.nodes[0].put_own(net.now, &name, &value).unwrap();
        net.run(SECOND);
        prop_assert!(net.nodes[1].get(&name).as_deref() == Some(&value[..]));
        prop_assert!(net.nodes[1].get_own(net.nodes[0].id(), &name).as_deref() == Some(&value[..]));
        prop_assert!(net.nodes[1].entries(&name).any(|(found, _)| *found == name));
    }
}

/// Well-formed messages that no honest node sends, or not so.
pub(super) fn hostile() -> Vec<Vec<Message<u32>>> {
    let tokens = Tokens { mine: 0, yours: 0 };
    let cells = |count: u64| {
        let exchange = crate::Exchange::PushPull;
        let sketch = Sketch::new(80);
        Message::Repair(Repair::Sketch(Symbols {
            cut: Cut::LASTING,
            range: Range::ALL,
            count,
            exchange,
            in_doubt: true,
            tokens,
            sketch,
        }))
    };
    let summary = |cut: Cut, token: Option<u32>| {
        let answer = token.map_or(Answer::No, |token| Answer::Full { token, counts: [u8::MAX; COUNTS] });
        Message::Repair(Repair::Summary(Summary {
            cut,
            count: u64::MAX,
            fingerprint: u64::MAX,
            state: State::PLAIN,
            answer,
        }))
    };
    let rival = Rival { key: Short(u64::MAX), version: (u64::MAX, 0) };
    let stamp = Stamp { time: Instant::MAX, counter: u32::MAX, node: NodeId::new(2) };
    let post = |number, content| Unicast::Post(Post { session: 1, number, content }).into();
    let farthest = [15, 0xff, 0xf7, 0x7f, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf7, 0x7f, 1];
    let coordinates = |others| {
        let others = (0..others).map(|id| (NodeId::new(id), farthest)).collect();
        Message::Coordinates(Coordinates { asks: true, own: farthest, others })
    };
    let point = Range::new(u64::MAX, u64::MAX).unwrap();
    let offers = vec![(u8::MAX, Item::Offer(7)); 64];
    let far = |standing| Update::Member(Record { incarnation: u64::MAX, boot: Instant::MAX, ..record(2, standing) });
    vec![
        vec![Message::Swim(Swim::Ping { seq: 1 }); 200],
        vec![Message::Swim(Swim::Ack { seq: 1 }); 200],
        vec![Message::Swim(Swim::Nack { seq: 1 }); 200],
        vec![Message::Swim(Swim::PingReq(PingReq { seq: 1, target: NodeId::new(2), address: u32::MAX })); 60],
        vec![Message::Rumor(Rumor::Round(Round { number: 1, feedback: true, pull: true, items: offers }))],
        vec![Message::Rumor(Rumor::Round(Round { number: 1, feedback: true, pull: true, items: vec![] })); 200],
        vec![Message::Rumor(Rumor::Feedback(Feedback { number: 1, useful: u64::MAX, neutral: u64::MAX })); 50],
        vec![
            summary(Cut::LASTING, None),
            summary(Cut { at: 0, kept: u32::MAX - 1 }, None),
            summary(Cut { at: 1_700_000_020, kept: 1_700_000_020 }, None),
            summary(Cut { at: 1_700_000_020, kept: 0 }, Some(1)),
            summary(Cut { at: 1_700_000_020, kept: u32::MAX }, Some(1)),
            summary(Cut::LASTING, Some(1)),
        ],
        vec![cells(u64::MAX)],
        vec![cells(0)],
        vec![Message::Repair(Repair::Split(Split { range: Range::ALL, count: u64::MAX, estimate: u64::MAX })); 50],
        vec![Message::Repair(Repair::Split(Split { range: point, count: 0, estimate: u64::MAX }))],
        vec![Message::Repair(Repair::Decoded(Decoded {
            range: Range::ALL,
            found: u64::MAX,
            want: Prefixes(vec![7; 280]),
            rivals: vec![],
        }))],
        vec![Message::Repair(Repair::Decoded(Decoded {
            range: Range::ALL,
            found: 0,
            want: Prefixes(vec![]),
            rivals: vec![rival; 60],
        }))],
        vec![Message::Repair(Repair::Want(Want { token: 0, keys: vec![rival.key; 140] }))],
        vec![Message::Pull(Pull::Pages(PullRequest {
            cut: Cut::LASTING,
            token: 0,
            window: u8::MAX,
            in_doubt: false,
            ranges: vec![Range::ALL; 300],
        }))],
        vec![Message::Pull(Pull::Page(Page { range: point, last: true, updates: vec![], large: vec![] })); 50],
        vec![Message::Rumor(Rumor::Mail(Item::Large(large("huge", u32::MAX))))],
        (0..16).map(|n| Message::Rumor(Rumor::Mail(Item::Large(large(&n.to_string(), 1 << 20))))).collect(),
        vec![Message::Repair(Repair::Large((0..16).map(|n| large(&n.to_string(), 1_000 + n)).collect()))],
        vec![Message::Pull(Pull::Fetch(FetchRequest {
            item: 7,
            token: 0,
            window: u8::MAX,
            missing: vec![Span { from: 0, to: u32::MAX }; 100],
        }))],
        vec![Message::Pull(Pull::Chunk(Chunk { item: 7, offset: u32::MAX - 900, last: true, bytes: vec![1; 900] }))],
        vec![Message::Pull(Pull::Gone { item: 7 }); 50],
        vec![Message::Trust(Trust::Challenge { cookie: 1 }); 50],
        vec![coordinates(0); 50],
        vec![coordinates(8); 5],
        vec![Unicast::Note { payload: [1; 99].into() }.into(); 9],
        (0..60).map(|number| post(number, Content::Payload([].into()))).collect(),
        [Content::Received(stamp), Content::Response(stamp, [1; 99].into()), Content::Declined(stamp)]
            .map(|content| post(u32::MAX, content))
            .to_vec(),
        vec![Unicast::Receipt { session: 1, number: u32::MAX }.into(); 50],
        vec![Message::Rumor(Rumor::Mail(Item::Suspicion(Suspicion { incarnation: u64::MAX, ..suspicion(2) })))],
        vec![Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion(77))))],
        [Standing::Alive, Standing::Dead, Standing::Left]
            .map(|s| Message::Rumor(Rumor::Mail(Item::Update(far(s)))))
            .to_vec(),
    ]
}

/// An item that nobody holds.
fn large(name: &str, size: u32) -> Descriptor {
    let stamp = Stamp { time: START, counter: 0, node: NodeId::new(5) };
    Descriptor { owner: None, name: name.into(), stamp, ends: None, size, digest: 7, extra: None }
}

#[test]
fn hostile_messages_neither_panic_nor_cost_more_than_a_bounded_outbox() {
    let config = Config { limits: crate::Limits { outbox: 32, ..Config::lan().limits }, ..Config::lan() };
    let mut net = Net::joined(3, &config);
    let mut victim = net.nodes.swap_remove(1);
    for round in 0..20 {
        for messages in hostile() {
            hear(&mut victim, net.now, &messages);
        }
        tick(&mut victim, net.now + round * Duration::from_millis(100));
    }
    let waiting = core::iter::from_fn(|| victim.outbox.pop()).count();
    assert!(waiting <= 6 * 33, "{waiting}");
    assert!(victim.stats().outbox_dropped > 0, "what was dropped is counted");
    let (count, bytes) = victim.transfers();
    assert!(count <= config.limits.transfers && bytes <= config.limits.transfer_bytes, "{count} {bytes}");
    assert_eq!(victim.live_members(), 3, "nobody was buried by that");
}

fn hear_from(node: &mut Node<u32>, from: u32, message: Message<u32>) {
    let (now, payload) = (node.now, datagram(node, &[message]));
    node.handle(now, Input::Datagram { from: &from, payload: &payload }).unwrap();
}

/// A node with two hundred entries.
fn laden() -> Node<u32> {
    let mut node = met();
    for n in 0..200_u32 {
        node.put(node.now, &n.to_string(), &[1; 200]).unwrap();
    }
    transmits(&mut node);
    node
}

/// The cut and the token that a node gives to everybody who asks.
fn token_for(node: &mut Node<u32>, address: u32) -> (Cut, u32) {
    let answer = Answer::No;
    let summary = Message::Repair(Repair::Summary(Summary {
        cut: Instant::from_secs(1_700_000_021).into(),
        count: 1,
        fingerprint: 1,
        state: State::PLAIN,
        answer,
    }));
    hear_from(node, address, summary);
    let said = core::iter::from_fn(|| node.outbox.pop()).find_map(|(_, _, intent)| match intent {
        Intent::Message(Message::Repair(Repair::Summary(Summary { answer: Answer::Brief { token }, cut, .. }))) => {
            Some((cut, token))
        }
        _ => None,
    });
    said.expect("an unequal summary is answered with a token")
}

#[test]
fn a_flood_of_pulls_is_answered_within_bounds() {
    let mut node = laden();
    let mut flood = |address: u32, pulls: u32| -> usize {
        let (cut, token) = token_for(&mut node, address);
        let mut pages = 0;
        for _ in 0..pulls {
            let pull = Message::Pull(Pull::Pages(PullRequest {
                cut,
                token,
                window: u8::MAX,
                in_doubt: false,
                ranges: vec![Range::ALL; 12],
            }));
            hear_from(&mut node, address, pull);
            pages += transmits(&mut node).len();
        }
        pages
    };
    let one = flood(900, 1_000);
    assert!((2_000..=4_100).contains(&one), "one peer's burst: {one}");
    assert!(flood(900, 100) <= 1, "and then nothing");
    let others: usize = (901..950).map(|address| flood(address, 100)).sum();
    assert!((2_000..=4_200).contains(&others), "what is left of that of all together: {others}");
    node.handle(node.now + SECOND, Input::Tick).unwrap();
    transmits(&mut node);
    let (cut, token) = token_for(&mut node, 900);
    hear_from(
        &mut node,
        900,
        Message::Pull(Pull::Pages(PullRequest { cut, token, window: 9, in_doubt: true, ranges: vec![Range::ALL; 12] })),
    );
    assert_eq!(transmits(&mut node).len(), 9, "a second later there is more");
}

/// Messages of anti-entropy from one who knows what an honest peer knows: the token, what is held, what was asked.
fn crafted() -> impl Strategy<Value = Crafted> {
    prop_oneof![
        any::<(u64, u64, bool, [u8; COUNTS])>().prop_map(|(a, b, c, d)| Crafted::Summary(a, b, c, d)),
        (any::<u64>(), any::<u8>(), proptest::collection::vec(any::<u64>(), 0..60), 0..=92_usize)
            .prop_map(|(count, held, items, cells)| Crafted::Symbols { count, held, items, cells }),
        (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..88 * 13)).prop_map(|(a, b)| Crafted::Junk(a, b)),
        any::<(u8, u64, u64)>().prop_map(|(range, count, estimate)| Crafted::Split(range, count, estimate)),
        any::<(u8, u64, u8, Vec<(u64, u64)>)>().prop_map(|(a, b, c, d)| Crafted::Decoded(a, b, c, d)),
        any::<(u8, Vec<u64>)>().prop_map(|(held, keys)| Crafted::Want(held, keys)),
        any::<(u8, Vec<(u64, u64)>)>().prop_map(|(window, ranges)| Crafted::Pull(window, ranges)),
        any::<(u64, u64, bool)>().prop_map(|(a, b, last)| Crafted::Page(a, b, last)),
    ]
}

#[derive(Debug, Clone)]
enum Crafted {
    Summary(u64, u64, bool, [u8; COUNTS]),
    Symbols { count: u64, held: u8, items: Vec<u64>, cells: usize },
    Junk(u64, Vec<u8>),
    Split(u8, u64, u64),
    Decoded(u8, u64, u8, Vec<(u64, u64)>),
    Want(u8, Vec<u64>),
    Pull(u8, Vec<(u64, u64)>),
    Page(u64, u64, bool),
}

impl Crafted {
    /// `asked`: the ranges of the sketches that the node has sent; `tokens`: its own, and what it takes for the peer's.
    fn message(self, node: &Node<u32>, asked: &[Range], (cut, token): (Cut, u32)) -> Option<Message<u32>> {
        let held = |some: u8| node.replica.hashes_in(Range::ALL).take(some.into());
        let range = |at: u8| asked.get(usize::from(at) % asked.len().max(1)).copied().unwrap_or(Range::ALL);
        let any_range = |(a, b): (u64, u64)| Range::new(a.min(b), a.max(b)).unwrap_or(Range::ALL);
        let tokens = Tokens { mine: 9, yours: token };
        let exchange = crate::Exchange::PushPull;
        Some(match self {
            Self::Summary(count, fingerprint, partial, counts) => {
                let answer = if partial { Answer::Full { token: 9, counts } } else { Answer::No };
                // Bytes that are random as well.
                let [kind, since, reach, left, ..] = counts.map(u32::from);
                let knows = match kind % 3 {
                    0 => Knowledge::Unsaid,
                    1 => Knowledge::Complete { since, reach: reach << 24 },
                    _ => Knowledge::InDoubt(Doubt { since, heard: reach << 24, left: left << 24 }),
                };
                let state = State { partial, knows };
                Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, state, answer }))
            }
            Self::Symbols { count, held: some, items, cells } => {
                let mut sketch = Sketch::new(cells.min(86));
                held(some).chain(items).for_each(|item| sketch.add(item));
                Message::Repair(Repair::Sketch(Symbols {
                    cut,
                    range: Range::ALL,
                    count,
                    exchange,
                    in_doubt: count % 2 == 0,
                    tokens,
                    sketch,
                }))
            }
            Self::Junk(count, mut bytes) => {
                bytes.truncate(bytes.len() / 13 * 13);
                let encoded = postcard::to_allocvec(serde_bytes::Bytes::new(&bytes)).ok()?;
                let sketch = postcard::from_bytes(&encoded).ok()?;
                Message::Repair(Repair::Sketch(Symbols {
                    cut,
                    range: Range::ALL,
                    count,
                    exchange,
                    in_doubt: count % 2 == 0,
                    tokens,
                    sketch,
                }))
            }
            Self::Split(at, count, estimate) => {
                Message::Repair(Repair::Split(Split { range: range(at), count, estimate }))
            }
            Self::Decoded(at, found, some, rivals) => {
                let want = Prefixes::of(&held(some).collect::<Vec<_>>());
                let rivals = rivals.into_iter().take(9);
                let rivals = rivals.map(|(key, time)| Rival { key: Short(key), version: (0, time) }).collect();
                Message::Repair(Repair::Decoded(Decoded { range: range(at), found, want, rivals }))
            }
            Self::Want(some, keys) => {
                let held = held(some.min(80)).filter_map(|hash| node.replica.key_of(hash)).map(|key| key.short());
                Message::Repair(Repair::Want(Want {
                    token,
                    keys: held.chain(keys.into_iter().take(20)).map(Short).collect(),
                }))
            }
            Self::Pull(window, ranges) => {
                let ranges = ranges.into_iter().take(20).map(any_range).chain([Range::ALL]).collect();
                Message::Pull(Pull::Pages(PullRequest { cut, token, window, in_doubt: window % 2 == 0, ranges }))
            }
            Self::Page(a, b, last) => Message::Pull(Pull::Page(Page {
                range: any_range((a, b)),
                last,
                updates: vec![entry("x", b"1")],
                large: vec![],
            })),
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn crafted_messages_of_anti_entropy_are_answered_within_bounds(crafted in proptest::collection::vec(crafted(), 1..60)) {
        let mut node = laden();
        let (cut, token) = token_for(&mut node, 900);
        // An exchange of its own with the same peer, so that answers find something to answer.
        node.begin_exchange(&900);
        let mut asked = Vec::new();
        let mut messages = Vec::<Message<u32>>::new();
        for crafted in crafted {
            let Some(message) = crafted.message(&node, &asked, (cut, token)) else { continue };
            hear_from(&mut node, 900, message);
            let answers = transmits(&mut node);
            prop_assert!(answers.len() <= 80, "{} datagrams", answers.len());
            for (_, _, payload) in answers {
                let body = node.envelope.overheard(&payload).unwrap();
                wire::read(body, &mut messages, crate::update::Format::FIRST).unwrap();
                asked.extend(messages.iter().filter_map(|message| match message {
                    Message::Repair(Repair::Sketch(Symbols { range, .. })) => Some(*range),
                    _ => None,
                }));
            }
        }
        // And all that comes to an end.
        for _ in 0..2_000 {
            let due = node.poll_timeout().unwrap();
            tick(&mut node, due);
            transmits(&mut node);
        }
        prop_assert!(node.anti_entropy.is_quiet());
        prop_assert!(node.replica.counts().1 < 260);
    }
}

#[test]
fn hostile_messages_with_a_proven_address_are_answered_within_bounds() {
    let mut node = laden();
    let (cut, token) = token_for(&mut node, 900);
    let now = node.now;
    for window in [0, 1, 255] {
        let pull = Message::Pull(Pull::Pages(PullRequest {
            cut,
            token,
            window,
            in_doubt: true,
            ranges: vec![Range::ALL; 300],
        }));
        (0..3).for_each(|_| hear(&mut node, now, core::slice::from_ref(&pull)));
        let pages = transmits(&mut node).iter().filter(|(_, kind, _)| *kind == TrafficClass::Bulk).count();
        assert!(pages <= 32, "one pull at a time: {pages}");
    }
    let tokens = Tokens { mine: 0, yours: token };
    for (cells, count) in [(0, 0), (1, u64::MAX), (80, u64::MAX), (80, 0)] {
        let (range, exchange, sketch) = (Range::ALL, crate::Exchange::PushPull, Sketch::new(cells));
        hear(
            &mut node,
            now,
            &[Message::Repair(Repair::Sketch(Symbols {
                cut,
                range,
                count,
                exchange,
                in_doubt: count % 2 == 0,
                tokens,
                sketch,
            }))],
        );
        assert!(transmits(&mut node).len() <= 4);
    }
}
