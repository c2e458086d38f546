//! The bytes that the manual shows are the bytes that are sent (`docs/wire.md`).

use core::fmt::Write;
use core::net::SocketAddr;
use std::string::ToString;

use super::*;

type Shown = Message<SocketAddr>;

/// Every message by its name there; a new one has to be given one here.
fn name(message: &Shown) -> &'static str {
    match message {
        Message::Ping { .. } => "Ping",
        Message::Ack { .. } => "Ack",
        Message::PingReq { .. } => "PingReq",
        Message::Nack { .. } => "Nack",
        Message::Mail(_) => "Mail",
        Message::Rumor { .. } => "Rumor",
        Message::Feedback { .. } => "Feedback",
        Message::Summary { .. } => "Summary",
        Message::Sketch { .. } => "Sketch",
        Message::Split { .. } => "Split",
        Message::Decoded { .. } => "Decoded",
        Message::Pull { .. } => "Pull",
        Message::Page { .. } => "Page",
        Message::Updates(_) => "Updates",
        Message::Want { .. } => "Want",
        Message::Challenge { .. } => "Challenge",
        Message::Proof { .. } => "Proof",
        Message::Large(_) => "Large",
        Message::Fetch { .. } => "Fetch",
        Message::Chunk { .. } => "Chunk",
        Message::Gone { .. } => "Gone",
        Message::Prove { .. } => "Prove",
        Message::Overlay(Overlay::Link { .. }) => "Link",
        Message::Overlay(Overlay::Linked { .. }) => "Linked",
        Message::Overlay(Overlay::Full { .. }) => "Full",
        Message::Overlay(Overlay::Unlink) => "Unlink",
        Message::Overlay(Overlay::Part) => "Part",
        Message::Overlay(Overlay::Neighbour) => "Neighbour",
        Message::Overlay(Overlay::Flood { .. }) => "Flood",
        Message::Overlay(Overlay::Offers { .. }) => "Offers",
        Message::Overlay(Overlay::Again { .. }) => "Again",
        Message::Overlay(Overlay::Confirm { .. }) => "Confirm",
        Message::Overlay(Overlay::Graft { .. }) => "Graft",
        Message::Overlay(Overlay::Prune) => "Prune",
    }
}

const TIME: Instant = Instant::from_secs(1_700_000_000);

fn stamp() -> Stamp {
    Stamp { time: TIME, counter: 0, node: NodeId::new(1) }
}

fn member() -> Update<SocketAddr> {
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let (standing, until) = (Standing::Alive, Until::NEVER);
    Update::Member(Record { id: NodeId::new(2), incarnation: TIME.as_micros(), boot: TIME, standing, until, address })
}

fn entry(value: Option<&[u8]>) -> Update<SocketAddr> {
    let until = if value.is_some() { Until::NEVER } else { Until::at(TIME) };
    let (owner, name, expires) = (None, "a".into(), Until::NEVER);
    Update::Entry(Entry { owner, name, stamp: stamp(), expires, until, value: value.map(Into::into) })
}

fn descriptor() -> Descriptor {
    let Update::Entry(entry) = entry(Some(b"b")) else { panic!() };
    let digest = ItemHasher::new("").digest(&Update::<SocketAddr>::Entry(entry.clone()));
    Descriptor { size: 2_000, ..Descriptor::of(&entry, digest).unwrap() }
}

fn certificate() -> Update<SocketAddr> {
    let hasher = ItemHasher::new("");
    let (key, digest) = (hasher.entry(None, "a"), hasher.digest(&entry(None)));
    Update::Certificate(Certificate { key, owner: None, stamp: stamp(), until: Until::at(TIME), digest })
}

fn broadcast() -> Update<SocketAddr> {
    Update::Broadcast(Broadcast { stamp: stamp(), until: Until::at(TIME), payload: (*b"hello").into() })
}

