mod documented;

use std::string::String;
use std::vec;
use std::vec::Vec;

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::address::Address;
use crate::config::Exchange;
use crate::replica::Range;
use crate::sketch::Sketch;
use crate::update::samples::{record, update};
use crate::update::{
    Broadcast, Certificate, Descriptor, Entry, ItemHasher, MAX_NAME, Record, Stamp, Standing, Until, Update,
};

type Said = Message<u16>;

const LONGEST: usize = 65_507;

fn envelope() -> Envelope {
    Envelope::new("test", LONGEST)
}

fn header() -> impl Strategy<Value = Header> {
    any::<(u64, u64, u64)>().prop_map(|(sender, incarnation, clock)| Header {
        sender: NodeId::new(sender),
        incarnation,
        clock: Instant::from_micros(clock),
    })
}

fn range() -> impl Strategy<Value = Range> {
    any::<(u64, u64)>().prop_filter_map("empty", |(a, b)| Range::new(a.min(b), a.max(b)))
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
            expires: Until::NEVER,
            until: Until::NEVER,
            value: Some(value.into()),
        })),
        (stamp, 0..u64::MAX, value).prop_map(|(stamp, until, value)| Update::Broadcast(Broadcast {
            stamp,
            until: Until::at(Instant::from_micros(until)),
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

fn message() -> impl Strategy<Value = Said> {
    let tokens = any::<(u32, u32)>().prop_map(|(mine, yours)| Tokens { mine, yours });
    let updates = || proptest::collection::vec(wide(), 0..6);
    let large = || proptest::collection::vec(descriptor(), 0..4);
    prop_oneof![
        any::<u32>().prop_map(|seq| Message::Swim(Swim::Ping { seq })),
        any::<u32>().prop_map(|seq| Message::Swim(Swim::Ack { seq })),
        any::<(u32, u64, u16)>().prop_map(|(seq, target, address)| Message::Swim(Swim::PingReq(PingReq {
            seq,
            target: NodeId::new(target),
            address
        }))),
        any::<u32>().prop_map(|seq| Message::Swim(Swim::Nack { seq })),
        item().prop_map(|item| Message::Rumor(Rumor::Mail(item))),
        (any::<(u16, bool, bool)>(), proptest::collection::vec((any::<u8>(), item()), 0..10)).prop_map(
            |((number, feedback, pull), items)| Message::Rumor(Rumor::Round(Round { number, feedback, pull, items }))
        ),
        any::<(u16, u64, u64)>().prop_map(|(number, useful, spared)| Message::Rumor(Rumor::Feedback(Feedback {
            number,
            useful,
            spared
        }))),
        (any::<(u32, u64, u64, bool)>(), answer()).prop_map(|((cut, count, fingerprint, partial), answer)| {
            Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, partial, answer }))
        }),
        (any::<(u32, u64)>(), range(), exchange(), tokens, sketch()).prop_map(
            |((cut, count), range, exchange, tokens, sketch)| {
                Message::Repair(Repair::Sketch(Symbols { cut, range, count, exchange, tokens, sketch }))
            }
        ),
        (range(), any::<(u64, u64)>()).prop_map(|(range, (count, estimate))| Message::Repair(Repair::Split(Split {
            range,
            count,
            estimate
        }))),
        (range(), any::<u64>(), prefixes(), rivals()).prop_map(|(range, found, want, rivals)| Message::Repair(
            Repair::Decoded(Decoded { range, found, want, rivals })
        )),
        any::<(u32, Vec<u64>)>().prop_map(|(token, keys)| Message::Repair(Repair::Want(Want {
            token,
            keys: keys.into_iter().map(Short).collect()
        }))),
        (any::<(u32, u32, u8)>(), proptest::collection::vec(range(), 0..20)).prop_map(
            |((cut, token, window), ranges)| Message::Pull(Pull::Pages(PullRequest { cut, token, window, ranges }))
        ),
        (range(), any::<bool>(), updates(), large())
            .prop_map(|(range, last, updates, large)| Message::Pull(Pull::Page(Page { range, last, updates, large }))),
        updates().prop_map(|updates| Message::Repair(Repair::Updates(updates))),
        any::<u32>().prop_map(|cookie| Message::Trust(Trust::Challenge { cookie })),
        any::<u32>().prop_map(|cookie| Message::Trust(Trust::Proof { cookie })),
        large().prop_map(|large| Message::Repair(Repair::Large(large))),
        (any::<(u64, u32, u8)>(), proptest::collection::vec(span(), 0..5)).prop_map(
            |((item, token, window), missing)| Message::Pull(Pull::Fetch(FetchRequest {
                item,
                token,
                window,
                missing
            }))
        ),
        (any::<(u64, u32, bool)>(), proptest::collection::vec(any::<u8>(), 1..99)).prop_map(
            |((item, offset, last), bytes)| Message::Pull(Pull::Chunk(Chunk { item, offset: offset / 2, last, bytes }))
        ),
        any::<u64>().prop_map(|item| Message::Pull(Pull::Gone { item })),
        any::<(u64, u32)>().prop_map(|(item, token)| Message::Trust(Trust::Prove { item, token })),
    ]
}

