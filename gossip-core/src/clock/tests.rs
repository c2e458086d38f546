use std::vec;
use std::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::*;

const BOUND: Duration = Duration::from_secs(10);
const START: Instant = Instant::from_secs(1_000_000);
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// Nodes whose wall clocks are off by a function of the node and of the second, each of which hears two others a second.
struct World<F> {
    nodes: Vec<Clocks>,
    offset: F,
    told: Vec<u32>,
    changes: Vec<u32>,
}

impl<F: Fn(usize, u64) -> i64> World<F> {
    fn new(nodes: usize, offset: F) -> Self {
        let clocks = (0..nodes).map(|_| Clocks::new(BOUND)).collect();
        Self { nodes: clocks, offset, told: vec![0; nodes], changes: vec![0; nodes] }
    }

    fn run(&mut self, seconds: u64) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let members = self.nodes.len();
        for second in 0..seconds {
            let now = START + Duration::from_secs(second);
            for own in 0..members {
                let before = self.nodes[own].agreed(now);
                let wall = at(now, (self.offset)(own, second));
                let told = self.nodes[own].set_wall(now, wall, members);
                self.told[own] += u32::from(told.is_some());
                for _ in 0..2 {
                    let peer = (own + rng.random_range(1..members)) % members;
                    let jitter = rng.random_range(-SECOND / 5..=SECOND / 5);
                    let reading = (NodeId::new(peer as u64), at(now, (self.offset)(peer, second) + jitter));
                    let told = self.nodes[own].note_reading(now, reading, Duration::ZERO, |_| true, members);
                    self.told[own] += u32::from(told.is_some());
                }
                let moved = self.nodes[own].agreed(now).abs_diff(before) > BOUND / 2;
                // The first reading of the own clock is no change.
                self.changes[own] += u32::from(moved && second > 0);
            }
        }
    }

    /// Distance of the agreed times from the true time in the end, in minutes.
    fn agreed(&self, seconds: u64) -> Vec<i64> {
        let now = START + Duration::from_secs(seconds);
        let minutes = |clocks: &Clocks| offset(now, clocks.agreed(now)).div_euclid(30 * SECOND).div_euclid(2);
        self.nodes.iter().map(minutes).collect()
    }
}

#[test]
fn agreed_time_is_calm_where_half_the_clocks_are_an_hour_ahead() {
    for nodes in [3, 4, 5, 7, 10, 50, 200] {
        for share in [4, 5] {
            let wrong = nodes * share / 10;
            // One at the bound, and one that gains or loses two percent.
            for (sign, others) in [(1, false), (1, true), (-1, true)] {
                if nodes > 50 && (!others || share < 5) {
                    continue;
                }
                let offset = move |node, second| match nodes - node {
                    1 if others => sign * SECOND / 50 * second as i64,
                    2 if others && nodes > 3 => sign * 10 * SECOND,
                    _ if node < wrong => HOUR,
                    _ => 0,
                };
                let mut world = World::new(nodes, offset);
                world.run(3_600);
                let most = world.changes.iter().max().unwrap();
                assert!(*most <= 2, "{most} changes, {nodes} nodes, {wrong} wrong, others: {others}");
            }
        }
    }
}

#[test]
fn a_minority_of_wrong_clocks_follows_the_others_and_says_so_once() {
    for nodes in [3, 5, 10, 50] {
        let wrong = (nodes / 5).max(1);
        for by in [HOUR, -HOUR, 15 * SECOND, -15 * SECOND, 8 * 24 * HOUR] {
            let mut world = World::new(nodes, |node, _| if node < wrong { by } else { 0 });
            world.run(120);
            for (node, told) in world.told.iter().enumerate() {
                assert_eq!(*told, u32::from(node < wrong), "{nodes} nodes, {by} us, node {node}");
            }
            assert!(world.agreed(120).iter().all(|minutes| minutes.abs() <= 1), "{:?}", world.agreed(120));
        }
    }
}

