//! Datagrams from outside the cluster, and datagrams that were recorded inside it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Event, Input, Instant, Node, Status};
use gossip_testkit::{Addr, Boot, Cluster, Command, Machine, Wrapper, id_of};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

// Labels.

/// A node of one cluster at even addresses, of another at odd ones.
struct OneOfTwo(Node<Addr>);

impl Wrapper for OneOfTwo {
    type Inner = Node<Addr>;
    type Config = Config;
    type Memory = <Node<Addr> as Machine>::Memory;

    fn inner(&self) -> &Node<Addr> {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.0
    }

    fn inner_config(config: &Config) -> &Config {
        config
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Self::Memory>) -> Self {
        let label = ["even", "odd"][boot.addr.0 as usize % 2].into();
        let config = Config { label, ..boot.config.clone() };
        Self(Machine::boot(&boot.with_config(&config), memory))
    }

    fn into_memory(self) -> Self::Memory {
        self.0.into_memory()
    }
}

/// Time and source of every datagram.
type Told = BTreeMap<Addr, Vec<(Instant, Addr)>>;

#[test]
fn two_clusters_that_reach_one_another_never_merge() {
    let config = Config::default();
    // All of them join through one of each, and half of what they say to their seeds goes to the other cluster.
    let mut cluster = Cluster::<OneOfTwo>::builder(12, config).seed(1).seeds(2).build();
    let told: Rc<RefCell<Told>> = Rc::default();
    let tell = Rc::clone(&told);
    cluster.on_event(move |at, node, event| {
        if let Event::ForeignCluster { address } = event {
            tell.borrow_mut().entry(node).or_default().push((at, *address));
        }
    });
    cluster.run_for(20 * SECOND);
    for node in 0..2 {
        cluster.command(node, &Command::put("whose", ["even", "odd"][node as usize])).unwrap();
    }
    cluster.run_for(3 * 3_600 * SECOND);
    for (addr, OneOfTwo(node)) in cluster.live() {
        assert_eq!(node.live_members(), 6, "{addr}");
        assert!(node.members().all(|member| member.address.0 % 2 == addr.0 % 2 && member.status == Status::Alive));
        assert_eq!(node.get("whose").as_deref(), Some(["even", "odd"][addr.0 as usize % 2].as_bytes()));
    }
    // The seeds are called for ever: they count every call and speak of it once an hour.
    for node in 0..2 {
        assert!(cluster.node(node).0.stats().datagrams_foreign > 100);
        let told = &told.borrow()[&Addr(node)];
        assert!((3..=4).contains(&told.len()), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= 3_600 * SECOND));
        assert!(told.iter().all(|(_, address)| address.0 % 2 != node % 2));
    }
}

// Recordings.

/// A configuration that forgets so soon that recordings outlive it.
fn brief() -> Config {
    let mut config = Config::default();
    config.lifetimes.max_ahead = 5 * SECOND;
    config.lifetimes.broadcast = 20 * SECOND;
    config.lifetimes.certificate = 120 * SECOND;
    config.lifetimes.shrink = 20 * SECOND;
    config.lifetimes.reap_after = 120 * SECOND;
    config
}

const NODES: u32 = 5;
/// A node that crashes and does not come back.
const GONE: u32 = 4;

#[derive(Debug, Clone)]
struct Played {
    /// Number of the recording.
    which: prop::sample::Index,
    /// Share of the rest of the datagram that is kept.
    length: usize,
    /// Destination: its receiver, or another node.
    elsewhere: Option<u32>,
    /// Pause after the previous replay.
    after: u64,
    /// Node that is restarted first.
    restart: Option<(u32, bool)>,
}

fn played() -> impl Strategy<Value = Played> {
    let elsewhere = proptest::option::weighted(0.2, 0..GONE);
    let restart = proptest::option::weighted(0.1, (0..GONE, any::<bool>()));
    let after = prop_oneof![0_u64..1_000, 0_u64..60_000];
    (any::<prop::sample::Index>(), 1_usize..200, elsewhere, after, restart)
        .prop_map(|(which, length, elsewhere, after, restart)| Played { which, length, elsewhere, after, restart })
}

type Recording = Rc<RefCell<Vec<(Addr, Addr, Vec<u8>)>>>;

