//! Messages to one member, and queries.

use std::collections::BTreeMap;
use std::string::{String, ToString};

use super::*;
use crate::update::Payload;
use crate::wire::{Content, Post, Unicast};
use crate::{Filter, QueryId, Reply, SendError, Tags};

fn id(at: usize) -> NodeId {
    NodeId::new(at as u64 + 1)
}

fn payload(text: &str) -> Payload {
    Payload(text.as_bytes().into())
}

/// Loses every third datagram, in an order that is the same in every run.
fn lossy(from: usize, to: usize) -> bool {
    use core::cell::Cell;
    std::thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });
    COUNT.with(|count| {
        count.set(count.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add((from * 7 + to) as u64 | 1));
        (count.get() >> 33).is_multiple_of(3)
    })
}

#[test]
fn a_message_arrives_at_its_receiver_and_nowhere_else() {
    let mut net = Net::joined(3, &Config::lan());
    (0..3).for_each(|at| drop(net.events(at)));
    let now = net.now;
    net.nodes[0].send(now, id(2), b"note").unwrap();
    let delivery = net.nodes[0].send_acknowledged(now, id(2), b"post", SECOND).unwrap();
    net.run(SECOND / 100);
    assert_eq!(net.events(1), []);
    let note = Event::Unicast { from: id(0), payload: payload("note") };
    assert_eq!(net.events(2), [note, Event::Unicast { from: id(0), payload: payload("post") }]);
    assert_eq!(net.events(0), [Event::Delivered { id: delivery, to: id(2), received: true }]);
    let delivery = net.nodes[0].send_acknowledged(now, id(0), b"self", SECOND).unwrap();
    let own = Event::Unicast { from: id(0), payload: payload("self") };
    assert_eq!(net.events(0), [own, Event::Delivered { id: delivery, to: id(0), received: true }]);
}

#[test]
fn under_loss_every_acknowledged_message_arrives_once() {
    let mut net = Net::joined(2, &Config::lan());
    (0..2).for_each(|at| drop(net.events(at)));
    net.lose = lossy;
    for number in 0..200_u32 {
        let now = net.now;
        net.nodes[0].send_acknowledged(now, id(1), number.to_string().as_bytes(), 30 * SECOND).unwrap();
        net.run(SECOND / 10);
    }
    net.run(30 * SECOND);
    let mut arrived: BTreeMap<String, u32> = BTreeMap::new();
    for event in net.events(1) {
        if let Event::Unicast { payload, .. } = event {
            *arrived.entry(std::format!("{payload:?}")).or_default() += 1;
        }
    }
    assert!(arrived.len() == 200 && arrived.values().all(|times| *times == 1), "{arrived:?}");
    let received = |event: &Event<u32>| matches!(event, Event::Delivered { received: true, .. });
    assert_eq!(net.events(0).iter().filter(|event| received(event)).count(), 200);
    assert!(net.nodes[0].stats().unicasts_repeated > 50);
}

#[test]
fn what_has_no_receipt_is_given_up_in_time_or_when_the_member_dies() {
    let mut net = Net::joined(3, &Config::lan());
    net.lose = |from, to| from == 2 || to == 2;
    drop(net.events(0));
    let now = net.now;
    let first = net.nodes[0].send_acknowledged(now, id(2), b"1", SECOND).unwrap();
    let second = net.nodes[0].send_acknowledged(now, id(2), b"2", 3_600 * SECOND).unwrap();
    net.run(60 * SECOND);
    let ended: Vec<_> = net.events(0).into_iter().filter(|event| matches!(event, Event::Delivered { .. })).collect();
    let given_up = |id| Event::Delivered { id, to: self::id(2), received: false };
    assert_eq!(ended, [given_up(first), given_up(second)]);
    assert_eq!(net.nodes[0].stats().unicasts_given_up, 2);
    let now = net.now;
    assert_eq!(net.nodes[0].send(now, id(2), b"3"), Err(SendError::NoMember { id: id(2) }));
    let largest = net.nodes[0].largest_message();
    let too_large = SendError::TooLarge { size: largest + 1, largest };
    assert_eq!(net.nodes[0].send(now, id(1), &vec![0; largest + 1]), Err(too_large));
    net.nodes[0].send_acknowledged(now, id(1), &vec![0; largest], SECOND).unwrap();
    net.run(SECOND);
    assert_eq!(net.nodes[0].stats().outbox_unsendable, 0);
    assert!(matches!(net.events(0)[..], [Event::Delivered { received: true, .. }]));
}

