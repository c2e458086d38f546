//! The bytes that the manual shows are the bytes that are sent (`docs/wire.md`).

use core::fmt::Write;
use core::net::SocketAddr;
use std::string::ToString;

use super::*;
use crate::update::{About, Extra, Features, Format, Formats, Owner, Tags};

type Shown = Message<SocketAddr>;

/// Every message by its name there; a new one has to be given one here.
fn name(message: &Shown) -> &'static str {
    match message {
        Message::Swim(Swim::Ping { .. }) => "Ping",
        Message::Swim(Swim::Ack { .. }) => "Ack",
        Message::Swim(Swim::PingReq(PingReq { .. })) => "PingReq",
        Message::Swim(Swim::Nack { .. }) => "Nack",
        Message::Swim(Swim::Unreached(_)) => "Unreached",
        Message::Rumor(Rumor::Mail(_)) => "Mail",
        Message::Rumor(Rumor::Round(Round { .. })) => "Rumor",
        Message::Rumor(Rumor::Feedback(Feedback { .. })) => "Feedback",
        Message::Repair(Repair::Summary(Summary { .. })) => "Summary",
        Message::Repair(Repair::Sketch(Symbols { .. })) => "Sketch",
        Message::Repair(Repair::Split(Split { .. })) => "Split",
        Message::Repair(Repair::Decoded(Decoded { .. })) => "Decoded",
        Message::Pull(Pull::Pages(PullRequest { .. })) => "Pull",
        Message::Pull(Pull::Page(Page { .. })) => "Page",
        Message::Repair(Repair::Updates(_)) => "Updates",
        Message::Repair(Repair::Want(Want { .. })) => "Want",
        Message::Trust(Trust::Challenge { .. }) => "Challenge",
        Message::Trust(Trust::Proof { .. }) => "Proof",
        Message::Repair(Repair::Large(_)) => "Large",
        Message::Pull(Pull::Fetch(FetchRequest { .. })) => "Fetch",
        Message::Pull(Pull::Chunk(Chunk { .. })) => "Chunk",
        Message::Pull(Pull::Gone { .. }) => "Gone",
        Message::Overlay(message) => overlay(message),
        #[cfg(feature = "next")]
        Message::Next => panic!("no release sends it"),
        Message::Path(Path::Echo(_)) => "Echo",
        Message::Path(Path::Echoed(_)) => "Echoed",
        Message::Path(Path::Narrow { .. }) => "Narrow",
        Message::Unicast(Unicast::Note { .. }) => "Note",
        Message::Unicast(Unicast::Post(Post { content: Content::Payload(_), .. })) => "Post",
        Message::Unicast(Unicast::Post(Post { content: Content::Received(_), .. })) => "Post, received",
        Message::Unicast(Unicast::Post(Post { content: Content::Response(..), .. })) => "Post, response",
        Message::Unicast(Unicast::Post(Post { content: Content::Declined(_), .. })) => "Post, declined",
        Message::Unicast(Unicast::Receipt { .. }) => "Receipt",
        Message::Coordinates(Coordinates { asks: true, .. }) => "Coordinates, asked for",
        Message::Coordinates(_) => "Coordinates",
    }
}

const fn overlay(message: &Overlay<SocketAddr>) -> &'static str {
    match message {
        Overlay::Link { .. } => "Link",
        Overlay::Linked { .. } => "Linked",
        Overlay::Full { .. } => "Full",
        Overlay::Unlink => "Unlink",
        Overlay::Part => "Part",
        Overlay::Neighbour => "Neighbour",
        Overlay::Flood { .. } => "Flood",
        Overlay::Offers { .. } => "Offers",
        Overlay::Again { .. } => "Again",
        Overlay::Confirm { .. } => "Confirm",
        Overlay::Graft { .. } => "Graft",
        Overlay::Prune => "Prune",
    }
}

/// Exponent 1; the numbers 100 and -100, six times 0, height 40, adjustment -3; an error of 26 in 128.
const COORDINATE: [u8; 17] = [1, 0x64, 0xc0, 0xf9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x28, 0xd0, 0xff, 26];

const TIME: Instant = Instant::from_secs(1_700_000_000);

fn stamp() -> Stamp {
    Stamp { time: TIME, counter: 0, node: NodeId::new(1) }
}

fn member() -> Update<SocketAddr> {
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let (standing, until) = (Standing::Alive, Until::NEVER);
    let (id, incarnation, boot, pass) = (NodeId::new(2), TIME.as_micros(), TIME, 0x0123_4567_89ab_cdef);
    Update::Member(Record { id, incarnation, boot, pass, standing, until, address, about: None })
}

fn named() -> Update<SocketAddr> {
    let Update::Member(record) = member() else { panic!() };
    let about = About::of("b".into(), Tags::of([("role", "db")]).unwrap());
    Update::Member(Record { about, ..record })
}

