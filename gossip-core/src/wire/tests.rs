mod documented;
pub(crate) mod messages;

use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use core::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::absence::{Doubt, Knowledge};
use crate::address::Address;
use crate::config::Exchange;
use crate::replica::{Cut, Range};
use crate::sketch::Sketch;
use crate::update::samples::{record, update};
use crate::update::{
    Asks, Broadcast, Certificate, Descriptor, End, Entry, Filter, ItemHasher, MAX_NAME, Record, Stamp, Standing, Topic,
    Until, Update, Whose,
};

use messages::{message, tags_of_all};

pub(crate) type Said = Message<u16>;

const LONGEST: usize = 65_507;

fn envelope() -> Envelope {
    Envelope::new("test", LONGEST)
}

fn header() -> impl Strategy<Value = Header> {
    any::<(u64, u64, u64, bool)>().prop_map(|(sender, incarnation, clock, keyed)| {
        let header = Header::new(NodeId::new(sender), incarnation, Standing::Alive, Instant::from_micros(clock));
        Header { keyed, ..header }
    })
}

fn range() -> impl Strategy<Value = Range> {
    any::<(u64, u64)>().prop_filter_map("empty", |(a, b)| Range::new(a.min(b), a.max(b)))
}

fn cut() -> impl Strategy<Value = Cut> {
    any::<(u32, bool, u32)>().prop_map(|(at, more, kept)| Cut { at, kept: if more { kept } else { 0 } })
}

fn prefixes() -> impl Strategy<Value = Prefixes> {
    proptest::collection::vec(any::<u32>(), 0..20).prop_map(Prefixes)
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::No),
        any::<u32>().prop_map(|token| Answer::Brief { token }),
        any::<(u32, [u8; COUNTS])>().prop_map(|(token, counts)| Answer::Full { token, counts }),
    ]
}

fn state() -> impl Strategy<Value = State> {
    let knows = prop_oneof![
        Just(Knowledge::Unsaid),
        any::<(u32, u32)>().prop_map(|(since, reach)| Knowledge::Complete { since, reach }),
        any::<(u32, u32, u32)>().prop_map(|(since, heard, left)| Knowledge::InDoubt(Doubt { since, heard, left })),
    ];
    (any::<bool>(), knows).prop_map(|(partial, knows)| State { partial, knows })
}

fn rivals() -> impl Strategy<Value = Vec<Rival>> {
    let rival = any::<(u64, (u64, u64))>().prop_map(|(key, version)| Rival { key: Short(key), version });
    proptest::collection::vec(rival, 0..9)
}

fn suspicion() -> impl Strategy<Value = Suspicion> {
    any::<(u64, u64, u64)>().prop_map(|(about, incarnation, accuser)| Suspicion {
        about: NodeId::new(about),
        incarnation,
        accuser: NodeId::new(accuser),
    })
}

fn exchange() -> impl Strategy<Value = Exchange> {
    prop_oneof![Just(Exchange::Push), Just(Exchange::Pull), Just(Exchange::PushPull)]
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (0_usize..60, proptest::collection::vec(any::<u64>(), 0..20)).prop_map(|(cells, items)| {
        let mut sketch = Sketch::new(cells);
        items.into_iter().for_each(|item| sketch.add(item));
        sketch
    })
}

/// Updates of the whole range of values, not of the small world.
fn wide() -> impl Strategy<Value = Update<u16>> {
    let stamp = any::<(u64, u32, u64)>().prop_map(|(time, counter, node)| Stamp {
        time: Instant::from_micros(time),
        counter,
        node: NodeId::new(node),
    });
    let name = ".{0,40}".prop_filter("too long", |name: &String| name.len() <= MAX_NAME);
    let value = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        update(),
        (stamp.clone(), name, value.clone()).prop_map(|(stamp, name, value)| Update::Entry(Entry {
            owner: None,
            name: name.as_str().into(),
            stamp,
            ends: None,
            value: Some(value.into()),
            extra: None,
        })),
        (stamp, 0..u64::MAX, value).prop_map(|(stamp, until, value)| Update::Broadcast(Broadcast {
            stamp,
            until: Until::at(Instant::from_micros(until)),
            asks: until.is_multiple_of(2).then(|| {
                let filter = Filter::ALL.ids([NodeId::new(until)]).tag("a", "b");
                Arc::new(Asks { filter, topic: Topic::Keys })
            }),
            payload: value.into(),
        })),
    ]
}

