//! Keys that change while the cluster runs and datagrams get lost.
#![cfg(feature = "encryption")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::inspect::Update;
use gossip_core::{Event, Key, KeyError, Keyring, Plain, Rotation, RotationStep, Status};
use gossip_testkit::{Addr, Cluster, Command};

const NODES: u32 = 10;

fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

/// Changes keys one node after the other, some periods apart, as an operator does.
fn roll_out(cluster: &mut Cluster, change: impl Fn(&mut Keyring) -> Result<(), KeyError>) {
    for node in 0..NODES {
        cluster.with(node, |machine, _| machine.change_keys(&change)).unwrap();
        cluster.run_for(Duration::from_secs(7));
    }
}

fn plain(plain: Plain) -> impl Fn(&mut Keyring) -> Result<(), KeyError> {
    move |keys| {
        keys.set_plain(plain);
        Ok(())
    }
}

#[test]
fn a_cluster_is_converted_and_its_keys_are_exchanged_without_a_moment_of_lost_membership() {
    for seed in 0..3 {
        let mut cluster: Cluster = Cluster::new(NODES, seed);
        let within = Duration::from_secs(60);
        cluster.run_until(within, Duration::from_secs(1), Cluster::sees_all).unwrap();
        cluster.lose(0.1);
        let lost: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = Rc::clone(&lost);
        cluster.on_event(move |at, node, event| {
            // Where datagrams are lost somebody is suspected now and then, and refutes it.
            if let Event::Member { member, .. } = event
                && matches!(member.status, Status::Dead | Status::Left)
            {
                seen.borrow_mut().push(format!("{at}: node {node} sees {} {}", member.id, member.status));
            }
            if let Event::Isolated(true) = event {
                seen.borrow_mut().push(format!("{at}: node {node} is isolated"));
            }
        });

        // From plain to sealed.
        for node in 0..NODES {
            let mut keyring = Keyring::new(key(1), [node as u8; 16]);
            keyring.set_plain(Plain::Sent);
            cluster.with(node, |machine, _| machine.set_keyring(Some(keyring)));
            cluster.run_for(Duration::from_secs(7));
        }
        roll_out(&mut cluster, plain(Plain::Accepted));
        roll_out(&mut cluster, plain(Plain::Refused));
        cluster.command(0, &Command::put("sealed", "now")).unwrap();
        cluster.run_for(Duration::from_secs(10));

        // From one key to another.
        let (old, new) = (key(1).id(), key(2).id());
        roll_out(&mut cluster, |keys| keys.add(key(2)));
        cluster.command(5, &Command::put("between", "keys")).unwrap();
        roll_out(&mut cluster, |keys| keys.use_key(new));
        roll_out(&mut cluster, |keys| keys.remove(old));

        assert_eq!(*lost.borrow(), Vec::<String>::new(), "seed {seed}");
        cluster.run_until(within, Duration::from_secs(1), Cluster::sees_all).expect("passing suspicions are refuted");
        cluster.assert_converges_within(within);
        for node in 0..NODES {
            let machine = cluster.node(node);
            assert_eq!(machine.stats().datagrams_foreign, 0, "none was refused for its key");
            assert_eq!(machine.keyring().unwrap().ids().collect::<Vec<_>>(), [new]);
            assert!(machine.get("sealed").is_some() && machine.get("between").is_some());
        }
        assert!(cluster.counters().lost > 0);
    }
}

#[test]
fn who_is_left_behind_with_an_old_key_is_out() {
    let mut cluster: Cluster = Cluster::new(4, 1);
    for node in 0..4 {
        cluster.run_for(Duration::from_secs(1));
        cluster.with(node, |machine, _| machine.set_keyring(Some(Keyring::new(key(1), [node as u8; 16]))));
    }
    let within = Duration::from_secs(60);
    cluster.run_until(within, Duration::from_secs(1), Cluster::sees_all).unwrap();
    for node in 0..3 {
        cluster.with(node, |machine, _| machine.change_keys(|keys| keys.add(key(2)))).unwrap();
    }
    for node in 0..3 {
        cluster
            .with(node, |machine, _| {
                machine.change_keys(|keys| {
                    keys.use_key(key(2).id())?;
                    keys.remove(key(1).id())
                })
            })
            .unwrap();
    }
    cluster.run_for(Duration::from_secs(60));
    cluster.command(0, &Command::put("secret", "of three")).unwrap();
    cluster.run_for(Duration::from_secs(60));
    assert!((1..3).all(|node| cluster.node(node).get("secret").is_some()));
    assert_eq!(cluster.node(3).get("secret"), None);
    assert_eq!(cluster.node(0).live_members(), 3);
    assert!(cluster.node(3).stats().datagrams_foreign > 0 && cluster.node(0).stats().datagrams_foreign > 0);
}

