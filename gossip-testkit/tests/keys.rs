//! Keys that change while the cluster runs and datagrams get lost.
#![cfg(feature = "encryption")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Event, Key, KeyError, Keyring, Plain, Status};
use gossip_testkit::{Cluster, Command};

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