#[test]
fn a_clock_at_the_bound_and_one_that_gains_two_percent_move_no_other() {
    let mut world = World::new(8, |node, _| if node == 0 { 10 * SECOND } else { 0 });
    world.run(3_600);
    assert!(world.changes.iter().all(|changes| *changes <= 2), "{:?}", world.changes);
    let mut world = World::new(8, |node, second| if node == 0 { SECOND / 50 * second as i64 } else { 0 });
    world.run(3_600);
    assert!(world.changes[1..].iter().all(|changes| *changes == 0), "{:?}", world.changes);
    assert!(world.told[1..].iter().all(|told| *told == 0) && world.told[0] == 1, "{:?}", world.told);
    assert!(world.agreed(3_600).iter().all(|minutes| minutes.abs() <= 1), "{:?}", world.agreed(3_600));
}

#[test]
fn of_two_each_keeps_its_own_clock_and_both_say_that_one_is_wrong() {
    for by in [HOUR, -HOUR] {
        let mut world = World::new(2, |node, _| if node == 0 { by } else { 0 });
        world.run(60);
        assert_eq!((world.changes, world.told), (vec![0, 0], vec![1, 1]));
    }
}

#[test]
fn a_step_of_the_own_clock_shows_at_once_in_all_differences() {
    let step = |second| if (30..32).contains(&second) { HOUR } else { 0 };
    let mut world = World::new(5, |node, second| if node == 0 { step(second) } else { 0 });
    world.run(60);
    assert_eq!(world.told, [1, 0, 0, 0, 0]);
    // Not by a reading: by the step itself.
    let (clocks, now) = (&mut world.nodes[0], START + Duration::from_secs(60));
    let wrong = clocks.set_wall(now, at(now, HOUR), 5).unwrap();
    assert_eq!(wrong.own, at(now, HOUR));
    assert!(wrong.peers.abs_diff(now) < BOUND);
    assert!(clocks.agreed(now).abs_diff(now) < BOUND);
}

#[test]
fn what_waited_for_long_is_no_reading() {
    let mut clocks = Clocks::new(BOUND);
    let late = (NodeId::new(1), START - Duration::from_secs(60));
    assert_eq!(clocks.note_reading(START, late, Duration::from_secs(6), |_| true, 2), None);
    assert_eq!(clocks.behind(START, late.0, late.1), None);
    assert!(clocks.note_reading(START, late, Duration::ZERO, |_| true, 2).is_some());
    assert_eq!(clocks.behind(START, late.0, late.1), Some(Duration::ZERO));
    assert_eq!(clocks.behind(START + BOUND, late.0, late.1), Some(BOUND));
}

#[test]
fn a_value_from_the_far_future_carries_only_its_own_key_there() {
    let (mut clocks, node) = (Clocks::new(BOUND), NodeId::new(1));
    let far = Stamp { time: START + Duration::from_secs(1 << 30), counter: u32::MAX, node: NodeId::new(2) };
    clocks.observe(START, far.time, far.counter);
    let over = clocks.stamp(START, node, Some(far));
    assert!((over.time, over.counter) > (far.time, far.counter) && over.counter == 0);
    clocks.observe(START, over.time, over.counter);
    assert_eq!(clocks.stamp(START, node, None), Stamp { time: START, counter: 0, node });
    // What is near is followed, so that a later write anywhere is larger.
    let near = START + BOUND;
    clocks.observe(START, near, 7);
    assert_eq!(clocks.stamp(START, node, None), Stamp { time: near, counter: 8, node });
    // But not when the clock has been set back since.
    clocks.set_wall(START, START - Duration::from_secs(3_600), 1);
    assert_eq!(clocks.stamp(START, node, None).time, START - Duration::from_secs(3_600));
}

/// Removes steps of a schedule as long as it still shows something, first halves of it and then single ones.
pub(crate) fn smallest<T: Clone>(mut steps: Vec<T>, shows: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut width = steps.len().div_ceil(2);
    while width > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..steps.len().min(from + width));
            if shows(&fewer) {
                (steps, from) = (fewer, 0);
            } else {
                from += width;
            }
        }
        width /= 2;
    }
    steps
}