/// An address may be forged also by who knows a pass: receipts go to the address in the sender's record.
#[test]
fn nothing_goes_to_an_address_that_is_no_living_members() {
    let mut net = Net::joined(3, &Config::lan());
    let now = net.now;
    let node = &mut net.nodes[1];
    let post = Message::from(Unicast::Post(Post { session: 1, number: 1, content: Content::Payload([1].into()) }));
    let from_nobody = datagram(node, core::slice::from_ref(&post));
    node.handle(now, Input::Datagram { from: &900, payload: &from_nobody }).unwrap();
    let refused = |node: &Node<u32>| node.stats().unicasts_refused;
    assert!(transmits(node).iter().all(|(to, class, _)| *class != TrafficClass::Unicast && *to != 900));
    assert_eq!(refused(node), 1, "900 is no member");
    let body = written(&[post]);
    let from_elsewhere = sealed_as(node, 3, &body);
    node.handle(now, Input::Datagram { from: &900, payload: &from_elsewhere }).unwrap();
    let sent = transmits(node);
    let receipts: Vec<_> = sent.iter().filter(|(_, class, _)| *class == TrafficClass::Unicast).collect();
    assert!(receipts.len() == 1 && receipts[0].0 == 2, "the third node's record says so: {receipts:?}");
    assert!(receipts[0].2.len() < from_elsewhere.len());
    assert_eq!(refused(node), 1);
}

#[test]
fn an_application_that_does_not_fetch_loses_no_acknowledged_message() {
    let mut config = Config::lan();
    config.limits.undelivered = 2;
    let mut net = Net::joined(2, &config);
    (0..2).for_each(|at| drop(net.events(at)));
    for number in 0..6 {
        let now = net.now;
        net.nodes[0].send_acknowledged(now, id(1), &[number], 30 * SECOND).unwrap();
    }
    net.run(SECOND / 10);
    assert!(net.nodes[1].stats().unicasts_refused >= 4);
    let mut arrived = Vec::new();
    for _ in 0..20 {
        arrived.extend(net.events(1));
        net.run(SECOND);
    }
    assert_eq!((arrived.len(), net.nodes[1].stats().undelivered_dropped), (6, 0));
}

/// Answers every question as `answer` says, and counts them.
fn run_answering(net: &mut Net, time: Duration, answer: fn(usize) -> Option<&'static [u8]>) -> Vec<usize> {
    let mut asked = vec![0; net.nodes.len()];
    let end = net.now + time;
    while net.now < end {
        net.run(SECOND / 100);
        for (at, asked) in asked.iter_mut().enumerate() {
            let questions: Vec<QueryId> = (net.events(at).into_iter())
                .filter_map(|event| if let Event::Query { id, .. } = event { Some(id) } else { None })
                .collect();
            for id in questions {
                *asked += 1;
                let now = net.now;
                net.nodes[at].answer(now, id, answer(at)).unwrap();
                assert_eq!(net.nodes[at].answer(now, id, None), Err(SendError::NotOpen), "once");
            }
        }
    }
    asked
}

