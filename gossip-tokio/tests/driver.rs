//! The driver's loop over transports that misbehave.

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::gossip::gossip_core::{Config, NodeId, Status};
use common::gossip::{Builder, DriverStats, Gossip, Memory, Network, Over, TaskError, Transport, over};
use common::{millis, node, pair, run, run_for, runtime, sees};

/// A transport whose network can be disconnected.
struct Fragile {
    inner: Memory,
    error: io::ErrorKind,
    broken: Arc<AtomicBool>,
}

impl Fragile {
    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) { Err(self.error.into()) } else { Ok(()) }
    }
}

impl Transport for Fragile {
    type Address = u64;

    fn send(&self, to: &u64, payload: &[u8]) -> io::Result<()> {
        self.check()?;
        self.inner.send(to, payload)
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        self.check()?;
        let received = self.inner.recv(buffer).await?;
        self.check().map(|()| received)
    }
}

fn builder<T: Transport<Address = u64>>(transport: T) -> Builder<Over<T>> {
    over(transport, 2).id(NodeId::new(2)).config(Config::local()).join([1])
}

/// A node at address 2, and the switch that disconnects its network.
async fn fragile(network: &Network, error: io::ErrorKind) -> (Gossip<u64>, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let transport = Fragile { inner: network.attach(2).unwrap(), error, broken: Arc::clone(&broken) };
    (builder(transport).spawn().await.unwrap(), broken)
}

/// Counters of a driver over some time.
async fn during(node: &Gossip<u64>, time: Duration) -> DriverStats {
    let before = node.stats().driver;
    runtime::sleep(time).await;
    let after = node.stats().driver;
    let mut counted = after;
    counted.turns -= before.turns;
    counted.timers_set -= before.timers_set;
    counted.receives_failed -= before.receives_failed;
    counted
}

#[test]
fn a_network_that_fails_on_every_call_and_comes_back_costs_nothing_but_time() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let (second, broken) = fragile(&network, io::ErrorKind::NetworkDown).await;
        second.wait_members(2).await.unwrap();
        first.wait_members(2).await.unwrap();

        broken.store(true, Ordering::Relaxed);
        // The call of `recv` that is under way ends when something arrives.
        sees(&first, 2, Status::Dead).await;
        let counted = during(&second, millis(1_000)).await;
        assert!((5..=30).contains(&counted.receives_failed), "{counted:?}: tried again, ever less often");
        assert!(counted.turns < 500, "{counted:?}: no spinning");
        assert!(counted.sends_failed > 0 && counted.sends_dropped == 0, "{counted:?}");

        broken.store(false, Ordering::Relaxed);
        sees(&first, 2, Status::Alive).await;
        sees(&second, 1, Status::Alive).await;
        first.put("after", b"value").unwrap();
        second.wait_for("after").await.unwrap();
    });
}

/// Disconnects the network for some time: the node becomes a member again by itself.
async fn survives_an_outage_of(time: Duration) {
    let network = Network::default();
    let (first, third) = (node(&network, 1).await, node(&network, 3).await);
    let (second, broken) = fragile(&network, io::ErrorKind::NetworkUnreachable).await;
    for node in [&first, &second, &third] {
        node.wait_members(3).await.unwrap();
    }
    broken.store(true, Ordering::Relaxed);
    runtime::sleep(time).await;
    sees(&first, 2, Status::Dead).await;
    sees(&third, 2, Status::Dead).await;
    assert!(second.is_isolated() && second.stats().driver.receives_failed > 0);
    second.put("during", b"value").unwrap();
    broken.store(false, Ordering::Relaxed);
    for (node, others) in [(&first, [2, 3]), (&second, [1, 3]), (&third, [1, 2])] {
        for other in others {
            sees(node, other, Status::Alive).await;
        }
        node.wait_for("during").await.unwrap();
    }
    second.wait_until(|node| !node.is_isolated()).await.unwrap();
}

#[test]
fn a_node_whose_network_was_gone_for_long_is_a_member_again_by_itself() {
    // Sixty protocol periods of the local preset: all others are dead to it, and it to them.
    run(|| survives_an_outage_of(millis(12_000)));
}

#[test]
#[ignore = "takes more than a minute; twelve seconds are tested always"]
fn a_node_whose_network_was_gone_for_a_minute_is_a_member_again_by_itself() {
    run_for(millis(150_000), || survives_an_outage_of(millis(60_000)));
}