/// Advances a rotation at `node` until it is done, for so long.
fn rotate(cluster: &mut Cluster, node: u32, rotation: &mut Rotation, time: Duration) -> bool {
    let end = cluster.now() + time;
    while cluster.now() < end && rotation.step() != RotationStep::Done {
        cluster.run_for(Duration::from_millis(100));
        cluster.with(node, |machine, now| machine.advance_rotation(now, rotation));
    }
    rotation.step() == RotationStep::Done
}

#[test]
fn one_call_exchanges_the_key_under_writes_loss_and_a_partition_and_loses_nothing() {
    let second = Duration::from_secs(1);
    for seed in 0..3 {
        let mut cluster: Cluster = Cluster::new(NODES, seed);
        for node in 0..NODES {
            cluster.run_for(second);
            let keyring = Keyring::new(key(1), [node as u8 + 1; 16]);
            cluster.with(node, |machine, _| machine.set_keyring(Some(keyring)));
        }
        cluster.run_until(60 * second, second, Cluster::sees_all).unwrap();
        let foreign = |cluster: &Cluster, node| cluster.node(node).stats().datagrams_foreign;
        let before: Vec<u64> = (0..NODES).map(|node| foreign(&cluster, node)).collect();
        cluster.lose(0.1);
        let write = |cluster: &mut Cluster, round: u32| {
            for node in 0..NODES {
                cluster.command(node, &Command::put(format!("{node} {round}"), "kept")).unwrap();
            }
        };
        // Long enough for both sides to declare the other dead.
        let cut = cluster.partition(7..NODES, 0..7);
        let mut rotation = Rotation::new([2; 32].into());
        write(&mut cluster, 0);
        assert!(!rotate(&mut cluster, 3, &mut rotation, 120 * second), "three members have not confirmed it");
        assert_eq!(rotation.step(), RotationStep::Add, "who is away would be locked out");
        assert!(cluster.node(0).keyring().unwrap().ids().eq([key(1).id(), key(2).id()]));
        assert_eq!(cluster.node(0).live_members(), 7);
        write(&mut cluster, 1);
        cluster.clear(cut);
        // It goes on by itself, although the one that began it is gone: another one begins it again.
        drop(rotation);
        let mut rotation = Rotation::new([2; 32].into());
        write(&mut cluster, 2);
        assert!(rotate(&mut cluster, 8, &mut rotation, 300 * second), "seed {seed}: {rotation:?}");
        write(&mut cluster, 3);
        cluster.run_until(60 * second, second, Cluster::sees_all).expect("all are back");
        cluster.assert_converges_within(60 * second);
        for node in 0..NODES {
            let machine = cluster.node(node);
            assert_eq!(machine.keyring().unwrap().ids().collect::<Vec<_>>(), [key(2).id()]);
            let written = (0..NODES).flat_map(|node| (0..4).map(move |round| format!("{node} {round}")));
            assert!(written.into_iter().all(|name| machine.get(&name).is_some()), "seed {seed}: node {node}");
            assert_eq!(foreign(&cluster, node), before[node as usize], "none was refused for its key");
        }
    }
}

#[test]
fn who_cannot_open_the_new_key_says_so_and_nothing_is_used_before_all_have_it() {
    let mut cluster: Cluster = Cluster::new(3, 1);
    for node in 0..3 {
        cluster.run_for(Duration::from_secs(1));
        let mut keyring = Keyring::new(key(1), [node as u8 + 1; 16]);
        if node == 2 {
            // Another key has the same number.
            keyring.add(key(3).with_id(key(2).id())).unwrap();
        }
        cluster.with(node, |machine, _| machine.set_keyring(Some(keyring)));
    }
    cluster.run_until(Duration::from_secs(60), Duration::from_secs(1), Cluster::sees_all).unwrap();
    let mut rotation = Rotation::new([2; 32].into());
    assert!(!rotate(&mut cluster, 0, &mut rotation, Duration::from_secs(60)));
    let refused: Vec<_> = rotation.refused().map(|(id, reason)| (id, reason.to_owned())).collect();
    let reason = KeyError::Taken { id: key(2).id() }.to_string();
    assert_eq!(refused, [(cluster.node(2).id(), reason)]);
    assert_eq!(cluster.node(0).keyring().unwrap().ids().next(), Some(key(1).id()));
    // The rest of a key that is asked about on its way opens nothing without the key in use.
    let asks = |update: &Update<Addr>| match update {
        Update::Broadcast(broadcast) if broadcast.asks.is_some() => Some(broadcast.payload.clone()),
        _ => None,
    };
    let now = cluster.node(1).clock(cluster.now());
    let held: Vec<_> = cluster.node(1).updates(now).filter_map(|update| asks(&update)).collect();
    assert!(!held.is_empty() && held.iter().all(|payload| !payload.windows(4).any(|part| part == [2; 4])));
}
