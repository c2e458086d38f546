//! A node that receives garbage from strangers stays a member.

mod common;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::gossip::gossip_core::{Config, Event, Status};
use common::gossip::{Gossip, bind};
use common::{millis, run, runtime};
use futures_util::FutureExt as _;

const NODES: usize = 5;
const PER_SECOND: u32 = 100_000;
const SECONDS: u64 = 5;

/// Sends at the given rate, or as fast as possible, until stopped. Returns the number of datagrams sent.
fn pour(onto: std::net::SocketAddr, stop: &AtomicBool) -> u32 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (start, mut sent) = (Instant::now(), 0_u32);
    while !stop.load(Ordering::Relaxed) {
        if f64::from(sent) > start.elapsed().as_secs_f64() * f64::from(PER_SECOND) {
            thread::sleep(Duration::from_micros(500));
            continue;
        }
        let garbage = [sent as u8; 200];
        // A full buffer loses it, which is the flood's affair.
        let _ = socket.send_to(&garbage[..(sent % 200) as usize], onto);
        sent += 1;
    }
    sent
}

#[test]
fn a_flood_of_garbage_neither_drowns_a_node_nor_its_members() {
    run(|| async {
        let mut nodes: Vec<Gossip> = Vec::new();
        for _ in 0..NODES {
            let seed = nodes.first().map(Gossip::address);
            nodes.push(bind("127.0.0.1:0").config(Config::lan()).join(seed).spawn().await.unwrap());
        }
        for node in &nodes {
            node.wait_members(NODES).await.unwrap();
        }
        let mut events: Vec<_> = nodes.iter().map(Gossip::events).collect();

        let probes = |nodes: &[Gossip]| {
            let counted = nodes.iter().map(|node| node.stats().node);
            counted.fold((0, 0, 0), |sum, stats| {
                (sum.0 + stats.probes, sum.1 + stats.probes_failed, sum.2 + stats.suspicions)
            })
        };
        let before = probes(&nodes);
        let (victim, stop) = (nodes[NODES - 1].clone(), Arc::new(AtomicBool::new(false)));
        let (onto, stopped) = (victim.address(), Arc::clone(&stop));
        let flood = Instant::now();
        let attacker = thread::spawn(move || pour(onto, &stopped));
        runtime::sleep(Duration::from_secs(SECONDS)).await;
        let began = Instant::now();
        nodes[0].put("meanwhile", b"value").unwrap();
        victim.wait_for("meanwhile").await.unwrap();
        let there = began.elapsed();
        victim.put("and back", b"value").unwrap();
        nodes[0].wait_for("and back").await.unwrap();
        let back = began.elapsed() - there;
        stop.store(true, Ordering::Relaxed);
        let (sent, lasted) = (attacker.join().unwrap(), flood.elapsed());
        runtime::sleep(millis(100)).await;

        let stats = victim.stats();
        let refused = stats.node.datagrams_malformed + stats.node.datagrams_foreign;
        let after = probes(&nodes);
        let (probed, failed, suspicions) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        eprintln!("{sent} datagrams in {lasted:?}, {refused} refused; a value took {there:?} there and {back:?} back");
        eprintln!("{failed} of {probed} probes in the cluster failed, {suspicions} suspicions");
        assert!(refused > 10_000, "it was no flood");
        for events in &mut events {
            while let Some(Some(event)) = events.next().now_or_never() {
                if let Event::Member { member, .. } = event.unwrap() {
                    assert_ne!(member.status, Status::Dead, "{member:?}");
                }
            }
        }
        for node in &nodes {
            node.wait_members(NODES).await.unwrap();
        }
    });
}
