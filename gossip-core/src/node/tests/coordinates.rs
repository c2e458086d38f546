//! Network coordinates: who learns which, and what strangers and liars can do.

use std::vec::Vec;

use super::{Net, SECOND, hear, met, sealed_as, transmits, written};
use crate::coordinate::Coordinate;
use crate::event::Distance;
use crate::outbox::TrafficClass;
use crate::wire::{Coordinates, HEADER, Message, TRAILER};
use crate::{Config, Input, NodeId};

/// A coordinate like any other.
const PACKED: [u8; 17] = [3, 0x64, 0xc0, 0xf9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x28, 0xd0, 0xff, 26];

#[test]
fn all_learn_all_coordinates_within_the_first_pings() {
    let nodes = 20;
    let net = Net::joined(nodes, &Config::lan());
    for node in &net.nodes {
        let ids = (1..=u64::from(nodes)).map(NodeId::new);
        assert!(ids.clone().all(|id| node.coordinate(id).is_some()), "by themselves or by others");
        let measured = ids.clone().filter(|id| node.member(*id).unwrap().rtt().is_some()).count();
        assert!((10..20).contains(&measured), "{measured} of 19 were pinged in 20 periods");
        for id in ids.filter(|id| *id != node.id()) {
            let distance = node.distance(id).unwrap();
            assert_eq!(distance.is_estimate(), node.round_trip(id).is_none());
            assert_eq!(node.distance_between(id, node.id()), node.distance_between(node.id(), id));
        }
        assert_eq!(node.distance(node.id()), None);
        assert!(node.round_trips().count() >= measured as u64);
    }
}

#[test]
fn a_round_trip_is_no_part_of_what_a_member_is() {
    let net = Net::joined(3, &Config::lan());
    let member = |at: usize| net.nodes[at].member(NodeId::new(3)).unwrap();
    let (other, own) = (member(0), member(2));
    assert!(other.rtt().is_some() && own.rtt().is_none());
    assert_eq!(other, own);
}

#[test]
fn members_are_sorted_by_distance_and_the_unknown_come_last() {
    let mut node = met();
    let id = NodeId::new;
    // Of three members one is near, one is far, and nothing is known of another that is no member.
    let coordinate = |hundreds: u8| {
        let mut packed = PACKED;
        (packed[0], packed[3]) = (9, hundreds);
        packed
    };
    let mut net = Net::new(1, &Config::lan());
    let fresh = &mut net.nodes[0];
    fresh.join(super::START, []);
    assert_eq!(fresh.distance(id(2)), None, "nobody has been met");
    for (member, hundreds) in [(1, 1), (3, 5), (4, 3)] {
        node.detector.note_coordinate(id(member), coordinate(hundreds), true);
    }
    let mut members = [id(77), id(3), id(4), id(1), id(2)];
    node.sort_by_distance(&mut members);
    assert_eq!(members[0], id(2), "this node itself");
    assert_eq!(members[4], id(77));
    let trips: Vec<_> = members[1..4].iter().map(|id| node.distance(*id).unwrap().round_trip()).collect();
    assert!(trips.is_sorted());
    assert!(node.distance_between(id(1), id(3)) > node.distance_between(id(1), id(4)));
    assert!(matches!(node.distance(id(1)), Some(Distance::Measured(_))));
}

#[test]
fn an_answer_is_no_longer_than_its_question_and_hearsay_replaces_nothing() {
    let mut node = met();
    let id = NodeId::new;
    let own = node.coordinate(id(1)).unwrap();
    assert_ne!(own.pack(), PACKED);
    let strangers = (0..7).map(|stranger| (id(1_000 + stranger), PACKED));
    let others: Vec<_> = strangers.chain([(id(1), PACKED)]).collect();
    let (now, ask) = (node.now, Coordinates { asks: true, own: PACKED, others });
    let question: Vec<Message<u32>> = std::vec![ask.into()];
    hear(&mut node, now, &question);
    assert_eq!(node.coordinate(id(1)), Some(own), "it has spoken for itself");
    assert!((1_000..1_007).all(|stranger| node.coordinate(id(stranger)).is_none()), "they are no members");
    let answers = transmits(&mut node);
    let [(900, TrafficClass::Ack, answer)] = &answers[..] else { panic!("{answers:?}") };
    // To a stranger with a proof and a challenge.
    assert!(answer.len() <= HEADER + question[0].encoded_len() + crate::wire::PREAMBLE + TRAILER, "{}", answer.len());
    // An answer is not answered.
    hear(&mut node, now, &[Coordinates { asks: false, own: PACKED, others: Vec::new() }.into()]);
    assert!(transmits(&mut node).is_empty());
    assert!(node.stats().coordinates_received >= 2);
}

#[test]
fn what_is_no_coordinate_is_refused_with_its_datagram() {
    let mut node = met();
    let (now, before) = (node.now, node.stats().datagrams_malformed);
    let good = written(&[Coordinates { asks: true, own: PACKED, others: std::vec![(NodeId::new(3), PACKED)] }.into()]);
    assert_eq!(good[..2], [0x80, 42]);
    let cut = [&[0x80, 41], &good[2..43]].concat();
    let mut unsound = good.clone();
    unsound[2 + 16] = 0;
    let mut hearsay = good.clone();
    hearsay[2 + 17 + 8] = 0x7f;
    let many = [&[0x80, 0xf2, 0x01], &good[2..19], &good[19..].repeat(9)[..]].concat();
    for body in [cut, unsound, hearsay, many] {
        let payload = sealed_as(&mut node, 900, &body);
        assert!(node.handle(now, Input::Datagram { from: &900, payload: &payload }).is_err());
    }
    assert_eq!(node.stats().datagrams_malformed, before + 4);
    assert!(transmits(&mut node).is_empty());
    assert!(Coordinate::unpack(&PACKED).is_some());
}

#[test]
fn at_rest_one_ping_in_twenty_four_asks() {
    let mut net = Net::joined(4, &Config::lan());
    net.run(20 * SECOND);
    let received = |net: &Net| net.nodes.iter().map(|node| node.stats().coordinates_received).sum::<u64>();
    let before = received(&net);
    net.run(240 * SECOND);
    // Four nodes ask ten times each, and are answered.
    let more = received(&net) - before;
    assert!((72..=88).contains(&more), "{more}");
}