/// Descriptors of entries of any size.
fn descriptor() -> impl Strategy<Value = Descriptor> {
    let outline = wide().prop_filter_map("no value", |update| match update {
        Update::Entry(entry) => Descriptor::of(&entry, 0),
        _ => None,
    });
    (outline, 1..u32::MAX, any::<u128>()).prop_map(|(outline, size, digest)| Descriptor { size, digest, ..outline })
}

fn span() -> impl Strategy<Value = Span> {
    any::<(u32, u32)>().prop_filter_map("empty", |(a, b)| (a != b).then(|| Span { from: a.min(b), to: a.max(b) }))
}

fn item() -> impl Strategy<Value = Item<u16>> {
    prop_oneof![
        wide().prop_map(Item::Update),
        suspicion().prop_map(Item::Suspicion),
        any::<u64>().prop_map(Item::Offer),
        descriptor().prop_map(Item::Large)
    ]
}

/// A message alone.
pub(crate) fn encoded<A: Address>(message: &Message<A>) -> Vec<u8> {
    let mut bytes = vec![0; LONGEST];
    let len = message.encode(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

/// A datagram with these messages.
fn datagram(header: &Header, messages: &[Said]) -> Vec<u8> {
    let mut buffer = vec![0; LONGEST];
    let mut writer = Writer::new(&mut buffer[HEADER..LONGEST - TRAILER]);
    assert!(messages.iter().all(|message| writer.push(message)));
    let used = writer.used();
    let len = envelope().seal(header, &mut buffer, used, header.keyed.then_some(0));
    buffer.truncate(len);
    buffer
}

fn one() -> Header {
    Header::new(NodeId::new(1), 1, Standing::Alive, Instant::ORIGIN)
}

/// A datagram with any bytes in place of messages.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    bytes.extend([0; TRAILER]);
    let len = envelope().seal(&one(), &mut bytes, body.len(), None);
    bytes.truncate(len);
    bytes
}

fn opened(bytes: &[u8]) -> Result<(Header, Vec<Said>), DatagramError> {
    opened_from(bytes, None)
}

/// `sender`: who may have sent a bare ack.
fn opened_from(bytes: &[u8], sender: Option<NodeId>) -> Result<(Header, Vec<Said>), DatagramError> {
    let (whole, mut envelope) = (envelope(), envelope());
    let (header, body) = envelope.open(bytes)?;
    if header.sender.is_none() && !sender.is_some_and(|sender| whole.is_from(bytes, sender)) {
        return Err(DatagramError::Integrity);
    }
    let mut messages = Vec::new();
    read(body, &mut messages, crate::update::Format::FIRST)?;
    Ok((header, messages))
}

/// Writes and reads once more. An ack alone, which may be what is left beside skipped messages, does not name its sender.
fn again(header: &Header, messages: &[Said]) -> Result<(Header, Vec<Said>), DatagramError> {
    let (read, messages) = opened_from(&datagram(header, messages), header.sender)?;
    Ok((Header { sender: header.sender, ..read }, messages))
}

#[test]
fn an_ack_beside_a_skipped_message_is_written_again_without_it() {
    let ack = Said::Swim(Swim::Ack { seq: 7 });
    let body = [&[129, 2, 0, 0][..], &encoded(&ack)].concat();
    let (header, messages) = opened(&sealed(&body)).unwrap();
    assert_eq!(messages, [ack]);
    assert_eq!(again(&header, &messages), Ok((header, messages)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(header in header(), messages in proptest::collection::vec(message(), 0..8)) {
        let bytes = datagram(&header, &messages);
        let length = messages.iter().map(Message::encoded_len).sum::<usize>();
        let read = opened_from(&bytes, header.sender);
        if let [Message::Swim(Swim::Ack { .. })] = messages[..] {
            prop_assert_eq!(bytes.len(), ACK_DATAGRAM);
            prop_assert_eq!(read, Ok((Header { sender: None, keyed: false, ..header }, messages)));
        } else {
            prop_assert_eq!(bytes.len(), envelope().length(length));
            prop_assert_eq!(read, Ok((header, messages)));
        }
    }

    #[test]
    fn a_datagram_cut_anywhere_is_refused(header in header(), messages in proptest::collection::vec(message(), 0..4)) {
        let bytes = datagram(&header, &messages);
        for end in 0..bytes.len() {
            prop_assert!(opened(&bytes[..end]).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn a_datagram_with_any_bit_flipped_is_refused(header in header(), messages in proptest::collection::vec(message(), 0..3)) {
        let mut bytes = datagram(&header, &messages);
        for bit in 0..bytes.len().min(600) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(opened(&bytes).is_err(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        prop_assert!(opened(&bytes).is_err());
    }

    /// Whoever knows the label can seal anything.
    #[test]
    fn arbitrary_messages_under_a_valid_trailer_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok((header, messages)) = opened(&sealed(&body)) {
            prop_assert_eq!(again(&header, &messages), Ok((header, messages)), "what is accepted has an encoding");
        }
    }

    #[test]
    fn a_damaged_message_under_a_valid_trailer_never_panics(
        message in message(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = encoded(&message);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok((header, messages)) = opened(&sealed(&body)) {
            prop_assert_eq!(again(&header, &messages), Ok((header, messages)));
        }
    }

    #[test]
    fn a_writer_takes_a_message_whole_or_not_at_all(message in message(), room in 0_usize..400) {
        let mut buffer = vec![0xaa; room];
        let mut writer = Writer::new(&mut buffer);
        let taken = writer.push(&message);
        prop_assert_eq!(taken, message.encoded_len() <= room);
        prop_assert_eq!(writer.used(), if taken { message.encoded_len() } else { 0 });
        prop_assert_eq!(writer.room() + writer.used(), room);
    }
}

#[test]
fn every_kind_of_message_is_among_the_samples() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut tags = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let said = message().new_tree(&mut runner).unwrap().current();
        tags.insert(encoded(&said)[0]);
    }
    assert!(tags.into_iter().eq(tags_of_all()));
}

#[test]
fn the_header_is_as_documented() {
    let clock = Instant::from_secs(0x2122_2324);
    let header = Header::new(NodeId::new(0x0102_0304_0506_0708), 7, Standing::Alive, clock);
    let bytes = datagram(&header, &[]);
    assert_eq!(bytes.len(), HEADER + SHORT_TRAILER);
    assert_eq!(bytes[0], 0x20);
    assert_eq!(bytes[2..10], 0x0102_0304_0506_0708_u64.to_le_bytes());
    assert_eq!(bytes[10], header.check);
    assert_eq!(bytes[11..15], 0x2122_2324_u32.to_le_bytes());
    assert_eq!(header.clock(), clock);
}

#[test]
fn a_ping_has_24_bytes_and_its_ack_16() {
    assert_eq!(datagram(&one(), &[Message::Swim(Swim::Ping { seq: u32::MAX })]).len(), 24);
    assert_eq!(datagram(&one(), &[Message::Swim(Swim::Ack { seq: u32::MAX })]).len(), 16);
}

#[test]
fn a_bare_ack_is_that_of_one_sender_and_damaged_it_is_nobodys() {
    let mut bytes = datagram(&one(), &[Message::Swim(Swim::Ack { seq: 7 })]);
    assert!(envelope().is_from(&bytes, NodeId::new(1)) && !envelope().is_from(&bytes, NodeId::new(2)));
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(opened_from(&bytes, Some(NodeId::new(1))).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn what_is_sent_to_a_member_is_read_by_nobody_who_has_another_pass() {
    let header = Header { keyed: true, ..one() };
    for messages in [vec![Message::Swim(Swim::Ping { seq: 7 })], vec![Message::Swim(Swim::Ping { seq: 7 }); 20]] {
        let bytes = datagram(&header, &messages);
        assert_eq!(opened(&bytes), Ok((header, messages)));
        let mut restarted = envelope();
        restarted.set_pass(1);
        assert_eq!(restarted.open(&bytes).map(drop), Err(DatagramError::Integrity));
        let as_stranger = [&[VERSION << 4 | STRANGER], &bytes[1..]].concat();
        assert_eq!(opened(&as_stranger), Err(DatagramError::Integrity), "nor as a stranger's");
    }
}

#[cfg(feature = "encryption")]
#[test]
fn no_nonce_comes_twice_even_if_the_keys_are_set_anew() {
    let keyring = || Keyring::new(crate::Key::new([1; 32]), [0xaa; 16]);
    let mut envelope = envelope();
    let mut nonces = std::collections::BTreeSet::new();
    for n in 0..1_000 {
        if n % 100 == 0 {
            envelope.set_keyring(Some(keyring()));
        }
        let mut buffer = vec![0; 100];
        envelope.seal(&one(), &mut buffer, 5, (n % 2 == 0).then_some(7));
        nonces.insert(buffer[HEADER + 1..HEADER + 1 + NONCE].to_vec());
    }
    assert_eq!(nonces.len(), 1_000);
}

#[test]
fn whatever_can_change_something_has_eight_bytes_of_trailer() {
    let suspicion = Suspicion { about: NodeId::new(1), incarnation: 1 << 49, accuser: NodeId::new(2) };
    let stamp = Stamp { time: Instant::from_secs(1_700_000_000), counter: 0, node: NodeId::new(1) };
    let smallest = Entry { owner: None, name: "".into(), stamp, ends: None, value: Some([].into()), extra: None };
    for item in [Item::Suspicion(suspicion), Item::Update(Update::Entry(smallest))] {
        let said: Said = Message::Rumor(Rumor::Mail(item));
        assert!(HEADER + said.encoded_len() + SHORT_TRAILER > SHORT, "{said:?}");
    }
}

#[test]
fn who_has_another_record_of_the_sender_sees_it_within_seconds() {
    let said = |second| Header::new(NodeId::new(1), 5, Standing::Alive, Instant::from_secs(second));
    for second in 0..1_000 {
        assert!(said(second).agrees(5, Standing::Alive));
    }
    let missed =
        |incarnation, standing| (0..10_000).filter(|second| said(*second).agrees(incarnation, standing)).count();
    for missed in [missed(4, Standing::Alive), missed(6, Standing::Alive), missed(5, Standing::Dead)] {
        assert!((10..=80).contains(&missed), "{missed} of 10,000, about one in 256");
    }
}

#[test]
fn a_message_of_a_later_version_is_skipped_or_refused_as_its_tag_says() {
    let ping = encoded(&Said::Swim(Swim::Ping { seq: 7 }));
    let with = |tag: u8, length: u8| [&ping[..], &[tag, length, 1, 2, 3], &ping].concat();
    let (_, messages) = opened(&sealed(&with(0x83, 3))).unwrap();
    assert_eq!(messages, [Message::Swim(Swim::Ping { seq: 7 }), Message::Swim(Swim::Ping { seq: 7 })]);
    assert_eq!(opened(&sealed(&with(0xc3, 3))), Err(DatagramError::NotUnderstood { tag: 0xc3 }));
    let offset = HEADER + ping.len();
    assert_eq!(opened(&sealed(&with(0x83, 99))), Err(DatagramError::Malformed { offset }), "longer than the rest");
    assert_eq!(opened(&sealed(&with(0x73, 3))), Err(DatagramError::Malformed { offset }), "no family of this version");
}

#[test]
fn each_refusal_names_its_cause() {
    let good = datagram(&one(), &[Message::Swim(Swim::Ping { seq: 1 })]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        opened(&bytes).map(drop)
    };
    assert_eq!(opened(&[]).map(drop), Err(DatagramError::TooShort { length: 0, shortest: 16 }));
    assert_eq!(opened(&good[..18]).map(drop), Err(DatagramError::TooShort { length: 18, shortest: 19 }));
    assert_eq!(with(0, 0x90), Err(DatagramError::Version { found: 9, spoken: VERSION }));
    assert_eq!(with(0, 0x23), Err(DatagramError::Key { key: good[HEADER] }));
    assert_eq!(with(0, 0x2f), Err(DatagramError::Malformed { offset: 0 }));
    assert_eq!(with(1, good[1] ^ 1), Err(DatagramError::ForeignLabel));
    assert_eq!(with(HEADER, 0x55), Err(DatagramError::Integrity));
    assert_eq!(opened(&sealed(&[0x7f])).map(drop), Err(DatagramError::Malformed { offset: HEADER }));
    let (body, mut small) = (sealed(&[0; 600]), Envelope::new("test", 512));
    assert_eq!(small.open(&body).map(drop), Err(DatagramError::TooLong { length: 623, longest: 512 }));
    assert_eq!(Envelope::new("other", LONGEST).open(&good).map(drop), Err(DatagramError::ForeignLabel));
}

#[test]
fn one_malformed_message_refuses_all_of_its_datagram() {
    let mut body = encoded(&Said::Swim(Swim::Ping { seq: 7 }));
    let offset = HEADER + body.len();
    body.extend([0x7f, 0xff]);
    assert_eq!(opened(&sealed(&body)), Err(DatagramError::Malformed { offset }));
}

#[test]
fn what_no_node_says_is_malformed() {
    let refused = |message: &Said| opened(&sealed(&encoded(message))).is_err();
    let stamp = Stamp { time: Instant::from_secs(1), counter: 0, node: NodeId::new(1) };
    let value = Entry { owner: None, name: "n".into(), stamp, ends: None, value: Some([1].into()), extra: None };
    let ten = End { at: Instant::from_secs(10), keep: 9, covers: End::NOTHING };
    let mail = |entry: &Entry| Said::Rumor(Rumor::Mail(Item::Update(Update::Entry(entry.clone()))));
    assert!(!refused(&mail(&value)));
    let entries = [
        ("a certificate that does not end", Entry { value: None, ..value.clone() }),
        (
            "a certificate kept for longer than 90 days",
            Entry { ends: Some(End { keep: 90 * 86_400 + 1, ..ten }), ..value.clone() },
        ),
        (
            "an end that covers an earlier one",
            Entry { ends: Some(End { covers: Until::at(ten.at), ..ten }), ..value.clone() },
        ),
        ("a name of 256 bytes", Entry { name: "n".repeat(256).as_str().into(), ..value }),
    ];
    for (what, entry) in entries {
        assert!(refused(&mail(&entry)), "{what}");
        assert!(refused(&Said::Repair(Repair::Updates(vec![Update::Entry(entry.clone())]))), "{what}");
        let page = Said::Pull(Pull::Page(Page {
            range: Range::ALL,
            last: true,
            updates: vec![Update::Entry(entry)],
            large: vec![],
        }));
        assert!(refused(&page), "{what}");
    }
    let record = |standing, until| {
        let (id, boot) = (NodeId::new(1), Instant::ORIGIN);
        Said::Rumor(Rumor::Mail(Item::Update(Update::Member(Record {
            id,
            incarnation: 1,
            boot,
            pass: 1,
            standing,
            until,
            address: 1,
            about: None,
        }))))
    };
    assert!(refused(&record(Standing::Alive, Until::at(ten.at))) && refused(&record(Standing::Dead, Until::NEVER)));
    let hasher = ItemHasher::new("test");
    let certificate = |key, ends| {
        let certificate = Certificate { key, owner: None, stamp, ends, digest: 0 };
        Said::Rumor(Rumor::Mail(Item::Update(Update::Certificate(certificate))))
    };
    assert!(!refused(&certificate(hasher.entry(Whose::Everyone, "n"), Some(ten))));
    assert!(refused(&certificate(hasher.entry(Whose::Everyone, "n"), None)));
    assert!(refused(&certificate(hasher.member(NodeId::new(1)), Some(ten))), "no certificate takes a member's place");
    assert!(
        refused(&certificate(hasher.broadcast(&stamp), Some(ten)))
            && refused(&certificate(hasher.entry(Whose::Own(NodeId::new(1)), "n"), Some(ten)))
    );
    let broadcast = Broadcast { stamp, until: Until::NEVER, asks: None, payload: [1].into() };
    assert!(refused(&Said::Rumor(Rumor::Mail(Item::Update(Update::Broadcast(broadcast))))));
    let rumor = |items| {
        Said::Rumor(Rumor::Round(Round {
            number: 1,
            feedback: true,
            pull: false,
            items: vec![(0, Item::Offer(1)); items],
        }))
    };
    assert!(!refused(&rumor(64)) && refused(&rumor(65)), "feedback has 64 bits");
}

#[test]
fn an_address_over_128_bytes_is_malformed() {
    let ask = |length| {
        Message::<String>::Swim(Swim::PingReq(PingReq { seq: 1, target: NodeId::new(1), address: "a".repeat(length) }))
    };
    let read_back = |length| {
        let mut messages: Vec<Message<String>> = Vec::new();
        read(&encoded(&ask(length)), &mut messages, crate::update::Format::FIRST)
    };
    assert!(read_back(100).is_ok(), "its length takes another");
    assert!(read_back(127).is_ok() && read_back(128).is_err() && read_back(200).is_err());
}

#[test]
fn a_length_that_is_claimed_costs_nothing() {
    // A page, a rumor message, a pull and a list of updates that claim to hold 2^60 things.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for head in
        [&[0x31, 0, 0, 1][..], &[0x11, 1, 0, 0], &[0x30, 0, 0, 1], &[0x24], &[0x23, 0, 0, 0], &[0x10, 0, 3, 0, 0, 0]]
    {
        let body = [head, &huge[..]].concat();
        assert!(opened(&sealed(&body)).is_err(), "{head:?}");
    }
}

#[test]
fn random_numbers_take_eight_bytes_and_never_takes_one() {
    assert_eq!(encoded_len(&Item::<u16>::Offer(u64::MAX)), 9);
    assert_eq!(encoded_len(&NodeId::new(u64::MAX)), 8);
    assert_eq!(encoded_len(&Until::NEVER), 1);
    assert_eq!(encoded_len(&Prefixes(vec![u32::MAX; 3])), 13);
}

#[test]
fn a_summary_fits_64_bytes_but_for_what_peers_are_told_besides() {
    let summary = |answer| -> usize {
        let (cut, count, fingerprint) = (Cut::LASTING, 1 << 28, u64::MAX);
        let state = State { partial: true, knows: Knowledge::Unsaid };
        let summary: Said = Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, state, answer }));
        envelope().length(summary.encoded_len())
    };
    let token = u32::MAX;
    assert!(summary(Answer::No) < 60);
    assert!(summary(Answer::Brief { token }) <= 64);
    assert!(summary(Answer::Full { token, counts: [u8::MAX; COUNTS] }) <= 88);
    assert!(Duration::from_secs(u64::from(u32::MAX)) > Duration::from_secs(80 * 365 * 86_400), "cuts until 2106");
}

#[test]
fn the_sampled_records_are_sound() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&record(), |record| {
            prop_assert!(opened(&datagram(&one(), &[Message::Rumor(Rumor::Mail(Item::Update(record)))])).is_ok());
            Ok(())
        })
        .unwrap();
}
