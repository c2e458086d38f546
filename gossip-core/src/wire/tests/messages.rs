//! Messages of any content, for property tests.

use std::sync::Arc;

use super::*;

/// The first byte of every kind of message: fields of zeros are read whatever they are.
pub(crate) fn tags_of_all() -> impl Iterator<Item = u8> {
    let is_kind = |tag: &u8| Said::decode(&[&[*tag], &[0; 99][..]].concat()).is_some();
    (0..0x80).filter(is_kind).chain([coordinate::TAG])
}

pub(crate) fn message() -> impl Strategy<Value = Said> {
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
        (any::<u32>(), 0..40_usize)
            .prop_map(|(seq, length)| Message::Path(Path::Echo(Echo { seq, padding: vec![0; length] }))),
        (512..=u16::MAX).prop_map(|longest| Message::Path(Path::Narrow { longest })),
        any::<(u16, u16)>()
            .prop_map(|(advertised, seen)| Message::Swim(Swim::Unreached(Unreached { advertised, seen }))),
        item().prop_map(|item| Message::Rumor(Rumor::Mail(item))),
        (any::<(u16, bool, bool)>(), proptest::collection::vec((any::<u8>(), item()), 0..10)).prop_map(
            |((number, feedback, pull), items)| Message::Rumor(Rumor::Round(Round { number, feedback, pull, items }))
        ),
        any::<(u16, u64, u64)>().prop_map(|(number, useful, neutral)| Message::Rumor(Rumor::Feedback(Feedback {
            number,
            useful,
            neutral
        }))),
        (cut(), any::<(u64, u64)>(), state(), answer()).prop_map(|(cut, (count, fingerprint), state, answer)| {
            Message::Repair(Repair::Summary(Summary { cut, count, fingerprint, state, answer }))
        }),
        ((cut(), any::<u64>(), any::<bool>()), range(), exchange(), tokens, sketch()).prop_map(
            |((cut, count, in_doubt), range, exchange, tokens, sketch)| {
                Message::Repair(Repair::Sketch(Symbols { cut, range, count, exchange, in_doubt, tokens, sketch }))
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
        (cut(), any::<(u32, u8, bool)>(), proptest::collection::vec(range(), 0..20)).prop_map(
            |(cut, (token, window, in_doubt), ranges)| {
                Message::Pull(Pull::Pages(PullRequest { cut, token, window, in_doubt, ranges }))
            }
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
        (any::<u32>(), 0..40_usize)
            .prop_map(|(seq, length)| Message::Path(Path::Echoed(Echo { seq, padding: vec![0; length] }))),
        overlay().prop_map(Message::Overlay),
        unicast().prop_map(Message::Unicast),
        coordinates().prop_map(Message::Coordinates),
    ]
}

fn coordinates() -> impl Strategy<Value = Coordinates> {
    let packed = || {
        (0..16_u8, proptest::array::uniform15(0..0x80_u8), 1..=192_u8).prop_map(|(exponent, numbers, error)| {
            let mut packed = [exponent; 17];
            packed[1..16].copy_from_slice(&numbers);
            packed[16] = error;
            // Neither a negative height nor the one number without a positive.
            (1..16).step_by(3).for_each(|at| packed[at + 1] &= 0x77);
            packed
        })
    };
    let others = proptest::collection::vec((any::<u64>().prop_map(NodeId::new), packed()), 0..=Coordinates::MOST);
    (any::<bool>(), packed(), others).prop_map(|(asks, own, others)| Coordinates { asks, own, others })
}

fn unicast() -> impl Strategy<Value = Unicast> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..99).prop_map(Arc::<[u8]>::from);
    let stamp = || {
        any::<(u64, u32, u64)>().prop_map(|(time, counter, node)| Stamp {
            time: Instant::from_micros(time),
            counter,
            node: NodeId::new(node),
        })
    };
    let content = prop_oneof![
        payload().prop_map(Content::Payload),
        stamp().prop_map(Content::Received),
        (stamp(), payload()).prop_map(|(stamp, payload)| Content::Response(stamp, payload)),
        stamp().prop_map(Content::Declined),
    ];
    prop_oneof![
        payload().prop_map(|payload| Unicast::Note { payload }),
        (any::<(u32, u32)>(), content).prop_map(|((session, number), content)| Unicast::Post(Post {
            session,
            number,
            content
        })),
        any::<(u32, u32)>().prop_map(|(session, number)| Unicast::Receipt { session, number }),
    ]
}

fn overlay() -> impl Strategy<Value = Overlay<u16>> {
    let hashes = || proptest::collection::vec(any::<u64>(), 0..9).prop_map(Hashes);
    let body = || item().prop_filter("offers have a message of their own", |item| !matches!(item, Item::Offer(_)));
    let others = proptest::collection::vec(any::<u64>().prop_map(NodeId::new), 0..=OTHERS);
    prop_oneof![
        any::<(u16, bool)>().prop_map(|(first, alone)| Overlay::Link { first, alone }),
        any::<u16>().prop_map(|first| Overlay::Linked { first }),
        others.prop_map(|others| Overlay::Full { others }),
        Just(Overlay::Unlink),
        Just(Overlay::Part),
        Just(Overlay::Neighbour),
        (any::<(u16, u8)>(), proptest::collection::vec(body(), 0..4))
            .prop_map(|((number, hops), items)| Overlay::Flood { number, hops, items }),
        (any::<u8>(), hashes()).prop_map(|(hops, hashes)| Overlay::Offers { hops, hashes }),
        (any::<u16>(), hashes()).prop_map(|(number, hashes)| Overlay::Again { number, hashes }),
        any::<(u16, u32)>().prop_map(|(newest, missing)| Overlay::Confirm { newest, missing }),
        hashes().prop_map(|hashes| Overlay::Graft { hashes }),
        Just(Overlay::Prune),
    ]
}
