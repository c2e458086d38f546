//! Sealed datagrams: what nobody without the key can do.

use super::*;
use crate::wire::{self, Swim};
use crate::{DatagramError, Key, KeyError, Keyring, Plain};

pub(super) fn keyring(key: u8, salt: u8) -> Keyring {
    Keyring::new(Key::new([key; 32]), [salt; 16])
}

fn is_sealed(bytes: &[u8]) -> bool {
    [wire::SEALED, wire::SEALED_STRANGER].contains(&(bytes[0] & 0x0f))
}

/// Two that share a key and have met.
fn met_in_secret() -> Net {
    let mut net = Net::new(2, &Config::lan());
    for (salt, node) in (0..).zip(&mut net.nodes) {
        node.set_keyring(Some(keyring(1, salt)));
        node.join(START, [0]);
    }
    net.run(20 * SECOND);
    assert!(net.nodes.iter().all(|node| node.live_members() == 2));
    net
}

/// Returns the next datagram of the first node to the second.
fn said(net: &mut Net) -> Vec<u8> {
    // Bodies that follow one another more closely share a datagram.
    net.now += SECOND / 100;
    let now = net.now;
    net.nodes[0].handle(now, Input::Tick).unwrap();
    net.nodes[0].put(now, "secret", b"the plan").unwrap();
    let sent = transmits(&mut net.nodes[0]);
    sent.into_iter().find(|(to, ..)| *to == 1).unwrap().2
}

fn hears(net: &mut Net, payload: &[u8]) -> Result<(), DatagramError> {
    let now = net.now;
    net.nodes[1].handle(now, Input::Datagram { from: &0, payload })
}

#[test]
fn what_may_have_been_forgotten_since_is_refused() {
    let mut net = met_in_secret();
    let (said, sent) = (said(&mut net), net.now);
    // Half of the day for which the dead are remembered.
    let oldest = 43_200 * SECOND;
    let before = state(&mut net.nodes[1]).0;
    // The clock in a header is in whole seconds.
    net.now = sent + oldest + 2 * SECOND;
    let refused = hears(&mut net, &said);
    assert!(matches!(refused, Err(DatagramError::TooOld { age, .. }) if age > oldest), "{refused:?}");
    assert_eq!((state(&mut net.nodes[1]).0, net.nodes[1].stats().datagrams_too_old), (before, 1));
    net.now = sent + oldest - SECOND;
    hears(&mut net, &said).unwrap();
    assert!(net.nodes[1].get("secret").is_some());
}

#[test]
fn what_is_said_is_hidden_and_no_byte_of_it_can_be_altered() {
    let mut net = met_in_secret();
    let said = said(&mut net);
    assert!(!said.windows(8).any(|window| window == b"the plan"));
    let before = state(&mut net.nodes[1]).0;
    for at in 0..said.len() {
        for bit in 0..8 {
            let mut bad = said.clone();
            bad[at] ^= 1 << bit;
            assert!(hears(&mut net, &bad).is_err(), "bit {bit} of byte {at}");
        }
    }
    for end in 0..said.len() {
        assert!(hears(&mut net, &said[..end]).is_err());
    }
    assert_eq!(state(&mut net.nodes[1]).0, before, "nothing has changed");
    assert_eq!(net.nodes[1].get("secret"), None);
    hears(&mut net, &said).unwrap();
    assert_eq!(net.nodes[1].get("secret").as_deref(), Some(&b"the plan"[..]));
}