fn messages() -> Vec<Shown> {
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let (node, accuser, upper) = (NodeId::new(2), NodeId::new(3), Range::new(1 << 63, u64::MAX).unwrap());
    let suspicion = Suspicion { about: node, incarnation: TIME.as_micros(), accuser };
    let mut sketch = Sketch::new(2);
    sketch.add(0x0123_4567_89ab_cdef);
    let tokens = Tokens { mine: 5, yours: 6 };
    vec![
        Message::Ping { seq: 7 },
        Message::Ack { seq: 7 },
        Message::PingReq { seq: 7, target: node, address },
        Message::Nack { seq: 7 },
        Message::Mail(Item::Update(entry(Some(b"b")))),
        Message::Rumor {
            number: 300,
            feedback: true,
            pull: false,
            items: vec![(0, Item::Suspicion(suspicion)), (1, Item::Offer(0x0123_4567_89ab_cdef))],
        },
        Message::Feedback { number: 300, useful: 0b10, spared: 0 },
        Message::Summary {
            cut: 1_700_000_000,
            count: 3,
            fingerprint: 0x0123_4567_89ab_cdef,
            partial: false,
            answer: Answer::No,
        },
        Message::Sketch {
            cut: 1_700_000_000,
            range: Range::ALL,
            count: 3,
            exchange: Exchange::PushPull,
            tokens,
            sketch,
        },
        Message::Split { range: Range::ALL, count: 3, estimate: 200 },
        Message::Decoded {
            range: upper,
            found: 2,
            want: Prefixes::of(&[0x0123_4567_89ab_cdef]),
            rivals: vec![Rival { key: Short(0x0123_4567), version: (0, 9) }],
        },
        Message::Pull { cut: 1_700_000_000, token: 6, window: 32, ranges: vec![upper] },
        Message::Page { range: upper, last: true, updates: vec![], large: vec![] },
        Message::Updates(vec![entry(Some(b"b"))]),
        Message::Want { token: 6, keys: vec![Short(0x0123_4567)] },
        Message::Challenge { cookie: 0x1234_5678 },
        Message::Proof { cookie: 0x1234_5678 },
        Message::Large(vec![descriptor()]),
        Message::Fetch { item: 0x0123_4567_89ab_cdef, token: 6, window: 2, missing: vec![Span { from: 0, to: 2_000 }] },
        Message::Chunk { item: 0x0123_4567_89ab_cdef, offset: 1_000, last: true, bytes: b"hello".into() },
        Message::Gone { item: 0x0123_4567_89ab_cdef },
        Message::Prove { item: 0x0123_4567_89ab_cdef, token: 6 },
        Message::Overlay(Overlay::Link { first: 300, alone: false }),
        Message::Overlay(Overlay::Linked { first: 7 }),
        Message::Overlay(Overlay::Full { others: vec![node, accuser] }),
        Message::Overlay(Overlay::Unlink),
        Message::Overlay(Overlay::Part),
        Message::Overlay(Overlay::Neighbour),
        Message::Overlay(Overlay::Flood { number: 300, items: vec![Item::Update(entry(Some(b"b")))] }),
        Message::Overlay(Overlay::Offers { hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }),
        Message::Overlay(Overlay::Again { number: 301, hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }),
        Message::Overlay(Overlay::Confirm { newest: 301, missing: 0b10 }),
        Message::Overlay(Overlay::Graft { hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }),
        Message::Overlay(Overlay::Prune),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, " {byte:02x}");
        text
    })
}

#[test]
fn the_manual_shows_the_bytes_that_are_sent() {
    let mut examples: Vec<(&str, Vec<u8>)> = Vec::new();
    for message in messages() {
        examples.push((name(&message), postcard::to_allocvec(&message).unwrap()));
    }
    for (name, update) in [
        ("Member", member()),
        ("Entry", entry(Some(b"b"))),
        ("Entry, deleted", entry(None)),
        ("Certificate", certificate()),
        ("Broadcast", broadcast()),
    ] {
        examples.push((name, postcard::to_allocvec(&update).unwrap()));
    }
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer[HEADER..]);
    assert!(writer.push(&Shown::Ping { seq: 7 }));
    let used = writer.used();
    let header = Header { sender: NodeId::new(1), incarnation: TIME.as_micros(), clock: TIME };
    let len = Envelope::new("blue", 1_200).seal(&header, &mut buffer, used);
    examples.push(("Datagram", buffer[..len].to_vec()));

    let manual = include_str!("../../../docs/wire.md");
    let lines = || manual.lines().filter_map(|line| line.strip_prefix("= ")?.split_once(':'));
    let all: String = examples.iter().map(|(name, bytes)| std::format!("= {name}:{}\n", hex(bytes))).collect();
    for (name, bytes) in &examples {
        let shown: Vec<_> = lines().filter(|(shown, _)| shown == name).map(|(_, bytes)| bytes.to_string()).collect();
        assert_eq!(shown, [hex(bytes)], "{name}; all of them:\n{all}");
    }
    assert_eq!(lines().count(), examples.len(), "and no others:\n{all}");
    let shown = messages().iter().map(name).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(shown.len(), 34, "every kind of message is shown");
}
