//! Traffic of nodes that have nothing to say.

use super::*;
use crate::error::DatagramError;
use crate::wire::{Envelope, Header, Message, Swim};

#[test]
fn at_rest_a_node_sends_at_most_46_bytes_and_two_datagrams_a_second_whatever_their_number() {
    for nodes in [10, 60] {
        let mut net = Net::joined(nodes, &Config::lan());
        net.run(60 * SECOND);
        let sent = |net: &Net| {
            let stats = net.nodes.iter().map(Node::stats);
            stats.fold((0, 0), |sum, stats| (sum.0 + stats.bytes_sent, sum.1 + stats.datagrams_sent))
        };
        let before = sent(&net);
        net.run(200 * SECOND);
        let after = sent(&net);
        let each = f64::from(nodes) * 200.0;
        let (bytes, datagrams) = ((after.0 - before.0) as f64 / each, (after.1 - before.1) as f64 / each);
        std::println!("{nodes} nodes: {bytes:.1} bytes, {datagrams:.3} datagrams");
        assert!(bytes <= 46.0 && datagrams <= 2.05, "{nodes} nodes: {bytes:.1} bytes, {datagrams:.3} datagrams");
        let exchanges: u64 = net.nodes.iter().map(|node| node.stats().exchanges).sum();
        assert!(exchanges >= u64::from(nodes) * 260 / 8, "and compares itself all the while: {exchanges} exchanges");
    }
}

/// It has its own record to tell, and an entry, and nobody to tell them to.
#[test]
fn a_node_without_peers_wakes_for_its_probes_and_not_for_rounds_of_rumors() {
    let mut net = Net::new(2, &Config::lan());
    net.nodes[0].join(START, []);
    net.nodes[0].put(START, "a", b"1").unwrap();
    let (mut ticks, end) = (0, START + 60 * SECOND);
    while let Some(due) = net.nodes[0].poll_timeout().filter(|due| *due <= end) {
        net.nodes[0].handle(due, Input::Tick).unwrap();
        net.now = net.now.max(due);
        ticks += 1;
    }
    assert!(ticks <= 2 * 60, "{ticks} in a minute");
    // Rumors go on when there is somebody.
    assert_eq!(net.nodes[0].stats().datagrams_sent, 0);
    net.nodes[1].join(net.now, [0]);
    net.run(SECOND);
    assert!(net.nodes[1].get("a").is_some());
}

/// A bare ack, as `sender` would send it.
fn ack(sender: u64, seq: u32) -> Vec<u8> {
    let mut bytes = [0; 64];
    let header = Header::new(NodeId::new(sender), START.as_micros(), Standing::Alive, START);
    let mut envelope = Envelope::new("", 1_200);
    let start = envelope.body().start;
    let len = Message::<u32>::Swim(Swim::Ack { seq }).encode(&mut bytes[start..]).unwrap();
    let len = envelope.seal(&header, &mut bytes, len, None);
    bytes[..len].to_vec()
}

#[test]
fn a_bare_ack_counts_for_the_member_that_was_pinged_and_for_nobody_else() {
    let mut net = Net::joined(2, &Config::lan());
    net.lose = |_, _| true;
    let pings = |node: &mut Node<u32>| -> Vec<u32> {
        let mut buffer = [0; 1_200];
        let mut seqs = Vec::new();
        while let Some(transmit) = node.poll_transmit(&mut buffer) {
            let body = node.envelope.overheard(&buffer[..transmit.len]).unwrap();
            let mut messages: Vec<Message<u32>> = Vec::new();
            crate::wire::read(body, &mut messages, crate::update::Format::FIRST).unwrap();
            let pings = messages.iter().filter_map(|said| match said {
                Message::Swim(Swim::Ping { seq }) => Some(*seq),
                _ => None,
            });
            seqs.extend(pings);
        }
        seqs
    };
    let node = &mut net.nodes[0];
    pings(node);
    let (mut now, mut pinged) = (net.now, Vec::new());
    while pinged.is_empty() {
        now = node.poll_timeout().unwrap().max(now);
        tick(node, now);
        pinged = pings(node);
    }
    let seq = pinged[0];
    let mut hear = |payload: &[u8]| node.handle(now, Input::Datagram { from: &1, payload });
    assert_eq!(hear(&ack(3, seq)), Err(DatagramError::Unasked), "another node at its address is not it");
    assert_eq!(hear(&ack(2, seq ^ 0x1000)), Err(DatagramError::Unasked), "nobody has asked for that");
    assert_eq!(hear(&ack(2, seq)), Ok(()));
    assert_eq!(hear(&ack(2, seq)), Ok(()), "doubled on the way");
    assert_eq!(node.stats().datagrams_unasked, 2);
    assert_eq!(node.stats().probes_failed, 0);
}