#[test]
fn a_query_is_answered_by_all_and_ends_early() {
    let mut net = Net::joined(8, &Config::lan());
    let now = net.now;
    let query = net.nodes[3].query(now, b"who?", &Filter::ALL, 30 * SECOND).unwrap();
    let asked = run_answering(&mut net, 2 * SECOND, |at| (at != 5).then_some(b"me"));
    assert_eq!(asked, [1; 8]);
    let progress = net.nodes[3].query_progress(query).unwrap();
    assert_eq!((progress.asked, progress.answered, progress.ended), (8, 8, true));
    let answers: Vec<_> = core::iter::from_fn(|| net.nodes[3].poll_answer(query)).collect();
    assert_eq!(answers.len(), 8, "nobody took long enough to say that it was received: {answers:?}");
    for answer in answers {
        let expected = if answer.from == id(5) { Reply::Declined } else { Reply::Given(payload("me")) };
        assert_eq!(answer.reply, expected);
    }
    net.nodes[3].forget_query(query);
    assert_eq!(net.nodes[3].query_progress(query), None);
}

#[test]
fn only_those_that_are_chosen_are_asked() {
    let mut net = Net::joined(5, &Config::lan());
    for at in [1, 4] {
        let now = net.now;
        net.nodes[at].set_tags(now, Tags::of([("role", "db")]).unwrap()).unwrap();
    }
    net.run(10 * SECOND);
    let now = net.now;
    let query = net.nodes[0].query(now, b"?", &Filter::ALL.tag("role", "db"), 30 * SECOND).unwrap();
    assert_eq!(run_answering(&mut net, 2 * SECOND, |_| Some(b"yes")), [0, 1, 0, 0, 1]);
    assert!(net.nodes[0].query_progress(query).unwrap().ended);
    let now = net.now;
    let nobody = net.nodes[0].query(now, b"?", &Filter::ALL.tag("role", "none"), 30 * SECOND).unwrap();
    assert!(net.nodes[0].query_progress(nobody).unwrap().ended);
    assert_eq!(net.events(0), [Event::Answers { query: nobody }]);
}

#[test]
fn the_slow_are_heard_of_and_the_silent_are_named() {
    let mut net = Net::joined(4, &Config::lan());
    let now = net.now;
    let query = net.nodes[0].query(now, b"?", &Filter::ALL.ids([id(1), id(2), id(3)]), 3 * SECOND).unwrap();
    net.lose = |from, to| from == 3 || to == 3;
    net.run(SECOND);
    let now = net.now;
    net.nodes[1].answer(now, query, Some(b"late")).unwrap();
    net.run(3 * SECOND);
    let mut answers: Vec<_> = core::iter::from_fn(|| net.nodes[0].poll_answer(query)).collect();
    answers.sort_by_key(|answer| answer.from);
    let said: Vec<_> = answers.iter().map(|answer| (answer.from, &answer.reply)).collect();
    let given = Reply::Given(payload("late"));
    assert_eq!(said, [(id(1), &Reply::Received), (id(1), &given), (id(2), &Reply::Received)]);
    let progress = net.nodes[0].query_progress(query).unwrap();
    assert!(progress.ended);
    assert_eq!(progress.missing, [id(2), id(3)]);
    let now = net.now;
    net.nodes[2].answer(now, query, Some(b"too late")).unwrap();
    net.run(SECOND);
    assert_eq!(net.nodes[0].poll_answer(query), None);
    assert_eq!(net.nodes[0].stats().answers_late, 1);
}

#[test]
fn a_node_that_leaves_waits_for_nothing() {
    let mut net = Net::joined(3, &Config::lan());
    let now = net.now;
    let query = net.nodes[0].query(now, b"?", &Filter::ALL, 3_600 * SECOND).unwrap();
    net.lose = |_, to| to == 1;
    net.nodes[0].send_acknowledged(now, id(1), b"?", 3_600 * SECOND).unwrap();
    net.nodes[0].leave(now);
    net.run(60 * SECOND);
    assert!(net.nodes[0].has_left() && net.nodes[0].query_progress(query).unwrap().ended);
    let events = net.events(0);
    assert!(events.iter().any(|event| matches!(event, Event::Delivered { received: false, .. })), "{events:?}");
    let now = net.now;
    assert_eq!(net.nodes[0].send(now, id(2), b"?"), Err(SendError::Left));
    assert!(net.nodes[0].query(now, b"?", &Filter::ALL, SECOND).is_err());
}