#[test]
fn a_wrong_key_a_missing_one_and_a_retired_one_open_nothing() {
    let key = Key::new([1; 32]).id();
    let refused = Err(DatagramError::Key { key: key.get() });
    let mut net = met_in_secret();
    let said = said(&mut net);

    net.nodes[1].set_keyring(Some(keyring(2, 9)));
    assert_eq!(hears(&mut net, &said), refused, "another key under another number");
    let namesake = Key::new([2; 32]).with_id(key);
    net.nodes[1].set_keyring(Some(Keyring::new(namesake, [9; 16])));
    assert_eq!(hears(&mut net, &said), Err(DatagramError::Integrity), "another key under the same number");
    net.nodes[1].set_keyring(None);
    assert_eq!(hears(&mut net, &said), refused, "no keys");
    net.nodes[1].set_keyring(Some(keyring(2, 10)));
    net.nodes[1].change_keys(|keys| keys.add(Key::new([1; 32]))).unwrap();
    net.nodes[1].change_keys(|keys| keys.remove(key)).unwrap();
    assert_eq!(hears(&mut net, &said), refused, "a retired one");
    assert_eq!(net.nodes[1].get("secret"), None);
    net.nodes[1].change_keys(|keys| keys.add(Key::new([1; 32]))).unwrap();
    assert_eq!(hears(&mut net, &said), Ok(()), "one that is accepted");
    assert!(net.nodes[1].get("secret").is_some());
    assert_eq!(net.nodes[0].change_keys(|keys| keys.remove(key)), Err(KeyError::InUse { id: key }));
}

#[test]
fn what_is_not_sealed_is_refused_but_while_a_cluster_is_converted() {
    let mut net = met_in_secret();
    let mut plain = node(0, Config::lan());
    let (pass, body) = (net.nodes[1].pass(), written(&[Message::Swim(Swim::Ping { seq: 1 })]));
    let ping = sealed_for(&mut plain, 900, &body, Some(pass));
    assert_eq!(hears(&mut net, &ping), Err(DatagramError::Key { key: 0 }));
    let change = |net: &mut Net, plain| {
        net.nodes[1].change_keys(|keys| {
            keys.set_plain(plain);
            Ok(())
        })
    };
    change(&mut net, Plain::Accepted).unwrap();
    hears(&mut net, &ping).unwrap();
    let [first, second] = [said(&mut net), said(&mut net)];
    hears(&mut net, &first).unwrap();
    let sent = transmits(&mut net.nodes[1]);
    assert!(!sent.is_empty() && sent.iter().all(|(_, _, bytes)| is_sealed(bytes)), "what is sent is sealed");
    change(&mut net, Plain::Sent).unwrap();
    hears(&mut net, &ping).unwrap();
    hears(&mut net, &second).unwrap();
    let now = net.now;
    net.nodes[1].put(now, "x", b"y").unwrap();
    let sent = transmits(&mut net.nodes[1]);
    assert!(!sent.is_empty() && sent.iter().all(|(_, _, bytes)| !is_sealed(bytes)), "what is sent is plain");
}

#[test]
fn what_fits_fits_sealed_as_well() {
    let mut net = met_in_secret();
    let now = net.now;
    let largest = match net.nodes[0].broadcast(now, &[7; 2_000]) {
        Err(crate::WriteError::TooLarge { largest, .. }) => largest,
        other => panic!("{other:?}"),
    };
    net.nodes[0].broadcast(now, &vec![7; largest]).unwrap();
    net.nodes[0].put(now, "name", &[7; 20_000]).unwrap();
    for n in 0..1_000_u32 {
        net.nodes[0].put(now, &std::format!("{n}"), &[1; 20]).unwrap();
    }
    net.run(30 * SECOND);
    assert!(net.agree(), "sketches and pages fit too");
    assert_eq!(net.nodes[1].get("name").map(|value| value.len()), Some(20_000), "and chunks");
    assert_eq!(net.nodes.iter().map(|node| node.stats().outbox_unsendable).sum::<u64>(), 0);
}

#[test]
fn a_recording_is_refused_by_its_receiver_by_another_node_and_after_a_restart() {
    let mut net = met_in_secret();
    let said = said(&mut net);
    assert_eq!(hears(&mut net, &said), Ok(()));
    assert_eq!(hears(&mut net, &said), Err(DatagramError::Replayed));
    assert_eq!(net.nodes[1].stats().datagrams_replayed, 1);
    let now = net.now;
    let elsewhere = net.nodes[0].handle(now, Input::Datagram { from: &0, payload: &said });
    assert_eq!(elsewhere, Err(DatagramError::Integrity), "by another node");
    net.nodes[1] = Node::new(NodeId::new(2), 1, Config::lan(), 99).unwrap();
    net.nodes[1].set_keyring(Some(keyring(1, 77)));
    tick(&mut net.nodes[1], now);
    assert_eq!(hears(&mut net, &said), Err(DatagramError::Integrity), "after a restart");
}