/// Its formats, and a field of a later version.
fn extended() -> Update<SocketAddr> {
    let Update::Member(record) = member() else { panic!() };
    let (highest, can) = (Format::new(2, 3), Features::of(5));
    let about = About::formatted(None, Formats { highest, can, ..Formats::FIRST });
    Update::Member(Record { about: About::with(about.as_ref(), 9, &[7, 8]), ..record })
}

/// An entry with a field of a later version.
fn extended_entry() -> Update<SocketAddr> {
    let Update::Entry(entry) = entry(Some(b"b")) else { panic!() };
    Update::Entry(Entry { extra: Extra::of(&[9, 2, 7, 8]), ..entry })
}

fn end() -> End {
    End { at: TIME, keep: 604_800, covers: Until::NEVER }
}

fn entry(value: Option<&[u8]>) -> Update<SocketAddr> {
    let ends = value.is_none().then(end);
    Update::Entry(Entry {
        owner: None,
        name: "a".into(),
        stamp: stamp(),
        ends,
        value: value.map(Into::into),
        extra: None,
    })
}

/// A share of the author.
fn share() -> Update<SocketAddr> {
    let Update::Entry(entry) = entry(Some(b"b")) else { panic!() };
    Update::Entry(Entry { owner: Some(Owner::of_share(entry.stamp.node)), ..entry })
}

fn descriptor() -> Descriptor {
    let Update::Entry(entry) = entry(Some(b"b")) else { panic!() };
    let digest = ItemHasher::new("").digest(&Update::<SocketAddr>::Entry(entry.clone()));
    Descriptor { size: 2_000, ..Descriptor::of(&entry, digest).unwrap() }
}

fn certificate() -> Update<SocketAddr> {
    let hasher = ItemHasher::new("");
    let (key, digest) = (hasher.entry(Whose::Everyone, "a"), hasher.digest(&entry(None)));
    Update::Certificate(Certificate { key, owner: None, stamp: stamp(), ends: Some(end()), digest })
}

fn broadcast() -> Update<SocketAddr> {
    Update::Broadcast(Broadcast { stamp: stamp(), until: Until::at(TIME), asks: None, payload: (*b"hello").into() })
}

fn query() -> Update<SocketAddr> {
    let Update::Broadcast(broadcast) = broadcast() else { panic!() };
    let filter = Filter::ALL.ids([NodeId::new(2)]).names(["b"]).tag("role", "db");
    Update::Broadcast(Broadcast { asks: Some(Asks { filter, topic: Topic::Application }.into()), ..broadcast })
}

fn post(content: Content) -> Shown {
    Unicast::Post(Post { session: 0x1234_5678, number: 300, content }).into()
}

