//! Sealed datagrams, and keys that change while the nodes run.
#![cfg(feature = "encryption")]

mod common;

use std::num::NonZeroU8;

use common::gossip::Memory;
use common::gossip::gossip_core::{Config, Filter, Key, KeyChange, KeyError, NodeId, Plain, RotationStep, Status};
use common::gossip::{Builder, Gossip, Network, Over, RotationError, SpawnError, over};
use common::{millis, run, sees, within};

fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

fn builder(network: &Network, address: u64) -> Builder<Over<Memory>> {
    let builder = over(network.attach(address).unwrap(), address).config(Config::local());
    builder.id(NodeId::new(address)).join((address != 1).then_some(1))
}

async fn both_see_two(one: &Gossip<u64>, other: &Gossip<u64>) {
    one.wait_members(2).await.unwrap();
    other.wait_members(2).await.unwrap();
}

#[test]
fn only_who_has_the_key_gets_in() {
    run(|| async {
        let network = Network::default();
        let first = builder(&network, 1).key(key(1)).spawn().await.unwrap();
        let second = builder(&network, 2).key(key(2)).key(key(1)).plain(Plain::Refused).spawn().await.unwrap();
        first.change_keys(|keys| keys.add(key(2))).unwrap();
        both_see_two(&first, &second).await;
        let stranger = builder(&network, 3).spawn().await.unwrap();
        let wrong = builder(&network, 4).key(key(3)).spawn().await.unwrap();
        first.put("name", b"value").unwrap();
        second.wait_for("name").await.unwrap();
        assert!(within(millis(500), stranger.wait_members(2)).await.is_none());
        assert!(within(millis(500), wrong.wait_members(2)).await.is_none());
        assert!(first.stats().node.datagrams_foreign > 0);
        assert_eq!(first.inspect(|node| node.live_members()), 2);
        assert_eq!(stranger.change_keys(|keys| keys.add(key(1))), Err(KeyError::NoKeyring));
    });
}

#[test]
fn keys_are_exchanged_while_the_nodes_run() {
    run(|| async {
        let network = Network::default();
        let nodes = [1, 2].map(|address| builder(&network, address).key(key(1)));
        let [first, second] = nodes;
        let (first, second) = (first.spawn().await.unwrap(), second.spawn().await.unwrap());
        both_see_two(&first, &second).await;
        let (old, new) = (key(1).id(), key(2).id());
        let nodes = [&first, &second];
        nodes.iter().for_each(|node| node.change_keys(|keys| keys.add(key(2))).unwrap());
        nodes.iter().for_each(|node| node.change_keys(|keys| keys.use_key(new)).unwrap());
        nodes.iter().for_each(|node| node.change_keys(|keys| keys.remove(old)).unwrap());
        first.put("name", b"value").unwrap();
        second.wait_for("name").await.unwrap();
        sees(&first, 2, Status::Alive).await;
        assert_eq!(first.inspect(|node| node.keyring().unwrap().ids().collect::<Vec<_>>()), [new]);
    });
}

#[test]
fn two_keys_of_one_number_are_an_error() {
    run(|| async {
        let network = Network::default();
        let id = NonZeroU8::MIN;
        let builder = builder(&network, 1).key(key(1).with_id(id)).key(key(2).with_id(id));
        assert!(matches!(builder.spawn().await, Err(SpawnError::Key(KeyError::Taken { .. }))));
    });
}

#[test]
fn one_call_exchanges_the_key_of_all() {
    run(|| async {
        let network = Network::default();
        let mut nodes = Vec::new();
        for address in 1..=4 {
            nodes.push(builder(&network, address).key(key(1)).spawn().await.unwrap());
        }
        for node in &nodes {
            node.wait_members(4).await.unwrap();
        }
        nodes[2].rotate_key([2; 32].into(), millis(30_000)).await.unwrap();
        for node in &nodes {
            assert!(node.inspect(|node| node.keyring().unwrap().ids().eq([key(2).id()])));
        }
        nodes[0].put("name", b"value").unwrap();
        nodes[3].wait_for("name").await.unwrap();

        // One that is gone is waited for until it is forgotten, and the others are not changed meanwhile.
        let gone = nodes.pop().unwrap();
        let id = gone.id();
        drop(gone);
        sees(&nodes[0], id.get(), Status::Dead).await;
        let error = nodes[0].rotate_key([3; 32].into(), millis(1_000)).await.unwrap_err();
        let unconfirmed =
            RotationError::Unconfirmed { step: RotationStep::Add, missing: vec![id], refused: Vec::new() };
        assert_eq!(error, unconfirmed);
        let said = nodes[1].change_all_keys(&KeyChange::List, &Filter::ALL, millis(10_000)).await.unwrap();
        let both = [key(2).id(), key(3).id()];
        assert!(said.answers.len() == 3 && said.answers.iter().all(|(_, answer)| answer.keys == both), "{said:?}");
        nodes[0].forget(id);
        nodes[1].rotate_key([3; 32].into(), millis(30_000)).await.unwrap();
        assert!(nodes.iter().all(|node| node.inspect(|node| node.keyring().unwrap().ids().eq([key(3).id()]))));

        let plain = over(Network::default().attach(1).unwrap(), 1).spawn().await.unwrap();
        assert_eq!(plain.rotate_key([3; 32].into(), millis(1)).await, Err(RotationError::NoKeyring));
    });
}
