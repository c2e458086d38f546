//! A node that is thrown more at than it may hold.

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::wire::Rumor;
use crate::{Bound, WriteError};

fn limited(change: impl Fn(&mut crate::Limits)) -> Node<u32> {
    let mut config = Config::lan();
    change(&mut config.limits);
    let mut net = Net::joined(4, &config);
    let mut node = net.nodes.swap_remove(1);
    transmits(&mut node);
    node
}

fn told(node: &mut Node<u32>) -> Vec<Bound> {
    core::iter::from_fn(|| node.poll_event())
        .filter_map(|event| if let Event::Full { bound } = event { Some(bound) } else { None })
        .collect()
}

/// Somebody's entry.
fn written(by: u64, name: &str, value: &[u8]) -> Message<u32> {
    let Update::Entry(mut entry) = entry(name, value) else { unreachable!() };
    entry.stamp.node = NodeId::new(by);
    Message::Rumor(Rumor::Mail(Item::Update(Update::Entry(entry))))
}

#[test]
fn a_full_node_says_so_once_until_there_is_room_again() {
    let mut node = limited(|limits| limits.members = 100);
    let mut now = node.now;
    let fill = |node: &mut Node<u32>, now, ids: core::ops::Range<u64>| {
        for id in ids {
            let until = Until::at(now + 3_600 * SECOND);
            let left = Record { until, incarnation: id, ..record(id, Standing::Left) };
            hear(node, now, &[Message::Rumor(Rumor::Mail(Item::Update(Update::Member(left))))]);
        }
    };
    fill(&mut node, now, 1_000..2_000);
    tick(&mut node, now);
    fill(&mut node, now, 2_000..3_000);
    assert_eq!((told(&mut node), node.members().count()), ([Bound::Members].into(), 100));
    assert_eq!(node.stats().updates_full, 2_000 - 96);
    // They are forgotten in time.
    now += 2 * 3_600 * SECOND;
    for _ in 0..40 {
        now += 60 * SECOND;
        tick(&mut node, now);
    }
    assert!(node.members().count() < 10);
    fill(&mut node, now, 3_000..4_000);
    assert_eq!(told(&mut node), [Bound::Members]);
    assert!(node.live_members() == 4 || node.stats().deaths > 0, "what it had it has kept");
}

/// Each kept the dead that it had heard of first: replicas differed for ever, and sent one another what was refused again.
#[test]
fn nodes_with_the_same_bound_remember_the_same_dead_whatever_they_heard_first() {
    let dead = |id: u64, now: Instant| {
        let until = Until::at(now + (3_600 + u32::try_from(id * 7_919 % 501).unwrap()) * SECOND);
        let standing = if id.is_multiple_of(3) { Standing::Left } else { Standing::Dead };
        Update::Member(Record { until, incarnation: id, ..record(id, standing) })
    };
    let remembered = |ids: &[u64]| {
        let mut node = limited(|limits| limits.members = 100);
        let now = node.now;
        for id in ids {
            hear(&mut node, now, &[Message::Rumor(Rumor::Mail(Item::Update(dead(*id, now))))]);
        }
        let gone: Vec<NodeId> = node.replica.gone().map(|(_, id)| id).collect();
        (node, gone)
    };
    let mut ids: Vec<u64> = (1_000..1_500).collect();
    let (mut node, forwards) = remembered(&ids);
    ids.reverse();
    let (_, backwards) = remembered(&ids);
    assert_eq!((forwards.len(), &forwards), (96, &backwards));
    // Who lives takes the place of the first to be forgotten.
    let (now, least) = (node.now, forwards[0]);
    let lives = Update::Member(record(2_000, Standing::Alive));
    hear(&mut node, now, &[Message::Rumor(Rumor::Mail(Item::Update(lives)))]);
    assert!(node.member(NodeId::new(2_000)).is_some() && node.member(least).is_none());
    assert_eq!(node.members().count(), 100);
}

#[test]
fn bytes_are_bounded_and_what_grows_counts() {
    let mut node = limited(|limits| (limits.bytes, limits.share) = (1_000, 100));
    let now = node.now;
    node.put(now, "a", &[1; 600]).unwrap();
    let full = |held| Err(WriteError::Full { bound: Bound::Bytes, held, limit: 1_000 });
    assert_eq!(node.put(now, "b", &[1; 401]), full(600));
    node.put(now, "b", &[1; 400]).unwrap();
    assert_eq!(node.put(now, "a", &[1; 601]), full(1_000), "larger than what it replaces");
    node.put(now, "a", &[2; 600]).unwrap();
    hear(&mut node, now, &[written(77, "c", b"1")]);
    assert_eq!((node.get("c"), node.stats().updates_full_bytes), (None, 1));
    assert_eq!(told(&mut node), [Bound::Bytes]);
    node.delete(now, "b").unwrap();
    hear(&mut node, now, &[written(77, "c", b"1")]);
    assert!(node.get("c").is_some());
    node.delete(now, "a").unwrap();
    node.delete(now, "c").unwrap();
    assert_eq!(node.replica.bytes(), 0);
}

