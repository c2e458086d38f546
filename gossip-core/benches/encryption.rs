//! Cost of sealing: time that a node takes to send a datagram that is nearly full, and to receive one, sealed and
//! plain.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gossip_core::{Config, Input, Instant, Key, Keyring, Node, NodeId};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

const NOW: Instant = Instant::from_secs(1_700_000_000);

fn node(at: u32, sealed: bool) -> Node<u32> {
    let mut config = Config::lan();
    // One datagram for each value, and no other.
    config.mail.fanout = 1;
    let mut node = Node::new(NodeId::new(u64::from(at) + 1), at, config, at.into()).expect("a preset works");
    if sealed {
        node.set_keyring(Some(Keyring::new(Key::new([7; 32]), [at as u8; 16])));
    }
    node
}

/// Two nodes that know each other.
fn pair(sealed: bool) -> [Node<u32>; 2] {
    let mut nodes = [node(0, sealed), node(1, sealed)];
    let mut now = NOW;
    for node in &mut nodes {
        node.join(now, [0, 1]);
    }
    let mut buffer = [0; 1_200];
    for _ in 0..10_000 {
        for from in 0..2 {
            while let Some(transmit) = nodes[from].poll_transmit(&mut buffer) {
                let payload = &buffer[..transmit.len];
                let _ = nodes[1 - from].handle(now, Input::Datagram { from: &(from as u32), payload });
            }
            let _ = nodes[from].handle(now, Input::Tick);
        }
        now += Duration::from_millis(1);
    }
    assert!(nodes.iter().all(|node| node.live_members() == 2));
    nodes
}

fn datagrams(criterion: &mut Criterion) {
    for (name, sealed) in [("plain", false), ("sealed", true)] {
        let [mut one, mut other] = pair(sealed);
        let now = one.clock(NOW);
        let mut buffer = [0; 1_200];
        // Nearly the largest value that is sent whole, so that the datagram is nearly full.
        let value = [1; 1_000];
        let said = RefCell::new((&mut one, [0; 1_200]));
        let prepare = || {
            let (one, buffer) = &mut *said.borrow_mut();
            while one.poll_transmit(buffer).is_some() {}
            one.put(now, "name", &value).expect("it fits");
        };
        criterion.bench_function(&format!("say/{name}"), |bencher| {
            let say = |()| {
                let (one, buffer) = &mut *said.borrow_mut();
                one.poll_transmit(buffer)
            };
            bencher.iter_batched(prepare, say, BatchSize::PerIteration);
        });
        while one.poll_transmit(&mut buffer).is_some() {}
        one.put(now, "name", &value).expect("it fits");
        let transmit = one.poll_transmit(&mut buffer).expect("a value is mailed");
        assert!(transmit.len > 1_040, "{} bytes", transmit.len);
        let payload = buffer[..transmit.len].to_vec();
        criterion.bench_function(&format!("hear/{name}"), |bencher| {
            bencher.iter(|| {
                let input = Input::Datagram { from: &0, payload: black_box(&payload) };
                // Sealed it is refused from the second time on, but only after it was opened.
                let _ = other.handle(now, input);
            });
        });
    }
}

criterion_group!(benches, datagrams);
criterion_main!(benches);
