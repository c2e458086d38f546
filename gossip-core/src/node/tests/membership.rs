//! Members: what is believed of them, at once, after they were asked, or never.

use core::mem;
use std::vec::Vec;

use super::*;
use crate::wire::Rumor;
use crate::{Status, WriteError};

/// The dead are remembered for at least ten seconds.
fn brief() -> Config {
    let mut config = Config::lan();
    config.lifetimes.certificate = 640 * SECOND;
    config.lifetimes.shrink = 20 * SECOND;
    config.lifetimes.reap_after = 640 * SECOND;
    config
}

fn mail(update: Update<u32>) -> Message<u32> {
    Message::Rumor(Rumor::Mail(Item::Update(update)))
}

fn status_of(net: &Net, at: usize, id: NodeId) -> Option<Status> {
    net.nodes[at].member(id).map(|member| member.status)
}

fn status(net: &Net, at: usize, of: usize) -> Option<Status> {
    status_of(net, at, net.nodes[of].id())
}

fn is_change_to(status: Status) -> impl Fn(&Event<u32>) -> bool {
    move |event| matches!(event, Event::Member { member, .. } if member.status == status)
}

#[test]
fn a_departure_in_the_name_of_others_is_objected_to_before_it_is_believed() {
    let mut net = Net::joined(5, &Config::lan());
    (0..5).for_each(|at| drop(net.events(at)));
    let now = net.now;
    for of in 1..5 {
        let own = net.nodes[of].replica.member(net.nodes[of].id()).cloned().unwrap();
        let left = Record { standing: Standing::Left, until: Until::at(now + 3_600 * SECOND), ..own };
        hear(&mut net.nodes[0], now, &[mail(Update::Member(left))]);
    }
    net.run(5 * SECOND);
    for at in 0..5 {
        assert!(!net.events(at).iter().any(is_change_to(Status::Left)), "node {at} has believed it");
        assert_eq!(net.nodes[at].live_members(), 5);
    }
    net.nodes[3].leave(net.now);
    net.run(SECOND);
    assert!([0, 1, 2, 4].iter().all(|at| status(&net, *at, 3) == Some(Status::Left)), "its own word is enough");
}

#[test]
fn an_accuser_that_is_no_member_accuses_nobody() {
    let mut net = Net::joined(4, &Config::lan());
    let (now, about) = (net.now, net.nodes[2].id());
    let incarnation = net.nodes[2].identity.incarnation;
    let suspicion = |accuser| Message::Rumor(Rumor::Mail(Item::Suspicion(Suspicion { about, incarnation, accuser })));
    hear(&mut net.nodes[0], now, &[suspicion(NodeId::new(900))]);
    assert_eq!(status(&net, 0, 2), Some(Status::Alive));
    let member = net.nodes[3].id();
    hear(&mut net.nodes[0], now, &[suspicion(member)]);
    assert_eq!(status(&net, 0, 2), Some(Status::Suspect));
    let health = net.nodes[2].local_health();
    net.run(SECOND);
    assert_eq!(status(&net, 0, 2), Some(Status::Alive));
    assert_eq!(net.nodes[2].local_health(), health, "nobody makes a node doubt itself by accusing it");
}

#[test]
fn what_one_member_says_of_another_counts_once_in_however_many_names() {
    let mut net = Net::joined(6, &Config::lan());
    let (now, about, incarnation) = (net.now, net.nodes[5].id(), net.nodes[5].identity.incarnation);
    let accuse = |net: &mut Net, from: u32, accuser: u64| {
        let suspicion = Suspicion { about, incarnation, accuser: NodeId::new(accuser) };
        let body = written(&[Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion)))]);
        let payload = sealed_as(&mut net.nodes[0], u64::from(from) + 1, &body);
        net.nodes[0].handle(now, Input::Datagram { from: &from, payload: &payload }).unwrap();
    };
    let ends = |net: &Net| net.nodes[0].detector.suspicion_ends().unwrap().since(now);
    accuse(&mut net, 1, 2);
    let alone = ends(&net);
    // In the names of the others, and in its own again.
    for accuser in [3, 4, 5, 2] {
        accuse(&mut net, 1, accuser);
        assert_eq!(ends(&net), alone, "in the name of {accuser}");
    }
    // What another brings counts, be it of one whose name was used, and shortens it as it always did.
    accuse(&mut net, 2, 3);
    let confirmed = ends(&net);
    assert!(confirmed < alone, "{confirmed:?} of {alone:?}");
    accuse(&mut net, 3, 4);
    assert!(ends(&net) < confirmed);
}

