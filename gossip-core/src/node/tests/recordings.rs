//! Recordings of everything that was said, played back: at once, later, after restarts, to their receivers and to others.

use super::*;
use crate::DatagramError;

const NODES: u32 = 4;

/// Datagrams with their ways.
type Tape = Vec<(u32, u32, Vec<u8>)>;

/// State that an application sees.
type Seen = (crate::inspect::Reconciled, Vec<(NodeId, crate::Status, u64)>);

fn seen(node: &Node<u32>) -> Seen {
    let members = node.members().map(|member| (member.id, member.status, member.incarnation)).collect();
    (node.reconciled(node.now), members)
}

/// Outcome of playing recordings back.
#[derive(Debug, Default)]
struct Played {
    recordings: usize,
    replays: usize,
    refused: usize,
    /// Answered with no more bytes than they have.
    answered: usize,
    /// Answered with more.
    amplified: usize,
    /// Those after which the receiver was another than before.
    changed: usize,
    /// Those after which something spreads that did not before.
    heated: usize,
    bytes: usize,
    bytes_answered: usize,
}

impl Played {
    /// Plays a datagram back at `now` to a node that has nothing to send.
    fn play(&mut self, node: &mut Node<u32>, now: Instant, from: u32, payload: &[u8]) -> Result<(), DatagramError> {
        let (before, hot) = (seen(node), node.hot_rumors());
        // The whole state is long: of some only.
        let whole = self.replays.is_multiple_of(64).then(|| state(node).0);
        let heard = node.handle(now, Input::Datagram { from: &from, payload });
        if heard.is_err() {
            assert!(whole.is_none_or(|whole| whole == state(node).0), "{heard:?} has changed something");
        }
        let answers: usize = transmits(node).iter().map(|(_, _, answer)| answer.len()).sum();
        self.replays += 1;
        self.bytes += payload.len();
        self.bytes_answered += answers;
        self.refused += usize::from(heard.is_err());
        self.answered += usize::from(answers > 0 && answers <= payload.len());
        self.amplified += usize::from(answers > payload.len());
        self.heated += usize::from(node.hot_rumors() > hot);
        if seen(node) != before {
            self.changed += 1;
            std::println!("{from} to {} at {now}: {:?} is now {:?}", node.id(), before, seen(node));
        }
        heard
    }

    /// Plays all to their receivers and to another node.
    fn play_all(&mut self, net: &mut Net, now: Instant, tape: &Tape) {
        for (from, to, payload) in tape {
            for to in [*to, (*to + 1) % NODES] {
                let _ = self.play(&mut net.nodes[to as usize], now, *from, payload);
            }
        }
    }
}

/// Delivers and records all, with replays at once if `played` is given, until a time.
fn record(net: &mut Net, tape: &mut Tape, until: Instant, mut played: Option<&mut Played>) {
    while net.now < until {
        let begun = tape.len();
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in 0..NODES {
                for (to, _, payload) in transmits(&mut net.nodes[from as usize]) {
                    quiet = false;
                    let _ = net.nodes[to as usize].handle(net.now, Input::Datagram { from: &from, payload: &payload });
                    tape.push((from, to, payload));
                }
            }
        }
        if let Some(played) = &mut played {
            let now = net.now;
            played.play_all(net, now, &tape[begun..].to_vec());
        }
        net.now = net.nodes.iter().filter_map(Node::poll_timeout).min().unwrap().max(net.now + SECOND / 1_000);
        let now = net.now;
        net.nodes
            .iter_mut()
            .filter(|node| node.poll_timeout().is_some_and(|at| at <= now))
            .for_each(|node| tick(node, now));
    }
}

/// Plays back what four members say in so many minutes, with writes and a restart. `prepare`: what is done with each start of a
/// node, which has that number.
fn recorded_and_played(minutes: usize, prepare: impl Fn(&mut Node<u32>, u8)) -> Played {
    let mut net = Net::new(NODES, &Config::lan());
    for (start, node) in (0..).zip(&mut net.nodes) {
        prepare(node, start);
        node.join(START, [0]);
    }
    let (mut tape, mut played) = (Tape::new(), Played::default());
    let begin_anew = |net: &mut Net, at: u32, start: u8| {
        let id = NodeId::new(u64::from(at) + 1);
        let node = &mut net.nodes[at as usize];
        *node = Node::new(id, at, Config::lan(), u64::from(start)).unwrap();
        prepare(node, start);
        node.join(net.now, [(at + 1) % NODES]);
    };
    for minute in 0..minutes {
        let now = net.now;
        net.nodes[minute % 4].put(now, &std::format!("{}", minute % 7), &[minute as u8; 40]).unwrap();
        if minute == minutes * 2 / 3 {
            begin_anew(&mut net, 3, 99);
        }
        record(&mut net, &mut tape, now + 60 * SECOND, Some(&mut played));
    }
    played.recordings = tape.len();
    // Time passes for the players only: nothing is due at the nodes.
    for later in [0, 60, 3_600] {
        let now = net.now + later * SECOND;
        played.play_all(&mut net, now, &tape);
    }
    net.now += 3_600 * SECOND;
    let settled = net.now + 60 * SECOND;
    record(&mut net, &mut Tape::new(), settled, None);
    for at in 0..NODES {
        begin_anew(&mut net, at, 100 + at as u8);
        let settled = net.now + 10 * SECOND;
        record(&mut net, &mut Tape::new(), settled, None);
        assert_eq!(net.nodes[at as usize].live_members(), NODES as usize);
        let now = net.now;
        for (from, to, payload) in &tape {
            if *to == at {
                let _ = played.play(&mut net.nodes[at as usize], now, *from, payload);
            }
        }
    }
    std::println!("{played:?}");
    played
}

#[cfg(feature = "encryption")]
fn sealed(minutes: usize) -> Played {
    let played = recorded_and_played(minutes, |node, start| node.set_keyring(Some(keys::keyring(1, start))));
    assert_eq!((played.changed, played.heated, played.amplified), (0, 0, 0), "{played:?}");
    assert!(played.refused * 10 > played.replays * 9, "{played:?}");
    played
}

#[cfg(feature = "encryption")]
#[test]
fn no_recording_changes_anything_or_is_answered_with_more_than_itself() {
    assert!(sealed(4).recordings > 1_000);
}

#[cfg(feature = "encryption")]
#[test]
#[ignore = "an hour is recorded and replayed three times over, which takes minutes: four minutes of it are in every run"]
fn no_recording_of_an_hour_changes_anything_or_is_answered_with_more_than_itself() {
    assert!(sealed(60).recordings > 10_000);
}

// Who listens where there is no key can do more than play back: he reads the passes. His recordings change nothing all the same.
#[test]
fn without_a_key_a_recording_changes_nothing_that_an_application_sees() {
    let played = recorded_and_played(4, |_, _| ());
    assert!(played.recordings > 1_000 && played.changed == 0, "{played:?}");
}

#[test]
#[ignore = "an hour is recorded and replayed three times over, which takes minutes: four minutes of it are in every run"]
fn without_a_key_a_recording_of_an_hour_changes_nothing_that_an_application_sees() {
    let played = recorded_and_played(60, |_, _| ());
    assert!(played.recordings > 10_000 && played.changed == 0, "{played:?}");
}