/// A message alone.
fn encoded<A: Address>(message: &Message<A>) -> Vec<u8> {
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
    let len = envelope().seal(header, &mut buffer, used);
    buffer.truncate(len);
    buffer
}

/// A datagram with any bytes in place of messages.
fn sealed(body: &[u8]) -> Vec<u8> {
    let header = Header { sender: NodeId::new(1), incarnation: 1, clock: Instant::ORIGIN };
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    bytes.extend([0; TRAILER]);
    envelope().seal(&header, &mut bytes, body.len());
    bytes
}

fn opened(bytes: &[u8]) -> Result<(Header, Vec<Said>), DatagramError> {
    let mut envelope = envelope();
    let (header, body) = envelope.open(bytes)?;
    let mut messages = Vec::new();
    read(body, &mut messages)?;
    Ok((header, messages))
}

proptest! {
    #[test]
    fn what_is_written_is_read(header in header(), messages in proptest::collection::vec(message(), 0..8)) {
        let bytes = datagram(&header, &messages);
        prop_assert_eq!(bytes.len(), HEADER + TRAILER + messages.iter().map(Message::encoded_len).sum::<usize>());
        prop_assert_eq!(opened(&bytes), Ok((header, messages)));
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
            let again = datagram(&header, &messages);
            prop_assert_eq!(opened(&again), Ok((header, messages)), "what is accepted has an encoding");
        }
    }

    #[test]
    fn a_damaged_message_under_a_valid_trailer_never_panics(
        message in message(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let bytes = datagram(&Header { sender: NodeId::new(1), incarnation: 1, clock: Instant::ORIGIN }, &[message]);
        let mut body = bytes[HEADER..bytes.len() - TRAILER].to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok((header, messages)) = opened(&sealed(&body)) {
            let again = datagram(&header, &messages);
            prop_assert_eq!(opened(&again), Ok((header, messages)));
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
fn the_header_is_as_documented() {
    let header = Header {
        sender: NodeId::new(0x0102_0304_0506_0708),
        incarnation: 0x1112_1314_1516_1718,
        clock: Instant::from_micros(0x2122_2324_2526_2728),
    };
    let bytes = datagram(&header, &[]);
    assert_eq!(bytes.len(), HEADER + TRAILER);
    assert_eq!(bytes[..2], [VERSION, 0]);
    assert_eq!(bytes[6..14], 0x0102_0304_0506_0708_u64.to_le_bytes());
    assert_eq!(bytes[14..22], 0x1112_1314_1516_1718_u64.to_le_bytes());
    assert_eq!(bytes[22..30], 0x2122_2324_2526_2728_u64.to_le_bytes());
}

#[test]
fn each_refusal_names_its_cause() {
    let header = Header { sender: NodeId::new(1), incarnation: 1, clock: Instant::ORIGIN };
    let good = datagram(&header, &[Message::Swim(Swim::Ping { seq: 1 })]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        opened(&bytes).map(drop)
    };
    assert_eq!(opened(&[]).map(drop), Err(DatagramError::TooShort { length: 0, shortest: 38 }));
    assert_eq!(with(0, 9), Err(DatagramError::Version { found: 9, spoken: VERSION }));
    assert_eq!(with(1, 3), Err(DatagramError::Key { key: 3 }));
    assert_eq!(with(2, good[2] ^ 1), Err(DatagramError::ForeignLabel));
    assert_eq!(with(30, 0x55), Err(DatagramError::Integrity));
    assert_eq!(opened(&sealed(&[0xff])).map(drop), Err(DatagramError::Malformed { offset: HEADER }));
    let (body, mut small) = (sealed(&[0; 600]), Envelope::new("test", 512));
    assert_eq!(small.open(&body).map(drop), Err(DatagramError::TooLong { length: 638, longest: 512 }));
    assert_eq!(Envelope::new("other", LONGEST).open(&good).map(drop), Err(DatagramError::ForeignLabel));
}

#[test]
fn one_malformed_message_refuses_all_of_its_datagram() {
    let mut body = encoded(&Said::Swim(Swim::Ping { seq: 7 }));
    let offset = HEADER + body.len();
    body.extend([0xff, 0xff]);
    assert_eq!(opened(&sealed(&body)), Err(DatagramError::Malformed { offset }));
}

#[test]
fn what_no_node_says_is_malformed() {
    let refused = |message: &Said| opened(&sealed(&encoded(message))).is_err();
    let stamp = Stamp { time: Instant::from_secs(1), counter: 0, node: NodeId::new(1) };
    let value = Entry {
        owner: None,
        name: "n".into(),
        stamp,
        expires: Until::NEVER,
        until: Until::NEVER,
        value: Some([1].into()),
    };
    let ten = Until::at(Instant::from_secs(10));
    let mail = |entry: &Entry| Said::Rumor(Rumor::Mail(Item::Update(Update::Entry(entry.clone()))));
    assert!(!refused(&mail(&value)));
    let entries = [
        ("a value that is immortal but ends", Entry { until: ten, ..value.clone() }),
        ("a value that expires but never ends", Entry { expires: ten, ..value.clone() }),
        ("a value that ends before it expires", {
            Entry { expires: ten, until: Until::at(Instant::from_secs(9)), ..value.clone() }
        }),
        ("a certificate for ever", Entry { value: None, ..value.clone() }),
        ("a certificate that expires", Entry { value: None, expires: ten, until: ten, ..value.clone() }),
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
            standing,
            until,
            address: 1,
        }))))
    };
    assert!(refused(&record(Standing::Alive, ten)) && refused(&record(Standing::Dead, Until::NEVER)));
    let hasher = ItemHasher::new("test");
    let certificate = |key, until| {
        let certificate = Certificate { key, owner: None, stamp, until, digest: 0 };
        Said::Rumor(Rumor::Mail(Item::Update(Update::Certificate(certificate))))
    };
    assert!(!refused(&certificate(hasher.entry(None, "n"), ten)));
    assert!(refused(&certificate(hasher.entry(None, "n"), Until::NEVER)));
    assert!(refused(&certificate(hasher.member(NodeId::new(1)), ten)), "no certificate takes a member's place");
    assert!(
        refused(&certificate(hasher.broadcast(&stamp), ten))
            && refused(&certificate(hasher.entry(Some(NodeId::new(1)), "n"), ten))
    );
    let broadcast = Broadcast { stamp, until: Until::NEVER, payload: [1].into() };
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
        read(&encoded(&ask(length)), &mut messages)
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
        let (cut, count, fingerprint, partial) = (u32::MAX, 1 << 28, u64::MAX, true);
        let summary: Said = Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, partial, answer }));
        HEADER + TRAILER + summary.encoded_len()
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
            let header = Header { sender: NodeId::new(1), incarnation: 1, clock: Instant::ORIGIN };
            prop_assert!(opened(&datagram(&header, &[Message::Rumor(Rumor::Mail(Item::Update(record)))])).is_ok());
            Ok(())
        })
        .unwrap();
}
