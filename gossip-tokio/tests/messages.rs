//! Messages to one member, and queries.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::gossip::gossip_core::{Config, Event, Filter, NodeId, Relay, Reply, SendError};
use common::gossip::{DeliveryError, Gossip, Network, bind, over};
use common::{millis, node, pair, run, run_for, runtime, within};
use futures_util::StreamExt;
use futures_util::future::join_all;

#[test]
fn a_message_goes_to_one_member_and_a_receipt_comes_back() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let mut events = second.events();
        second.send_to_acknowledged(first.id(), "there", millis(5_000)).await.unwrap();
        first.send_to(second.id(), "back").unwrap();
        loop {
            if let Event::Unicast { from, payload } = events.next().await.unwrap().unwrap() {
                assert_eq!((from, &payload[..]), (first.id(), &b"back"[..]));
                assert_eq!(format!("{payload:?}"), "b\"back\"");
                break;
            }
        }
        let nobody = NodeId::new(99);
        assert_eq!(first.send_to(nobody, ""), Err(SendError::NoMember { id: nobody }));
        second.stop();
        second.stopped().await.unwrap();
        let to = second.id();
        let end = first.send_to_acknowledged(to, "nobody hears", millis(300)).await;
        assert_eq!(end, Err(DeliveryError::NoReceipt { to }));
    });
}

/// Answers everything with the name of the node that asks.
fn answers(node: &Gossip<u64>) -> impl Future<Output = ()> + Send + 'static {
    let mut questions = node.questions();
    let own = node.id();
    async move {
        while let Some(question) = questions.next().await {
            let text = format!("{} asks {own}", question.from());
            question.respond(text).unwrap();
        }
    }
}

#[test]
fn a_query_gathers_answers_and_names_who_has_none() {
    run(|| async {
        let network = Network::default();
        let nodes = join_all((1..=4).map(|at| node(&network, at))).await;
        for node in &nodes {
            node.wait_members(4).await.unwrap();
        }
        runtime::spawn(answers(&nodes[1]));
        runtime::spawn(answers(&nodes[2]));
        // The first and the fourth do not listen.
        let begun = Instant::now();
        let gathered = nodes[0].query("?").timeout(millis(20_000)).gather().await.unwrap();
        assert!(begun.elapsed() < millis(10_000), "it ends early");
        let said: BTreeSet<String> =
            gathered.responses.iter().map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()).collect();
        let (asker, second, third) = (nodes[0].id(), nodes[1].id(), nodes[2].id());
        assert_eq!(said, BTreeSet::from([format!("{asker} asks {second}"), format!("{asker} asks {third}")]));
        assert_eq!(gathered.declined.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([asker, nodes[3].id()]));
        assert!(gathered.missing.is_empty());

        let slow = nodes[3].questions();
        let only = Filter::ALL.ids([nodes[3].id()]);
        let mut answers = nodes[0].query("slow?").filter(only).timeout(millis(20_000)).ask().unwrap();
        let answer = StreamExt::next(&mut answers).await.unwrap();
        assert_eq!((answer.from, answer.reply), (nodes[3].id(), Reply::Received));
        assert!(within(millis(50), answers.next()).await.is_none(), "it takes its time");
        assert_eq!(answers.progress().missing, [nodes[3].id()]);
        drop(slow);
        assert_eq!(answers.next().await.unwrap().reply, Reply::Declined, "nobody listens any more");
        assert!(answers.next().await.is_none() && answers.progress().ended);

        let mut unheard = nodes[3].questions();
        let only = Filter::ALL.ids([nodes[3].id()]);
        let gathered = nodes[0].query("x").filter(only).timeout(millis(500)).gather().await.unwrap();
        assert_eq!(gathered.missing, [nodes[3].id()]);
        assert!(unheard.next().await.is_some());
        nodes[3].stop();
        assert!(unheard.next().await.is_none());
    });
}

/// `cargo test --release -p gossip-tokio --test messages -- --ignored --nocapture`
#[test]
#[ignore = "takes a machine of its own"]
fn a_hundred_on_the_loopback_answer_within_50_ms_at_the_median() {
    run_for(Duration::from_secs(300), || async {
        let mut config = Config::local();
        config.rumor.relay = Relay::Tree;
        let first = bind("127.0.0.1:0").config(config.clone()).spawn().await.unwrap();
        let seed = first.address();
        let mut nodes = vec![first];
        for _ in 1..100 {
            nodes.push(bind("127.0.0.1:0").config(config.clone()).join([seed]).spawn().await.unwrap());
        }
        for node in &nodes {
            node.wait_members(100).await.unwrap();
            let mut questions = node.questions();
            runtime::spawn(async move {
                while let Some(question) = questions.next().await {
                    question.respond("yes").unwrap();
                }
            });
        }
        runtime::sleep(Duration::from_secs(10)).await;
        let mut times = Vec::new();
        for round in 0..50 {
            let begun = Instant::now();
            let gathered = nodes[round * 7 % 100].query("?").timeout(millis(30_000)).gather().await.unwrap();
            times.push(begun.elapsed());
            assert_eq!((gathered.responses.len(), gathered.missing.len()), (100, 0));
            runtime::sleep(millis(200)).await;
        }
        times.sort();
        let [least, median, most] = [times[0], times[25], times[49]];
        println!("all 100 have answered after {median:?} at the median, {least:?} at least, {most:?} at most");
        assert!(median <= millis(50), "{median:?}");
    });
}

#[test]
fn a_question_that_nobody_takes_is_not_kept_beyond_a_bound() {
    run(|| async {
        let network = Network::default();
        let mut config = Config::local();
        config.probe.period = millis(200);
        let first = over(network.attach(1).unwrap(), 1).config(config).spawn().await.unwrap();
        let mut questions = first.questions();
        for _ in 0..60 {
            for _ in 0..10 {
                drop(first.query("?").timeout(millis(1)).ask().unwrap());
            }
            runtime::sleep(millis(2)).await;
        }
        let mut held = 0;
        while within(millis(20), questions.next()).await.is_some() {
            held += 1;
        }
        assert!(held <= 256, "{held}");
    });
}
