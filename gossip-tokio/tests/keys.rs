//! Sealed datagrams, and keys that change while the nodes run.
#![cfg(feature = "encryption")]

mod common;

use std::num::NonZeroU8;

use common::gossip::Memory;
use common::gossip::gossip_core::{Config, Key, KeyError, NodeId, Plain, Status};
use common::gossip::{Builder, Gossip, Network, Over, SpawnError, over};
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