/// What one member says of all others, dead or alive, to all of them: that each is suspected by four others.
fn accuse_all(net: &mut Net, all: u64) {
    for to in 1..net.nodes.len() {
        let mut messages = Vec::new();
        for about in 2..=all {
            let Some(record) = net.nodes[to].replica.member(NodeId::new(about)) else { continue };
            let (about, incarnation) = (record.id, record.incarnation);
            let others = (1..=4).map(|step| NodeId::new((about.get() + to as u64 + step) % all + 1));
            let suspicions = others.map(|accuser| Suspicion { about, incarnation, accuser });
            messages.extend(suspicions.map(|suspicion| Message::Rumor(Rumor::Mail(Item::Suspicion(suspicion)))));
        }
        for some in messages.chunks(30) {
            let (now, body) = (net.now, written(some));
            let payload = sealed_as(&mut net.nodes[to], 1, &body);
            let _ = net.nodes[to].handle(now, Input::Datagram { from: &0, payload: &payload });
        }
    }
}

/// Crashes members one by one, the last first. Returns the mean time until all others see each dead, the longest time for which
/// one that lives was seen dead, and the worst local health of all.
fn crashes(lies: bool) -> (Duration, Duration, u32) {
    const ALL: u64 = 10;
    const CRASHES: u32 = 2;
    let mut net = Net::joined(ALL as u32, &Config::lan());
    let step = SECOND / 5;
    let (mut sum, mut longest, mut worst) = (Duration::ZERO, Duration::ZERO, 0);
    let mut dead = std::collections::BTreeMap::new();
    for _ in 0..CRASHES {
        net.nodes.pop();
        let (gone, since) = (net.nodes.len(), net.now);
        let crashed = NodeId::new(gone as u64 + 1);
        while !(1..gone).all(|at| status_of(&net, at, crashed) == Some(Status::Dead)) {
            assert!(net.now < since + 60 * SECOND, "not found");
            if lies {
                accuse_all(&mut net, ALL);
            }
            net.run(step);
            for (at, of) in (1..gone).flat_map(|at| (0..gone).map(move |of| (at, of))) {
                if status(&net, at, of) == Some(Status::Dead) {
                    *dead.entry((at, of)).or_insert(Duration::ZERO) += step;
                } else {
                    dead.remove(&(at, of));
                }
            }
            longest = longest.max(dead.values().max().copied().unwrap_or_default());
            worst = worst.max(net.nodes[1..].iter().map(Node::local_health).max().unwrap());
        }
        sum += net.now.since(since);
    }
    (sum / CRASHES, longest, worst)
}

#[test]
fn a_member_that_accuses_everybody_in_the_names_of_all_delays_no_crash_and_buries_nobody() {
    let (alone, _, healthy) = crashes(false);
    let (beside, longest, worst) = crashes(true);
    std::println!("alone {alone:?}, beside the accuser {beside:?}, dead for {longest:?}, health {healthy} and {worst}");
    assert!(beside <= alone * 6 / 5, "{beside:?} against {alone:?}");
    assert!(longest <= 5 * SECOND, "a live member was seen dead for {longest:?}");
    assert!(worst <= healthy + 1, "nobody doubts itself for that: {worst}");
}

#[test]
fn a_member_old_enough_to_have_been_forgotten_is_asked_before_it_is_believed() {
    let mut net = Net::joined(2, &brief());
    net.nodes.push(node(2, brief()));
    net.nodes[2].join(START, []);
    net.run(30 * SECOND);
    transmits(&mut net.nodes[0]);
    let (now, there) = (net.now, net.nodes[2].id());
    let mut shown = net.nodes[2].replica.member(there).cloned().unwrap();
    // Nobody is at this address.
    let gone = Record { id: NodeId::new(77), address: 4_000, ..shown.clone() };
    hear(&mut net.nodes[0], now, &[mail(Update::Member(shown.clone())), mail(Update::Member(gone))]);
    assert_eq!((net.nodes[0].live_members(), net.nodes[0].stats().members_asked), (2, 2));
    net.run(SECOND);
    assert_eq!((net.nodes[0].live_members(), net.nodes[1].live_members()), (3, 3), "it has answered");
    assert!(net.nodes.iter().all(|node| node.member(NodeId::new(77)).is_none()));
    // One that is younger cannot have been forgotten.
    let now = net.now;
    (shown.id, shown.address, shown.incarnation) = (NodeId::new(78), 4_001, now.as_micros());
    hear(&mut net.nodes[0], now, &[mail(Update::Member(shown))]);
    assert!(net.nodes[0].member(NodeId::new(78)).is_some());
}

/// Takes a node away, and leaves one in its place that knows nobody.
fn take(net: &mut Net, at: u32) -> Node<u32> {
    mem::replace(&mut net.nodes[at as usize], node(at + 50, brief()))
}