#[test]
fn a_transport_that_would_block_is_a_lossy_one() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let (second, blocked) = fragile(&network, io::ErrorKind::WouldBlock).await;
        second.wait_members(2).await.unwrap();
        blocked.store(true, Ordering::Relaxed);
        runtime::sleep(millis(500)).await;
        let counted = second.stats().driver;
        assert!(counted.sends_dropped > 0 && counted.sends_failed == 0, "{counted:?}");
        blocked.store(false, Ordering::Relaxed);
        second.put("after", b"value").unwrap();
        first.wait_for("after").await.unwrap();
    });
}

#[test]
fn an_idle_node_sleeps() {
    run(|| async {
        let (first, _second) = pair(&Network::default()).await;
        runtime::sleep(millis(1_000)).await;
        let counted = during(&first, millis(2_000)).await;
        // Ten periods of 200 ms: probes, acks and a summary now and then.
        assert!((5..300).contains(&counted.turns), "{counted:?}");
        assert!((5..150).contains(&counted.timers_set), "{counted:?}");
    });
}

#[test]
fn garbage_neither_sets_timers_nor_keeps_a_node_from_its_work() {
    run(|| async {
        let network = Network::default();
        let (first, second) = pair(&network).await;
        let attacker = network.attach(3).unwrap();
        let before = second.stats();
        for round in 0..400 {
            for length in 0..200 {
                attacker.send(&2, &[length; 200][..usize::from(length)]).unwrap();
            }
            if round % 40 == 0 {
                first.put(format!("key/{round}"), b"value").unwrap();
            }
            runtime::sleep(millis(1)).await;
        }
        second.wait_until(|node| node.entries("key/").len() == 10).await.unwrap();
        let after = second.stats();
        let refused = after.node.datagrams_malformed + after.node.datagrams_foreign
            - before.node.datagrams_malformed
            - before.node.datagrams_foreign;
        assert!(refused > 40_000, "{refused}");
        let timers = after.driver.timers_set - before.driver.timers_set;
        // What it took in at once it flushed at once, 64 or fewer at a time: so more often than this.
        assert!(timers < 400, "{timers} timers for {refused} datagrams that changed nothing");
        assert_eq!(second.members().iter().filter(|member| member.status == Status::Alive).count(), 2);
        assert_eq!(first.members().iter().filter(|member| member.status == Status::Alive).count(), 2);
    });
}

/// A transport that always has something to receive and never waits.
struct Endless(Memory, AtomicU64);

impl Transport for Endless {
    type Address = u64;

    fn send(&self, to: &u64, payload: &[u8]) -> io::Result<()> {
        self.0.send(to, payload)
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        // Now and then what is really there, if there is something.
        if self.1.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
            && let Some(received) = futures_util::FutureExt::now_or_never(self.0.recv(buffer))
        {
            return received;
        }
        Ok((buffer.len(), 9))
    }
}

#[test]
fn a_transport_that_is_always_ready_starves_neither_the_node_nor_other_tasks() {
    run(|| async {
        let network = Network::default();
        let first = node(&network, 1).await;
        let second = builder(Endless(network.attach(2).unwrap(), AtomicU64::new(0))).spawn().await.unwrap();
        // That these ever end shows that others get their turn: the tests of tokio run on a single thread.
        second.wait_members(2).await.unwrap();
        second.put("from/second", b"value").unwrap();
        first.wait_for("from/second").await.unwrap();
        first.put("from/first", b"value").unwrap();
        second.wait_for("from/first").await.unwrap();
        assert!(second.stats().driver.timers_set > 0);
        second.stop();
        second.stopped().await.unwrap();
    });
}

#[test]
fn an_application_that_writes_without_pause_does_not_keep_its_node_from_receiving() {
    run(|| async {
        let (first, second) = pair(&Network::default()).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, stopped) = (second.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                writer.put("busy", b"value").unwrap();
            }
        });
        first.put("heard", b"value").unwrap();
        let heard = second.wait_for("heard").await;
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        heard.unwrap();
    });
}

/// A transport that breaks its contract in the worst way.
struct Panicking;

impl Transport for Panicking {
    type Address = u64;

    fn send(&self, _: &u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    async fn recv(&self, _: &mut [u8]) -> io::Result<(usize, u64)> {
        panic!("this panic is part of the test")
    }
}

#[test]
fn a_task_that_panics_says_so_to_those_who_wait() {
    run(|| async {
        let node = builder(Panicking).spawn().await.unwrap();
        assert_eq!(node.stopped().await, Err(TaskError::Panicked));
        assert!(node.wait_for("never").await.is_err());
        assert_eq!(node.id(), NodeId::new(2), "what it held can still be read");
    });
}