#[test]
fn one_member_leaves_room_for_the_others() {
    let mut node = limited(|limits| (limits.entries, limits.share) = (100, 20));
    let now = node.now;
    for n in 0..1_000_u32 {
        hear(&mut node, now, &[written(77, &n.to_string(), b"1")]);
    }
    assert_eq!((node.entries("").count(), node.stats().updates_full_share), (20, 980));
    assert_eq!(told(&mut node), [Bound::Share]);
    hear(&mut node, now, &[written(78, "another", b"1")]);
    for n in 0..20_u32 {
        node.put_own(now, &n.to_string(), b"1").unwrap();
    }
    let full = Err(WriteError::Full { bound: Bound::Share, held: 20, limit: 20 });
    assert_eq!(node.put(now, "more", b"1"), full, "nor does this one itself");
    node.put_own(now, "0", b"2").unwrap();
    assert_eq!(node.get("another").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_datagram_costs_no_more_than_so_much_work() {
    let mut config = Config { max_datagram: 16_384, ..Config::lan() };
    config.limits.work = 1_024;
    let mut node = node(1, config);
    tick(&mut node, START);
    let pings = std::vec![0_u8; 10_000];
    // Pings with number 0: five bytes each.
    let payload = sealed_as(&mut node, 900, &pings);
    node.handle(START, Input::Datagram { from: &900, payload: &payload }).unwrap();
    assert_eq!(node.stats().work_dropped, 2_000 - 1_024);
}

/// A million of each, against what the configuration allows and no more; the members that there are stay.
#[test]
fn a_million_members_and_a_million_keys_leave_memory_within_its_bounds() {
    const MILLION: u64 = 1_000_000;
    let mut node = limited(|limits| {
        (limits.members, limits.entries, limits.bytes) = (1_000, 2_000, 100_000);
        (limits.parked, limits.hot, limits.outbox) = (500, 200, 64);
    });
    let now = node.now;
    let real: Vec<_> = node.members().collect();
    let flood = |node: &mut Node<u32>, first: u64| {
        for id in (first..first + MILLION / 2).step_by(10) {
            let members = (id..id + 10).map(|id| {
                let record = Record { address: id as u32, ..record(1_000 + id, Standing::Alive) };
                Message::Rumor(Rumor::Mail(Item::Update(Update::Member(record))))
            });
            hear(node, now, &members.collect::<Vec<_>>());
            let keys = (id..id + 10).map(|id| written(1_000 + id, &id.to_string(), &[1; 20]));
            hear(node, now, &keys.collect::<Vec<_>>());
            let own = (id..id + 10).map(|id| {
                let Message::Rumor(Rumor::Mail(Item::Update(Update::Entry(entry)))) = written(id, "own", &[1; 20])
                else {
                    unreachable!()
                };
                let owner = Some(crate::update::Owner { id: NodeId::new(MILLION * 10 + id), boot: START });
                Message::Rumor(Rumor::Mail(Item::Update(Update::Entry(Entry { owner, ..entry }))))
            });
            hear(node, now, &own.collect::<Vec<_>>());
            transmits(node);
        }
    };
    let half = allocation_counter::measure(|| flood(&mut node, 0));
    let rest = allocation_counter::measure(|| flood(&mut node, MILLION / 2));
    // Some kilobytes each for what is held, whatever was sent.
    let bound = 1_024 * (1_000 + 2_000 + 500 + 200);
    assert!(half.bytes_current < bound, "{} bytes", half.bytes_current);
    // Events, too, have reached their bound by then.
    assert!(rest.bytes_current < bound / 10, "{} bytes more", rest.bytes_current);
    assert_eq!(node.members().count(), 1_000);
    assert!(node.entries("").count() <= 2_000 && node.replica.bytes() <= 100_000);
    assert!(real.iter().all(|member| node.member(member.id).as_ref() == Some(member)), "those that were here stay");
    let stats = node.stats();
    assert!(stats.updates_full + stats.updates_full_bytes > 2 * MILLION - 5_000 && stats.parked_dropped > 0);
}

#[test]
fn what_has_expired_gives_way_to_what_has_not() {
    let mut node = limited(|limits| (limits.bytes, limits.share) = (1_000, 100));
    let mut now = node.now;
    for round in 0..20_u8 {
        let lives = super::super::PutOptions::default().time_to_live(20 * SECOND);
        node.put_with(now, &(round % 3).to_string(), &[round; 900], lives).unwrap();
        now += 30 * SECOND;
        tick(&mut node, now);
        assert!(node.replica.bytes() <= 1_000 && node.get(&(round % 3).to_string()).is_none(), "{round}");
    }
    assert_eq!(told(&mut node), []);
}
