//! Targets of the fuzzers, each with a test of a fixed number of cases: they turn any bytes into claims that must hold
//! for all of them.
//!
//! Part of the crate only when it is tested or fuzzed (`cargo fuzz` sets `cfg(fuzzing)`).

mod peer;

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::sketch::Sketch;
use crate::update::Standing;
use crate::wire::{Envelope, Header, Message, Writer, read};
use crate::{Config, Filter, Input, Instant, Node, NodeId};
use peer::Peer;

const START: Instant = Instant::from_secs(1_700_000_000);
const LONGEST: usize = 1_200;

/// Messages that are read and written again are read as the same messages.
pub fn decoder(bytes: &[u8]) {
    let mut messages: Vec<Message<u32>> = Vec::new();
    if read(bytes, &mut messages, crate::update::Format::FIRST).is_err() {
        assert!(messages.is_empty(), "all messages or none");
        return;
    }
    let length = messages.iter().map(Message::encoded_len).sum();
    let mut again = vec![0; length];
    let mut writer = Writer::new(&mut again);
    assert!(messages.iter().all(|message| writer.push(message)), "as long as it says");
    assert_eq!(writer.room(), 0);
    let mut read_again = Vec::new();
    read(&again, &mut read_again, crate::update::Format::FIRST).expect("what is sound stays sound");
    assert_eq!(messages, read_again);
}

/// A difference that is said to be decoded is one: taken out of the sketch it leaves nothing.
pub fn sketch(bytes: &[u8]) {
    let Ok((ours, rest)) = postcard::take_from_bytes::<Sketch>(bytes) else { return };
    let mut difference = ours.clone();
    if let Ok((theirs, _)) = postcard::take_from_bytes::<Sketch>(rest)
        && theirs.len() <= ours.len()
    {
        difference.subtract(&theirs);
    }
    let _ = difference.estimate(rest.len() as i64);
    if let Ok(found) = difference.clone().decode() {
        found.ours.iter().for_each(|item| difference.remove(*item));
        found.theirs.iter().for_each(|item| difference.add(*item));
        let nothing = difference.decode().expect("nothing is left");
        assert!(nothing.ours.is_empty() && nothing.theirs.is_empty());
    }
}

/// Checks that every datagram that an envelope opens was sealed, byte for byte, by this cluster or with its key.
pub fn envelope(bytes: &[u8]) {
    let mut plain = Envelope::new("fuzz", LONGEST);
    check_opened(&mut plain, bytes);
    #[cfg(feature = "encryption")]
    {
        let mut sealed = Envelope::new("fuzz", LONGEST);
        sealed.set_keyring(Some(crate::Keyring::new(crate::Key::new([7; 32]), [9; 16])));
        assert!(sealed.open(bytes).is_err(), "nobody guesses a tag");
        // The first two bytes say what becomes of a datagram that is whole.
        let [at, flip, messages @ ..] = bytes else { return };
        let mut datagram = vec![0; LONGEST];
        let body = sealed.body();
        let length = messages.len().min(body.len());
        datagram[body.start..body.start + length].copy_from_slice(&messages[..length]);
        let header = Header::new(NodeId::new(1), 2, Standing::Alive, START);
        let to = (at & 1 == 0).then_some(sealed.pass());
        let length = sealed.seal(&header, &mut datagram, length, to);
        let at = usize::from(*at) % length;
        datagram[at] ^= flip;
        assert_eq!(sealed.open(&datagram[..length]).is_ok(), *flip == 0);
    }
}

fn check_opened(envelope: &mut Envelope, bytes: &[u8]) {
    let Ok((header, messages)) = envelope.open(bytes) else { return };
    if header.sender.is_none() {
        // Whether a bare ack is whole is a question to ask of one who may have sent it.
        assert!(!envelope.is_from(bytes, NodeId::new(1)), "nobody guesses a trailer");
        return;
    }
    let messages = messages.to_vec();
    let mut again = vec![0; LONGEST];
    let at = envelope.body().start;
    again[at..at + messages.len()].copy_from_slice(&messages);
    let to = header.keyed.then_some(envelope.pass());
    let length = envelope.seal(&header, &mut again, messages.len(), to);
    assert_eq!(again[..length], *bytes);
}

fn config() -> Config {
    let mut config = Config::lan();
    config.limits.members = 64;
    config.limits.entries = 256;
    config.limits.outbox = 64;
    config
}

/// A node that is fed anything, between ticks and commands, keeps its contracts.
///
/// The bytes are a list of steps: what kind (one byte), how long (one byte, times eight), and as much of the rest.
pub fn node(bytes: &[u8]) {
    let mut node = Node::new(NodeId::new(1), 0_u32, config(), 1).expect("a preset works");
    node.join(START, 1..8);
    feed(node, &mut peers(|_| ()), START, bytes);
}

/// The same with one of two nodes that have met and hold data, by somebody who knows its pass, its tokens and what it asks.
pub fn pair(bytes: &[u8]) {
    let (node, other, now) = settled(|_| ());
    let mut peers = peers(|_| ());
    peers[1].envelope = other.into_envelope();
    feed(node, &mut peers, now, bytes);
}

/// The same, by somebody who holds the key as well.
#[cfg(feature = "encryption")]
pub fn sealed_pair(bytes: &[u8]) {
    let keyring = |salt| crate::Keyring::new(crate::Key::new([7; 32]), [salt; 16]);
    let (node, other, now) = settled(|node| node.set_keyring(Some(keyring(node.id().get() as u8))));
    let mut peers = peers(|envelope| envelope.set_keyring(Some(keyring(9))));
    peers[1].envelope = other.into_envelope();
    feed(node, &mut peers, now, bytes);
}

