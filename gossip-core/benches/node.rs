//! Time that a node spends on a ping, on a datagram of updates, on a tick, on sending and writing, on anti-entropy.
//!
//! If the number of members should make no difference, it is in the name: compare the lines.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::Scene;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gossip_core::TrafficClass;

/// Runs `measured` repeatedly, each time on the result of `prepare`. Returns the time of `measured` only.
#[expect(clippy::disallowed_types, reason = "processor time is what is measured; nothing else depends on it")]
fn timed<T>(
    iterations: u64,
    scene: &mut Scene,
    mut prepare: impl FnMut(&mut Scene) -> T,
    mut measured: impl FnMut(&mut Scene, T),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        let prepared = prepare(scene);
        let start = std::time::Instant::now();
        measured(scene, prepared);
        total += start.elapsed();
        scene.answer();
    }
    total
}

/// A ping is read and answered.
fn ping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ping");
    for members in [10, 10_000] {
        let mut scene = Scene::new(members, 0);
        let ping = scene.ping();
        group.bench_function(format!("n={members}"), |bencher| {
            bencher.iter(|| {
                scene.hear(&ping);
                scene.drain()
            });
        });
    }
}

/// A datagram of updates is taken in, half of them known.
fn news(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("updates");
    for members in [10, 100, 1_000, 10_000] {
        for updates in [1, 10, 100] {
            let mut scene = Scene::new(members, updates);
            for _ in 0..8 {
                let datagram = scene.news(updates);
                scene.hear(&datagram);
            }
            group.throughput(Throughput::Elements(updates as u64));
            group.bench_function(format!("{updates}, n={members}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    timed(iterations, &mut scene, |scene| scene.news(updates), |scene, said| scene.hear(&said))
                });
            });
        }
    }
}

/// A datagram of a hundred updates that are known is read.
fn decode(criterion: &mut Criterion) {
    let mut scene = Scene::new(10, 100);
    scene.write(100);
    let datagram = scene.summary();
    scene.hear(&datagram);
    scene.drain();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(datagram.1.len() as u64));
    group.bench_function("100 known updates", |bencher| {
        bencher.iter(|| {
            scene.hear(&datagram);
            scene.drain()
        });
    });
}

/// A tenth of a second passes, and the node does what is due; nothing is hot.
fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick");
    for members in [10, 10_000] {
        let mut scene = Scene::new(members, 0);
        group.bench_function(format!("n={members}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let wait = |scene: &mut Scene| scene.now += Duration::from_millis(100);
                timed(iterations, &mut scene, wait, |scene, ()| scene.tick())
            });
        });
    }
}

/// A datagram is filled with hot rumors and written.
fn transmit(criterion: &mut Criterion) {
    let mut scene = Scene::new(100, 0);
    let mut name = 0_u64;
    // The round of what was written comes after the relay delay, and has four hundred rumors for each partner.
    let prepare = |scene: &mut Scene| {
        for _ in 0..400 {
            name = (name + 1) % 4_096;
            scene.node.put(scene.now, &format!("name-{name}"), b"value").expect("there is room");
        }
        scene.now += Duration::from_millis(100);
        scene.tick();
    };
    let mut prepare = prepare;
    criterion.bench_function("poll_transmit, full", |bencher| {
        bencher.iter_custom(|iterations| {
            timed(iterations, &mut scene, &mut prepare, |scene, ()| {
                black_box(scene.node.poll_transmit(&mut scene.buffer));
            })
        });
    });
}

fn put(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put");
    for members in [10, 10_000] {
        let mut scene = Scene::new(members, 0);
        let names: Vec<String> = (0..4_096).map(|number| format!("name-{number}")).collect();
        let mut next = names.iter().cycle();
        group.bench_function(format!("n={members}"), |bencher| {
            bencher.iter(|| {
                let name = next.next().expect("they go round");
                scene.node.put(scene.now, name, b"value").expect("there is room")
            });
        });
    }
}

/// A sketch is subtracted from the node's own, decoded and answered. Both replicas hold 10,000 items.
#[expect(clippy::disallowed_types, reason = "processor time is what is measured; nothing else depends on it")]
fn sketch(criterion: &mut Criterion) {
    // The same sketch is not answered for ever, nor often: after ten seconds everything is made anew.
    const ANSWERS: u64 = 100;
    let mut group = criterion.benchmark_group("sketch");
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(100));
    for difference in [1, 10] {
        let mut buffer = vec![0; 65_536];
        let mut answer = |iterations| {
            let (mut node, mut now, sketch) = common::sketched(10_000, difference);
            let start = std::time::Instant::now();
            for _ in 0..iterations {
                now += Duration::from_millis(100);
                common::hear(&mut node, now, 1, &sketch);
                let mut answered = false;
                while let Some(transmit) = node.poll_transmit(&mut buffer) {
                    answered |= transmit.class == TrafficClass::AntiEntropy;
                }
                assert!(answered, "the peer is told what differs");
            }
            start.elapsed()
        };
        group.bench_function(format!("d={difference}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let rounds = (0..iterations).step_by(ANSWERS as usize);
                rounds.map(|done| answer(ANSWERS.min(iterations - done))).sum()
            });
        });
    }
}

criterion_group!(benches, ping, news, decode, tick, transmit, put, sketch);
criterion_main!(benches);