/// A cluster in which entries were written, overwritten and deleted, a broadcast was sent, and a node crashed.
fn recorded(seed: u64) -> (Cluster, Recording) {
    let mut cluster: Cluster = Cluster::builder(NODES, brief()).seed(seed).build();
    let recording = Recording::default();
    let tape = Rc::clone(&recording);
    cluster.tap(move |datagram| tape.borrow_mut().push((datagram.from, datagram.to, datagram.payload.to_vec())));
    cluster.run_for(8 * SECOND);
    let delete = |own| Command::Delete { name: "gone".into(), own };
    let own = |value: &str| Command::Put { name: "own".into(), value: value.into(), own: true, time_to_live: None };
    for (node, command) in [
        (0, Command::put("kept", "old")),
        (1, Command::put("gone", "for good")),
        (2, own("old")),
        (GONE, own("gone with it")),
        (3, Command::broadcast("said once")),
    ] {
        cluster.command(node, &command).unwrap();
    }
    cluster.run_for(3 * SECOND);
    // A false suspicion, which is refuted: its recording is played back as well.
    cluster.pause(1);
    let suspected = |cluster: &Cluster| cluster.live().any(|(_, node)| node.stats().suspicions > 0);
    cluster.run_until(20 * SECOND, SECOND / 10, suspected).expect("somebody misses it");
    cluster.resume(1);
    cluster.run_for(3 * SECOND);
    for (node, command) in [(1, Command::put("kept", "new")), (3, delete(false)), (2, own("new"))] {
        cluster.command(node, &command).unwrap();
    }
    cluster.crash(GONE);
    cluster.run_for(30 * SECOND);
    cluster.tap(|_| {});
    (cluster, recording)
}