/// Peers at sixteen addresses, of which the node may know some.
fn peers(prepare: impl Fn(&mut Envelope)) -> [Peer; 16] {
    core::array::from_fn(|address| {
        let mut envelope = Envelope::new("", LONGEST);
        envelope.set_pass(address as u64);
        prepare(&mut envelope);
        Peer::new(address as u32, envelope)
    })
}

/// Two nodes that have met, at addresses 0 and 1, and hold data of both.
fn settled(prepare: impl Fn(&mut Node<u32>)) -> (Node<u32>, Node<u32>, Instant) {
    let mut pair = [0_u32, 1].map(|at| {
        let mut node = Node::new(NodeId::new(u64::from(at) + 1), at, config(), at.into()).expect("a preset works");
        prepare(&mut node);
        node.join(START, [0]);
        node.put_own(START, "own", &[1; 40]).expect("it fits");
        node.put(START, if at == 0 { "one" } else { "other" }, &[2; 900]).expect("it fits");
        node
    });
    let mut now = START;
    let mut buffer = [0; LONGEST];
    while now < START + Duration::from_secs(3) {
        now = pair.iter().filter_map(Node::poll_timeout).min().unwrap_or(now).max(now);
        for (from, to) in [(0, 1), (1, 0)] {
            pair[from].handle(now, Input::Tick).expect("time is no datagram");
            while let Some(transmit) = pair[from].poll_transmit(&mut buffer) {
                let input = Input::Datagram { from: &(from as u32), payload: &buffer[..transmit.len] };
                let _ = pair[to].handle(now, input);
            }
        }
    }
    let [node, other] = pair;
    assert!(node.live_members() == 2 && node.get("other").is_some() && other.get("one").is_some());
    (node, other, now)
}

fn feed(mut node: Node<u32>, peers: &mut [Peer; 16], mut now: Instant, mut bytes: &[u8]) {
    let mut buffer = [0; LONGEST];
    drain(&mut node, peers);
    while let [kind, length, rest @ ..] = bytes {
        let (step, rest) = rest.split_at(rest.len().min(8 * usize::from(*length)));
        bytes = rest;
        let name = core::str::from_utf8(&step[..step.len().min(8)]).unwrap_or("name");
        let address = kind >> 4;
        let mut longest = usize::MAX;
        match kind & 15 {
            0 => {
                now += Duration::from_millis(step.iter().map(|byte| u64::from(*byte)).sum());
                node.handle(now, Input::Tick).expect("time is no datagram");
            }
            1 if *length == 0 => {
                node.handle(now, Input::Unreachable { to: &address.into() }).expect("a hint is no datagram");
            }
            1 => {
                let (to, within) = (NodeId::new(u64::from(address) + 1), Duration::from_secs((*length).into()));
                drop(node.send_acknowledged(now, to, step, within));
            }
            2 => drop(node.put(now, name, step)),
            3 => drop(node.put_own(now, name, step)),
            4 => drop(node.delete(now, name)),
            5 if *length & 1 == 0 => drop(node.broadcast(now, step)),
            5 => drop(node.query(now, step, &Filter::default(), Duration::from_secs((*length).into()))),
            6 => {
                now += Duration::from_secs(3_600 * u64::from(*length));
                node.handle(now, Input::Tick).expect("time is no datagram");
            }
            7 if *length == 7 => node.leave(now),
            7 => node.join(now, 1..8),
            8 => longest = hear(&mut node, now, address, step, false),
            _ => {
                let peer = &mut peers[usize::from(address)];
                let said = peer.says(&node, now, *kind, step, &mut buffer);
                longest = hear(&mut node, now, address, &buffer[..said.length], said.is_strange);
            }
        }
        let sent = drain(&mut node, peers);
        assert!(sent <= longest, "{sent} bytes for at most {longest}");
        while node.poll_event().is_some() {}
        assert!(node.has_left() || node.poll_timeout().is_some(), "no state without a deadline");
        assert!(node.members().count() <= 64 && node.hot_rumors() <= 4_096);
    }
}

/// Hands over a datagram. One that is refused changes nothing; nor does a stranger's. Returns the most bytes that may be sent.
fn hear(node: &mut Node<u32>, now: Instant, address: u8, payload: &[u8], is_strange: bool) -> usize {
    let seen = |node: &Node<u32>| (node.reconciled(now), node.members().count(), node.hot_rumors());
    let before = seen(node);
    let heard = node.handle(now, Input::Datagram { from: &address.into(), payload });
    if heard.is_ok() && !is_strange {
        return usize::MAX;
    }
    assert!(seen(node) == before, "{heard:?} has changed something");
    if heard.is_ok() { payload.len() } else { 0 }
}

/// Takes out what the node has to send. Returns the number of bytes.
fn drain(node: &mut Node<u32>, peers: &mut [Peer; 16]) -> usize {
    let (mut buffer, mut sent) = ([0; LONGEST], 0);
    while let Some(transmit) = node.poll_transmit(&mut buffer) {
        assert!(transmit.len <= LONGEST);
        sent += transmit.len;
        if let Some(peer) = peers.get_mut(transmit.to as usize) {
            peer.hears(&buffer[..transmit.len]);
        }
    }
    sent
}

#[cfg(test)]
mod tests;