fn messages() -> Vec<Shown> {
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let (node, accuser, upper) = (NodeId::new(2), NodeId::new(3), Range::new(1 << 63, u64::MAX).unwrap());
    let suspicion = Suspicion { about: node, incarnation: TIME.as_micros(), accuser };
    let mut sketch = Sketch::new(2);
    sketch.add(0x0123_4567_89ab_cdef);
    let tokens = Tokens { mine: 5, yours: 6 };
    vec![
        Message::Swim(Swim::Ping { seq: 7 }),
        Message::Swim(Swim::Ack { seq: 7 }),
        Message::Swim(Swim::PingReq(PingReq { seq: 7, target: node, address })),
        Message::Swim(Swim::Nack { seq: 7 }),
        Message::Swim(Swim::Unreached(Unreached { advertised: address, seen: address })),
        Message::Rumor(Rumor::Mail(Item::Update(entry(Some(b"b"))))),
        Message::Rumor(Rumor::Round(Round {
            number: 300,
            feedback: true,
            pull: false,
            items: vec![(0, Item::Suspicion(suspicion)), (1, Item::Offer(0x0123_4567_89ab_cdef))],
        })),
        Message::Rumor(Rumor::Feedback(Feedback { number: 300, useful: 0b10, neutral: 0 })),
        Message::Repair(Repair::Summary(Summary {
            cut: TIME.into(),
            count: 3,
            fingerprint: 0x0123_4567_89ab_cdef,
            state: State::PLAIN,
            answer: Answer::No,
        })),
        Message::Repair(Repair::Sketch(Symbols {
            cut: TIME.into(),
            range: Range::ALL,
            count: 3,
            exchange: Exchange::PushPull,
            in_doubt: false,
            tokens,
            sketch,
        })),
        Message::Repair(Repair::Split(Split { range: Range::ALL, count: 3, estimate: 200 })),
        Message::Repair(Repair::Decoded(Decoded {
            range: upper,
            found: 2,
            want: Prefixes::of(&[0x0123_4567_89ab_cdef]),
            rivals: vec![Rival { key: Short(0x0123_4567), version: (0, 9) }],
        })),
        Message::Pull(Pull::Pages(PullRequest {
            cut: TIME.into(),
            token: 6,
            window: 32,
            in_doubt: false,
            ranges: vec![upper],
        })),
        Message::Pull(Pull::Page(Page { range: upper, last: true, updates: vec![], large: vec![] })),
        Message::Repair(Repair::Updates(vec![entry(Some(b"b"))])),
        Message::Repair(Repair::Want(Want { token: 6, keys: vec![Short(0x0123_4567)] })),
        Message::Trust(Trust::Challenge { cookie: 0x1234_5678 }),
        Message::Trust(Trust::Proof { cookie: 0x1234_5678 }),
        Message::Repair(Repair::Large(vec![descriptor()])),
        Message::Pull(Pull::Fetch(FetchRequest {
            item: 0x0123_4567_89ab_cdef,
            token: 6,
            window: 2,
            missing: vec![Span { from: 0, to: 2_000 }],
        })),
        Message::Pull(Pull::Chunk(Chunk {
            item: 0x0123_4567_89ab_cdef,
            offset: 1_000,
            last: true,
            bytes: b"hello".into(),
        })),
        Message::Pull(Pull::Gone { item: 0x0123_4567_89ab_cdef }),
        Overlay::Link { first: 300, alone: false }.into(),
        Overlay::Linked { first: 7 }.into(),
        Overlay::Full { others: vec![node, accuser] }.into(),
        Overlay::Unlink.into(),
        Overlay::Part.into(),
        Overlay::Neighbour.into(),
        Overlay::Flood { number: 300, hops: 2, items: vec![Item::Update(entry(Some(b"b")))] }.into(),
        Overlay::Offers { hops: 3, hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }.into(),
        Overlay::Again { number: 301, hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }.into(),
        Overlay::Confirm { newest: 301, missing: 0b10 }.into(),
        Overlay::Graft { hashes: Hashes(vec![0x0123_4567_89ab_cdef]) }.into(),
        Overlay::Prune.into(),
        Path::Echo(Echo { seq: 7, padding: vec![0; 3] }).into(),
        Path::Echoed(Echo { seq: 7, padding: vec![] }).into(),
        Path::Narrow { longest: 512 }.into(),
        Unicast::Note { payload: (*b"hello").into() }.into(),
        post(Content::Payload((*b"hello").into())),
        post(Content::Received(stamp())),
        post(Content::Response(stamp(), (*b"hello").into())),
        post(Content::Declined(stamp())),
        Unicast::Receipt { session: 0x1234_5678, number: 300 }.into(),
        Coordinates { asks: true, own: COORDINATE, others: vec![] }.into(),
        Coordinates { asks: false, own: COORDINATE, others: vec![(node, COORDINATE)] }.into(),
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
        examples.push((name(&message), encoded(&message)));
    }
    for (name, update) in [
        ("Member", member()),
        ("Member, named", named()),
        ("Member, with formats and an unknown field", extended()),
        ("Entry", entry(Some(b"b"))),
        ("Entry, with an unknown field", extended_entry()),
        ("Entry, share of member 1", share()),
        ("Entry, deleted", entry(None)),
        ("Certificate", certificate()),
        ("Broadcast", broadcast()),
        ("Broadcast that asks", query()),
    ] {
        examples.push((name, postcard::to_allocvec(&update).unwrap()));
    }
    let (ping, ack) = (Swim::Ping { seq: 7 }, Swim::Ack { seq: 7 });
    let pass = Some(0x0123_4567_89ab_cdef);
    for (name, message, to) in
        [("Datagram", ping.clone(), pass), ("Between strangers", ping, None), ("Bare ack", ack, pass)]
    {
        let mut buffer = [0; 512];
        let mut writer = Writer::new(&mut buffer[HEADER..]);
        assert!(writer.push(&Shown::Swim(message)));
        let used = writer.used();
        let header = Header::new(NodeId::new(1), TIME.as_micros(), Standing::Alive, TIME);
        let len = Envelope::new("blue", 1_200).seal(&header, &mut buffer, used, to);
        examples.push((name, buffer[..len].to_vec()));
    }

    let manual = include_str!("../../../docs/wire.md");
    let lines = || manual.lines().filter_map(|line| line.strip_prefix("= ")?.split_once(':'));
    let all: String = examples.iter().map(|(name, bytes)| std::format!("= {name}:{}\n", hex(bytes))).collect();
    for (name, bytes) in &examples {
        let shown: Vec<_> = lines().filter(|(shown, _)| shown == name).map(|(_, bytes)| bytes.to_string()).collect();
        assert_eq!(shown, [hex(bytes)], "{name}; all of them:\n{all}");
    }
    assert_eq!(lines().count(), examples.len(), "and no others:\n{all}");
    let shown = messages().iter().map(name).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(shown.len(), 45, "every kind of message is shown");
}