/// State that an application sees.
fn seen(cluster: &Cluster) -> Vec<String> {
    let of = |node: &Node<Addr>| {
        let entries: Vec<_> = node.entries("").map(|(name, value)| (name, value.escape_ascii().to_string())).collect();
        // What the one who is gone owned goes with its record, recordings or not.
        let own = node.entries_named("own").filter(|(id, _)| *id != id_of(Addr(GONE)));
        let own: Vec<_> = own.map(|(id, value)| (id, value.escape_ascii().to_string())).collect();
        let alive = node.members().filter(|member| matches!(member.status, Status::Alive)).map(|member| member.id);
        format!("{entries:?} {own:?} {:?}", alive.collect::<BTreeSet<_>>())
    };
    cluster.live().map(|(_, node)| of(node)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_recorded_and_is_played_back_changes_nothing(
        seed in 0_u64..1_000,
        tape in proptest::collection::vec(played(), 1..30),
    ) {
        let (mut cluster, recording) = recorded(seed);
        let before = seen(&cluster);
        prop_assert!(before.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", before);
        prop_assert!(before[0].contains("\"new\"") && !before[0].contains("for good"));
        let broken: Rc<RefCell<Vec<String>>> = Rc::default();
        let notes = Rc::clone(&broken);
        cluster.on_event(move |at, node, event| match event {
            // Whoever is started anew may be suspected before, and was silent for no time at all.
            Event::Member { member, .. } if member.status == Status::Dead && member.id != id_of(Addr(GONE)) => {
                notes.borrow_mut().push(format!("{at}: {node} sees {} dead", member.id));
            }
            Event::Broadcast { .. } => notes.borrow_mut().push(format!("{at}: {node} hears it again")),
            _ => {}
        });
        let recording = recording.borrow();
        let mut owner_lives = true;
        for Played { which, length, elsewhere, after, restart } in tape {
            cluster.run_for(Duration::from_millis(after));
            if let Some((node, memory)) = restart {
                cluster.restart(node, memory);
                // What a member owns dies with its process.
                owner_lives &= node != 2;
                cluster.run_for(SECOND);
            }
            for (from, to, payload) in recording[which.index(recording.len())..].iter().take(length) {
                let to = elsewhere.unwrap_or(to.0);
                if to != GONE {
                    cluster.with(to, |node, now| {
                        let _ = Machine::handle(node, now, Input::Datagram { from, payload });
                    });
                }
            }
        }
        cluster.run_for(60 * SECOND);
        prop_assert_eq!(&*broken.borrow(), &Vec::<String>::new());
        let after = seen(&cluster);
        if owner_lives {
            prop_assert_eq!(before, after);
        } else {
            let without = |seen: &[String]| seen.iter().map(|seen| seen.replace("(0000000000000002, \"new\")", "")).collect::<Vec<_>>();
            prop_assert_eq!(without(&before), without(&after));
        }
    }
}

#[test]
fn the_recordings_are_worth_playing() {
    // Played at once they are news to one who starts anew. (They are refused for their age only where keys seal them.)
    let (mut cluster, recording) = recorded(1);
    let play = |cluster: &mut Cluster| {
        for (from, to, payload) in &*recording.borrow() {
            if to.0 != GONE {
                cluster.with(to.0, |node, now| {
                    let _ = Machine::handle(node, now, Input::Datagram { from, payload });
                });
            }
        }
    };
    play(&mut cluster);
    assert!(cluster.node(1).stats().refutations > 0, "an old suspicion is refuted");
    cluster.run_for(200 * SECOND);
    play(&mut cluster);
    // Nearly half of what a cluster at rest says are bare acks, which nobody waits for any more. (The first acks carry coordinates.)
    let unasked = cluster.live().map(|(_, node)| node.stats().datagrams_unasked).sum::<u64>();
    assert!(unasked > 200, "{unasked}");
    let gone = cluster.node(0).member(id_of(Addr(GONE)));
    assert!(gone.is_none_or(|member| member.status == Status::Dead), "nobody takes it for alive");
}

// First contact.

/// Datagrams of a cluster without a key, which anybody can read.
#[derive(Debug, Default, Clone)]
struct Contacts {
    all: u64,
    /// In the form for those whose record is not held.
    strange: u64,
    /// Nothing but challenges and proofs.
    proofs: u64,
    /// Those that were sent again with the token, since they had been answered by a challenge.
    repeated: u64,
    /// Pairs of nodes that spoke to each other.
    pairs: BTreeSet<(Addr, Addr)>,
}

impl Contacts {
    fn note(&mut self, from: Addr, to: Addr, payload: &[u8]) {
        self.all += 1;
        self.pairs.insert((from, to));
        // Form and version, hint, sender, check, clock: `wire.md`.
        let trailer = if payload.len() <= 43 { 4 } else { 8 };
        let [0x20, body @ ..] = payload else { return };
        let body = &body[14..body.len() - trailer];
        self.strange += 1;
        // Tag and cookie.
        let only = !body.is_empty() && body.len() % 5 == 0 && body.chunks(5).all(|part| matches!(part[0], 0x40 | 0x41));
        let shown = matches!(body, [0x41, ..] | [.., 0x41, _, _, _, _, 0x40, _, _, _, _]);
        self.proofs += u64::from(only);
        self.repeated += u64::from(shown && !only);
    }
}

/// Lets a cluster form through one seed, and then speak for a while. Returns what was said until then, and after it.
fn contacts(nodes: u32, time: Duration) -> [Contacts; 2] {
    let mut cluster = Cluster::<Node<Addr>>::builder(nodes, Config::default()).seed(1).build();
    let counted: Rc<RefCell<Contacts>> = Rc::default();
    let tape = Rc::clone(&counted);
    cluster.tap(move |datagram| tape.borrow_mut().note(datagram.from, datagram.to, datagram.payload));
    cluster.run_until(60 * SECOND, SECOND / 4, Cluster::sees_all).expect("all see all");
    let until = counted.take();
    // What was on its way, and what hangs on it.
    cluster.run_for(30 * SECOND);
    counted.take();
    cluster.run_for(time);
    [until, counted.take()]
}

fn assert_contacts_are_cheap(nodes: u32, time: Duration) {
    let [joining, after] = contacts(nodes, time);
    let pairs = [&joining, &after].map(|contacts| contacts.pairs.len());
    println!(
        "{nodes} nodes join: {} datagrams, {} as to strangers, {} of challenges and proofs alone, {} sent again; {} pairs. \
         After that {} datagrams, {} as to strangers; {} pairs",
        joining.all, joining.strange, joining.proofs, joining.repeated, pairs[0], after.all, after.strange, pairs[1]
    );
    // One who joins has no record of its seed, nor of those who speak to it before it has heard of them: it shows that it
    // receives there, which takes a challenge, and the same again.
    assert!(joining.proofs <= 6 * u64::from(nodes) && joining.proofs * 20 <= joining.all, "{} proofs", joining.proofs);
    assert!(joining.repeated <= joining.proofs, "{} sent again", joining.repeated);
    // Members hold each other's records, so there is nothing to show before the first word.
    assert!(pairs[1] as u64 > u64::from(nodes) * u64::from(nodes - 1) / 2, "they have met at random");
    assert_eq!((after.strange, after.proofs, after.repeated), (0, 0, 0));
}

#[test]
fn members_that_speak_for_the_first_time_send_no_datagram_more_for_that() {
    assert_contacts_are_cheap(40, 600 * SECOND);
}

#[test]
#[ignore = "a thousand nodes for an hour: forty are in every run"]
fn a_thousand_join_and_probe_one_another_for_an_hour_without_a_datagram_more_for_that() {
    assert_contacts_are_cheap(1_000, 3_600 * SECOND);
}