#[test]
fn one_that_has_slept_for_longer_than_the_dead_are_remembered_brings_back_none_of_them() {
    let mut net = Net::joined(4, &brief());
    net.nodes[3].put_own(net.now, "role", b"db").unwrap();
    net.run(5 * SECOND);
    let sleeper = take(&mut net, 0);
    let dead = take(&mut net, 3).id();
    net.lose = |from, to| [from, to].iter().any(|at| [0, 3].contains(at));
    net.run(3_000 * SECOND);
    assert!((1..3).all(|at| net.nodes[at].members().count() == 2), "both are forgotten");
    (1..3).for_each(|at| drop(net.events(at)));
    net.nodes[0] = sleeper;
    net.lose = |from, to| from == 3 || to == 3;
    net.run(60 * SECOND);
    for at in 0..3 {
        assert_eq!(net.nodes[at].live_members(), 3, "node {at}");
        assert_eq!(
            (status_of(&net, at, dead) == Some(Status::Alive), net.nodes[at].entries_named("role").count()),
            (false, 0)
        );
    }
    let about = |event: &Event<u32>| matches!(event, Event::Member { member, .. } if member.id == dead);
    assert!((1..3).all(|at| !net.events(at).iter().any(about)), "nobody hears of it again");
}

#[test]
fn at_the_bound_a_living_member_takes_the_place_of_a_dead_one() {
    let config = Config { limits: crate::Limits { members: 4, ..Config::lan().limits }, ..Config::lan() };
    let mut net = Net::joined(4, &config);
    net.lose = |from, to| from == 3 || to == 3;
    net.run(60 * SECOND);
    assert_eq!(status(&net, 0, 3), Some(Status::Dead));
    net.nodes.push(node(4, config));
    let (now, id) = (net.now, net.nodes[4].id());
    net.nodes[4].join(now, [0]);
    net.run(2 * SECOND);
    assert!((0..3).all(|at| net.nodes[at].member(id).is_some_and(|member| member.status == Status::Alive)));
    assert_eq!(net.nodes[0].member(NodeId::new(4)), None);
    // There is no room for a second one: nobody else is dead.
    net.nodes.push(node(5, net.nodes[0].config().clone()));
    net.nodes[5].join(net.now, [0]);
    net.run(2 * SECOND);
    assert_eq!((net.nodes[0].members().count(), net.nodes[0].member(net.nodes[5].id())), (4, None));
}

#[test]
fn what_waits_for_its_owner_counts_and_gives_way_to_what_is_visible() {
    let mut config = Config::lan();
    (config.limits.bytes, config.limits.share) = (1_000, 100);
    let mut node = node(0, config);
    tick(&mut node, START);
    for owner in 100..150 {
        let Update::Entry(plain) = entry("own", &[7; 100]) else { unreachable!() };
        let owner = Some(crate::update::Owner { id: NodeId::new(owner), boot: START });
        hear(&mut node, START, &[mail(Update::Entry(Entry { owner, ..plain }))]);
    }
    assert_eq!(node.stats().parked_dropped, 40, "ten of a hundred bytes each");
    assert_eq!(node.put(START, "a", &[1; 1_000]).map(drop), Ok(()));
    assert_eq!(node.stats().parked_dropped, 50);
    assert!(matches!(node.put(START, "b", b"more"), Err(WriteError::Full { held: 1_000, .. })));
    let events: Vec<_> = core::iter::from_fn(|| node.poll_event()).collect();
    assert!(
        events.iter().all(|event| matches!(event, Event::Entry { owner: None, .. } | Event::Member { .. })),
        "{events:?}"
    );
}

#[test]
fn a_peer_that_the_application_no_longer_gives_is_forgotten() {
    let mut config = brief();
    config.membership = crate::Membership::Given;
    let mut net = Net::new(3, &config);
    let start = net.now;
    (0..3).for_each(|at| net.nodes[at].set_peers(start, [0, 1, 2]));
    net.run(20 * SECOND);
    assert!(net.nodes.iter().all(|node| node.live_members() == 3));
    let (gone, now) = (take(&mut net, 2).id(), net.now);
    (0..2).for_each(|at| net.nodes[at].set_peers(now, [0, 1]));
    net.run(600 * SECOND);
    assert!((0..2).all(|at| status_of(&net, at, gone) == Some(Status::Alive)), "it may be given again");
    net.run(60 * SECOND);
    assert!((0..2).all(|at| status_of(&net, at, gone) == Some(Status::Left)));
    net.run(3_000 * SECOND);
    assert!((0..2).all(|at| net.nodes[at].members().count() == 2));
}