/// A fault that random steps of wall clocks have to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// A member's reading is the time that it has agreed on: it votes for what it was told.
    Hearsay,
    /// Differences are kept against the own wall clock.
    OwnWall,
}

/// From a second on, the wall clock of a node is off by so many seconds.
type Set = (u64, usize, i64);

fn random_sets(seed: u64) -> (usize, Vec<Set>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let nodes = rng.random_range(3..=7);
    let mut second = 70;
    let set = |_| {
        second += rng.random_range(0..90);
        let by = [0, 0, 15, -15, 3_600, -3_600, 8 * 86_400][rng.random_range(0..7)];
        (second, rng.random_range(0..nodes), by)
    };
    let sets = (0..12).map(set).collect();
    (nodes, sets)
}

/// Returns false if a node does not go by the clocks of at least two thirds of all, a minute after the last of the others was set. Its own may
/// have been set just now.
fn goes_by_most(nodes: usize, sets: &[Set], planted: Planted) -> bool {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut clocks: Vec<Clocks> = (0..nodes).map(|_| Clocks::new(BOUND)).collect();
    let (mut walls, mut set_at) = (vec![0; nodes], vec![0; nodes]);
    let end = sets.iter().map(|(second, ..)| second + 130).max().unwrap_or(0);
    for second in 0..end {
        let now = START + Duration::from_secs(second);
        for (_, node, by) in sets.iter().filter(|(at, ..)| *at == second) {
            (walls[*node], set_at[*node]) = (by * SECOND, second);
        }
        for own in 0..nodes {
            if planted == Planted::OwnWall {
                let step = walls[own] - clocks[own].wall;
                clocks[own].readings.iter_mut().for_each(|reading| reading.offset += step);
            }
            clocks[own].set_wall(now, at(now, walls[own]), nodes);
            let others = (0..nodes).filter(|other| *other != own);
            let quiet = others.map(|other| set_at[other]).max().is_some_and(|set| set + 60 <= second);
            let with = |wall: i64| walls.iter().filter(|other| other.abs_diff(wall) <= micros_of(BOUND / 4)).count();
            let most = walls.iter().copied().find(|wall| 3 * with(*wall) >= 2 * nodes);
            let agreed = offset(now, clocks[own].agreed(now));
            if quiet && most.is_some_and(|most| most.abs_diff(agreed) > micros_of(BOUND * 5 / 4)) {
                return false;
            }
            for _ in 0..2 {
                let peer = (own + rng.random_range(1..nodes)) % nodes;
                let time = if planted == Planted::Hearsay { clocks[peer].agreed(now) } else { at(now, walls[peer]) };
                clocks[own].note_reading(now, (NodeId::new(peer as u64), time), Duration::ZERO, |_| true, nodes);
            }
        }
    }
    true
}

#[test]
fn whatever_clocks_are_set_to_each_node_goes_by_most_of_them() {
    for seed in 0..100 {
        let (nodes, sets) = random_sets(seed);
        assert!(goes_by_most(nodes, &sets, Planted::Nothing), "seed {seed}: {nodes} nodes, {sets:?}");
    }
}

#[test]
fn votes_by_hearsay_and_differences_to_the_own_wall_clock_are_found_and_few_steps_show_them() {
    for (planted, most) in [(Planted::Hearsay, 5), (Planted::OwnWall, 1)] {
        let shows =
            |nodes, sets: &[Set]| !goes_by_most(nodes, sets, planted) && goes_by_most(nodes, sets, Planted::Nothing);
        let found = (0..300).map(random_sets).find(|(nodes, sets)| shows(*nodes, sets));
        let (nodes, sets) = found.unwrap_or_else(|| panic!("{planted:?} is not found"));
        let sets = smallest(sets, |sets| shows(nodes, sets));
        std::println!("{planted:?}: {nodes} nodes, {sets:?}");
        assert!(sets.len() <= most, "{planted:?}: {sets:?}");
    }
}
