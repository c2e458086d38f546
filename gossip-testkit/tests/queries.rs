//! Messages to one member, and queries, in clusters that lose datagrams and members.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::settled;
use gossip_core::{Event, Filter, NodeId, QueryId, Reply, SendError, Status};
use gossip_testkit::{Addr, Cluster, id_of};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(10);

/// Number of times that each process was asked, and what it has not answered yet.
#[derive(Default)]
struct Asked {
    times: BTreeMap<(Addr, QueryId), u32>,
    open: Vec<(Addr, QueryId)>,
}

fn listen(cluster: &mut Cluster) -> Rc<RefCell<Asked>> {
    let asked: Rc<RefCell<Asked>> = Rc::default();
    let events = Rc::clone(&asked);
    cluster.on_event(move |_, node, event| {
        if let Event::Query { id, .. } = event {
            let mut asked = events.borrow_mut();
            *asked.times.entry((node, *id)).or_default() += 1;
            asked.open.push((node, *id));
        }
    });
    asked
}

/// Runs, and answers with the node's id whatever is asked.
fn answer_for(cluster: &mut Cluster, asked: &Rc<RefCell<Asked>>, time: Duration) {
    let end = cluster.now() + time;
    while cluster.now() < end {
        cluster.run_for(STEP);
        for (node, id) in std::mem::take(&mut asked.borrow_mut().open) {
            if cluster.get(node.0).is_some() {
                cluster.with(node.0, |machine, now| {
                    let own = machine.id().get().to_le_bytes();
                    machine.answer(now, id, Some(&own)).expect("it is open");
                });
            }
        }
    }
}

#[test]
fn under_loss_each_is_asked_once_and_all_answer_or_are_named() {
    for seed in 0..6 {
        let mut cluster = settled(24, seed);
        let asked = listen(&mut cluster);
        cluster.lose([0.0, 0.1, 0.3][seed as usize % 3]);
        // One that was cut off and is not yet known to be, and one that crashes while it is asked.
        let (away, dies) = (20, 21);
        cluster.partition(away, ..);
        let asker = 5;
        let begun = cluster.now();
        let query = cluster
            .with(asker, |node, now| node.query(now, b"who?", &Filter::ALL, 20 * SECOND))
            .expect("there is room");
        cluster.run_for(Duration::from_millis(1));
        cluster.crash(dies);
        let ended = |cluster: &Cluster| cluster.node(asker).query_progress(query).expect("it is known").ended;
        while !ended(&cluster) {
            answer_for(&mut cluster, &asked, STEP);
        }
        let time = cluster.now().since(begun);
        assert!(time <= 21 * SECOND, "{time:?}");
        let progress = cluster.node(asker).query_progress(query).expect("it is known");
        let mut given = BTreeSet::new();
        while let Some(answer) = cluster.with(asker, |node, _| node.poll_answer(query)) {
            if let Reply::Given(payload) = answer.reply {
                assert_eq!(payload[..], answer.from.get().to_le_bytes());
                assert!(given.insert(answer.from), "seed {seed}: {} answers twice", answer.from);
            }
        }
        let missing: BTreeSet<NodeId> = progress.missing.iter().copied().collect();
        let all: BTreeSet<NodeId> = (0..24).map(|node| id_of(Addr(node))).collect();
        let named: BTreeSet<NodeId> = given.union(&missing).copied().collect();
        assert_eq!(named, all, "seed {seed}: all answer or are named");
        assert!(missing.is_subset(&BTreeSet::from([id_of(Addr(away)), id_of(Addr(dies))])), "seed {seed}: {missing:?}");
        assert!(missing.contains(&id_of(Addr(away))));
        cluster.heal();
        answer_for(&mut cluster, &asked, 60 * SECOND);
        let times = &asked.borrow().times;
        assert!(times.values().all(|times| *times == 1), "seed {seed}: {times:?}");
        let others = (0..24).filter(|node| *node != dies);
        assert!(others.clone().all(|node| times.contains_key(&(Addr(node), query))), "also who was away");
    }
}

#[test]
fn a_query_without_faults_ends_within_a_few_round_trips() {
    let mut cluster = settled(64, 1);
    let asked = listen(&mut cluster);
    let begun = cluster.now();
    let query = cluster.with(9, |node, now| node.query(now, b"?", &Filter::ALL, 30 * SECOND)).expect("there is room");
    while !cluster.node(9).query_progress(query).expect("it is known").ended {
        answer_for(&mut cluster, &asked, STEP);
    }
    let time = cluster.now().since(begun);
    println!("64 nodes have answered after {time:?}");
    assert!(time < 2 * SECOND, "{time:?}");
    assert!(cluster.node(9).query_progress(query).expect("it is known").missing.is_empty());
}

#[test]
fn messages_to_one_member_arrive_once_whatever_the_network_does() {
    for seed in 0..4 {
        let mut cluster = settled(5, seed);
        let arrived: Rc<RefCell<BTreeMap<Vec<u8>, u32>>> = Rc::default();
        let ends: Rc<RefCell<Vec<bool>>> = Rc::default();
        let (log, results) = (Rc::clone(&arrived), Rc::clone(&ends));
        cluster.on_event(move |_, node, event| match event {
            Event::Unicast { payload, .. } => {
                assert_eq!(node, Addr(3), "nobody else");
                *log.borrow_mut().entry(payload.to_vec()).or_default() += 1;
            }
            Event::Delivered { received, .. } => results.borrow_mut().push(*received),
            _ => {}
        });
        cluster.lose(0.3);
        for number in 0..300_u32 {
            if number == 150 {
                // Shorter than the detector needs.
                let cut = cluster.partition(3, ..);
                cluster.run_for(2 * SECOND);
                cluster.clear(cut);
            }
            let to = id_of(Addr(3));
            let send = |cluster: &mut Cluster| {
                cluster.with(1, |node, now| node.send_acknowledged(now, to, &number.to_le_bytes(), 60 * SECOND))
            };
            // No more than 64 may be under way.
            while let Err(error) = send(&mut cluster) {
                assert!(matches!(error, SendError::Busy { limit: 64, .. }), "{error}");
                cluster.run_for(STEP);
            }
            cluster.run_for(5 * STEP);
        }
        cluster.run_for(60 * SECOND);
        assert_eq!((ends.borrow().len(), ends.borrow().iter().all(|received| *received)), (300, true), "seed {seed}");
        let arrived = arrived.borrow();
        assert!(arrived.len() == 300 && arrived.values().all(|times| *times == 1), "seed {seed}: {}", arrived.len());
        assert_eq!(cluster.node(1).member(id_of(Addr(3))).expect("it is known").status, Status::Alive);
    }
}
