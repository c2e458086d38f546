extern crate std;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hint::black_box;
use std::println;

use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::*;

fn random_hashes(seed: u64) -> impl Iterator<Item = u64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    core::iter::from_fn(move || Some(rng.next_u64()))
}

/// Reference for [`Hashes`], computed the plain way.
#[derive(Default)]
struct Model(BTreeMap<u64, u32>);

impl Model {
    fn range(&self, range: Range) -> impl Iterator<Item = (u64, u32)> {
        self.0.iter().map(|(&hash, &value)| (hash, value)).filter(move |&(hash, _)| range.contains(hash))
    }

    fn sketch(&self, range: Range, cells: usize) -> Sketch {
        let mut sketch = Sketch::new(cells);
        self.range(range).for_each(|(hash, _)| sketch.add(hash));
        sketch
    }

    fn fingerprint(&self) -> u64 {
        self.0.keys().fold(0, |sum, &hash| sum.wrapping_add(mark(hash)))
    }

    #[track_caller]
    fn assert_same(&self, hashes: &Hashes<u32>, range: Range, cells: usize) {
        assert_eq!(hashes.count(range), self.range(range).count() as u64);
        assert!(hashes.iter_range(range).eq(self.range(range)));
        assert_eq!(hashes.sketch(range, cells), self.sketch(range, cells));
    }
}

/// Leaves cover the hash space exactly, and each is the sketch of its items.
#[track_caller]
fn assert_sound(hashes: &Hashes<u32>) {
    let leaves = hashes.leaves.len();
    assert!(hashes.len() < (leaves + 1) * LEAF_ITEMS && hashes.len() >= leaves * SPARSE_LEAF_ITEMS);
    assert!(hashes.recent.iter().all(|hash| *hash == 0 || hashes.items.contains_key(hash)));
    let mut ranges: Vec<_> = (0..leaves).map(|number| (hashes.leaf_range(number), number)).collect();
    ranges.sort_by_key(|(range, _)| range.first);
    let mut next = Some(0);
    for (range, number) in ranges {
        assert_eq!(Some(range.first), next);
        next = range.last.checked_add(1);
        let mut sketch = Sketch::new(CELLS);
        assert_eq!(hashes.add_items(range, &mut sketch), hashes.leaves[number].count);
        assert_eq!(sketch, hashes.leaves[number].sketch);
        for hash in [range.first, range.last] {
            assert_eq!(hashes.leaf_number(hash), Some(number));
        }
    }
    assert!(leaves == 0 || next.is_none());
}

#[derive(Clone, Debug)]
enum Step {
    /// Inserts so many random items.
    Insert(u16),
    /// Removes so many of the items, those with the smallest hashes, or random ones.
    Remove(u16, bool),
    /// Inserts items that are there already, or removes some that are not.
    Nothing(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_000_u16).prop_map(Step::Insert),
        2 => (0..4_000_u16, any::<bool>()).prop_map(|(count, low)| Step::Remove(count, low)),
        1 => any::<u8>().prop_map(Step::Nothing),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    // Often where leaves begin or end.
    let bound = || prop_oneof![any::<u64>(), (48..64_u32, any::<u64>()).prop_map(|(bits, n)| n >> bits << bits)];
    (bound(), bound(), any::<bool>()).prop_map(|(a, b, exclusive)| {
        let (first, last) = (a.min(b), a.max(b));
        Range::new(first, if exclusive { last.saturating_sub(1).max(first) } else { last }).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn says_what_the_plain_map_says(
        seed: u64,
        steps in prop::collection::vec(step(), 1..10),
        ranges in prop::collection::vec((range(), 0..100_usize), 1..6),
    ) {
        let mut hashes = Hashes::new();
        let mut model = Model::default();
        let mut random = random_hashes(seed);
        for step in steps {
            match step {
                Step::Insert(count) => for (hash, value) in random.by_ref().zip(0..u32::from(count)) {
                    prop_assert_eq!(hashes.insert(hash, value), model.0.insert(hash, value));
                },
                Step::Remove(count, low) => for _ in 0..count {
                    let from = if low { 0 } else { random.next().unwrap() };
                    let Some((&hash, _)) = model.0.range(from..).next() else { continue };
                    prop_assert_eq!(hashes.remove(hash), model.0.remove(&hash));
                },
                Step::Nothing(value) => for hash in random.by_ref().take(3) {
                    let known = model.0.range(hash..).next().map(|(&hash, _)| hash);
                    if let Some(known) = known {
                        prop_assert_eq!(hashes.insert(known, u32::from(value)), model.0.insert(known, u32::from(value)));
                        prop_assert_eq!(hashes.get(known), Some(u32::from(value)));
                        prop_assert!(hashes.contains(known));
                    }
                    prop_assert_eq!(hashes.remove(hash), None);
                    prop_assert_eq!(hashes.get(hash), None);
                    prop_assert!(!hashes.contains(hash));
                },
            }
            prop_assert_eq!(hashes.len(), model.0.len());
            prop_assert_eq!(hashes.fingerprint(), model.fingerprint());
        }
        assert_sound(&hashes);
        model.assert_same(&hashes, Range::ALL, 46);
        for (range, cells) in ranges {
            model.assert_same(&hashes, range, cells);
        }
    }

    #[test]
    fn parts_of_a_range_cover_it_once_and_are_equal(range in range(), parts in prop_oneof![0..300_u64, any::<u64>()]) {
        let width = u128::from(range.last() - range.first()) + 1;
        let share = width / u128::from(parts).clamp(1, width);
        let mut next = u128::from(range.first());
        let mut count = 0_u64;
        for part in range.split(parts).take(1_000) {
            prop_assert_eq!(u128::from(part.first()), next);
            prop_assert!(part.first() <= part.last());
            let size = u128::from(part.last() - part.first()) + 1;
            prop_assert!(size.abs_diff(share) <= 1 + share / 128, "{size} for {share}");
            next += size;
            count += 1;
        }
        if count < 1_000 {
            prop_assert_eq!(next, u128::from(range.last()) + 1);
            prop_assert_eq!(u128::from(count), u128::from(parts).clamp(1, width));
        }
    }

    #[test]
    fn halves_of_a_range_cover_it_once(range in range()) {
        match range.halves() {
            None => prop_assert_eq!(range.first(), range.last()),
            Some([low, high]) => {
                prop_assert_eq!((low.first(), high.last()), (range.first(), range.last()));
                prop_assert!(low.first() <= low.last() && high.first() <= high.last());
                prop_assert_eq!(low.last() + 1, high.first());
                prop_assert!((low.last() - low.first()).abs_diff(high.last() - high.first()) <= 1);
            }
        }
    }

    #[test]
    fn a_range_survives_its_encoding(range in range()) {
        let bytes = postcard::to_allocvec(&range).unwrap();
        prop_assert!(bytes.len() <= 20);
        prop_assert_eq!(postcard::from_bytes::<Range>(&bytes), Ok(range));
    }

    #[test]
    fn bytes_decode_to_a_range_or_to_an_error(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Ok(range) = postcard::from_bytes::<Range>(&bytes) {
            prop_assert!(range.first() <= range.last());
        }
    }
}

#[test]
fn parts_cover_the_whole_space() {
    let one = Range::new(7, 7).unwrap();
    assert!(Range::ALL.split(1).eq([Range::ALL]));
    assert!(Range::ALL.split(0).eq([Range::ALL]));
    assert!(Range::ALL.split(2).eq(Range::ALL.halves().unwrap()));
    assert_eq!(Range::ALL.split(3).last().unwrap().last(), u64::MAX);
    assert_eq!(Range::ALL.split(u64::MAX).nth(2), Range::new(2, 2));
    assert!(one.split(5).eq([one]));
    assert_eq!(one.halves(), None);
    let ten = Range::new(u64::MAX - 9, u64::MAX).unwrap();
    assert_eq!(ten.split(1_000).count(), 10);
    assert_eq!(Range::new(1, 0), None);
}

#[test]
fn ranges_from_splitting_are_short_on_the_wire() {
    let len = |range| postcard::to_allocvec(&range).unwrap().len();
    assert_eq!(len(Range::ALL), 2);
    assert!(Range::ALL.split(28).all(|part| len(part) <= 4));
    assert!(Range::ALL.split(277).all(|part| len(part) <= 6));
    assert!(Range::ALL.split(277).all(|part| part.halves().unwrap().into_iter().all(|half| len(half) <= 6)));
    // And an empty one is refused: 2⁶³ to 2⁶³ − 1.
    assert!(postcard::from_bytes::<Range>(&[1, 1]).is_err());
}

#[test]
fn grows_and_shrinks_a_leaf_at_a_time() {
    let mut hashes = Hashes::new();
    let mut leaves = 0;
    let items: Vec<u64> = random_hashes(1).take(40 * LEAF_ITEMS).collect();
    for (value, &hash) in (0..).zip(&items) {
        hashes.insert(hash, value);
        assert!(hashes.leaves.len() <= leaves + 1);
        if hashes.leaves.len() > leaves {
            leaves += 1;
            assert_sound(&hashes);
        }
    }
    assert_eq!(leaves, 40);
    assert_eq!(hashes.pieces(Range::ALL).filter(|piece| matches!(piece, Piece::Leaf(_))).count(), 40);
    assert_eq!(hashes.pieces(Range::ALL).count(), 40);
    for &hash in &items {
        hashes.remove(hash);
        assert!(hashes.leaves.len() + 1 >= leaves);
        if hashes.leaves.len() < leaves {
            leaves -= 1;
            assert_sound(&hashes);
        }
    }
    assert_eq!((hashes.len(), leaves, hashes.fingerprint()), (0, 0, 0));
}

#[test]
fn a_small_set_keeps_no_cells() {
    let mut hashes = Hashes::new();
    random_hashes(2).zip(0..).take(LEAF_ITEMS - 1).for_each(|(hash, value)| _ = hashes.insert(hash, value));
    assert_eq!(hashes.leaves.capacity(), 0);
}

#[test]
fn a_size_that_swings_about_a_boundary_splits_once() {
    let mut hashes = Hashes::new();
    random_hashes(3).zip(0..).take(8 * LEAF_ITEMS - 1).for_each(|(hash, value)| _ = hashes.insert(hash, value));
    assert_eq!(hashes.leaves.len(), 7);
    for hash in random_hashes(4).take(50) {
        hashes.insert(hash, 0);
        assert_eq!(hashes.leaves.len(), 8);
        hashes.remove(hash);
        assert_eq!(hashes.leaves.len(), 8);
    }
}

#[test]
fn hashes_crowded_into_one_leaf_are_only_slower() {
    let mut hashes = Hashes::new();
    let mut model = Model::default();
    for (value, hash) in (0..).zip(random_hashes(5).take(6_000)) {
        let hash = if value % 10 == 0 { hash } else { hash >> 30 };
        assert_eq!(hashes.insert(hash, value), model.0.insert(hash, value));
    }
    assert_sound(&hashes);
    for range in Range::ALL.split(3).chain([Range::ALL]) {
        model.assert_same(&hashes, range, 46);
    }
}

/// The fingerprint is compared across machines and versions.
#[test]
fn the_fingerprint_is_pinned() {
    let mut hashes = Hashes::new();
    assert_eq!(hashes.fingerprint(), 0);
    [0, 1, u64::MAX].into_iter().for_each(|hash| _ = hashes.insert(hash, ()));
    assert_eq!(
        [mark(0), mark(1), hashes.fingerprint()],
        [0xefe4_0cbe_ed3a_b331, 0x97ea_d6eb_13b6_1b55, 0xd062_388f_28f9_9451]
    );
}

/// Not a test: prints what things cost. `cargo test --release -- --ignored --nocapture timing_of_the_index`
#[test]
#[ignore = "asserts nothing: prints timings, which a busy machine makes useless"]
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "measures the time that things take")]
fn timing_of_the_index() {
    use std::time::Instant;

    for items in [1_000_u32, 10_000, 100_000, 1_000_000] {
        let mut hashes = Hashes::new();
        let start = Instant::now();
        random_hashes(6).zip(0..items).for_each(|(hash, value)| _ = hashes.insert(hash, value));
        println!(
            "{items} items: {:?} an insert while growing, {} leaves",
            start.elapsed() / items,
            hashes.leaves.len()
        );

        let fresh: Vec<u64> = random_hashes(7).take(500).collect();
        let rounds = 200;
        let start = Instant::now();
        for _ in 0..rounds {
            fresh.iter().for_each(|&hash| _ = hashes.insert(hash, 0));
            fresh.iter().for_each(|&hash| _ = hashes.remove(hash));
        }
        println!("    {:?} an update of 500 warm items", start.elapsed() / (rounds * 1_000));

        let churn: Vec<u64> = random_hashes(8).take(100_000).collect();
        let start = Instant::now();
        random_hashes(6).take(100_000.min(items as usize)).for_each(|hash| _ = hashes.remove(hash));
        churn.iter().for_each(|&hash| _ = hashes.insert(hash, 0));
        let updates = 100_000 + items.min(100_000);
        println!("    {:?} an update of cold items", start.elapsed() / updates);
        churn.iter().for_each(|&hash| _ = hashes.remove(hash));
        random_hashes(6).zip(0..items).for_each(|(hash, value)| _ = hashes.insert(hash, value));

        let start = Instant::now();
        for _ in 0..rounds {
            black_box(hashes.sketch(black_box(Range::ALL), 46));
        }
        println!("    {:?} a sketch of all, 46 cells", start.elapsed() / rounds);
        let start = Instant::now();
        for part in Range::ALL.split(28) {
            black_box(hashes.sketch(part, 46));
        }
        println!("    {:?} a sketch of a 28th, 46 cells", start.elapsed() / 28);
        let start = Instant::now();
        for part in Range::ALL.split(28) {
            black_box(hashes.count(part));
        }
        println!("    {:?} a count of a 28th", start.elapsed() / 28);
    }
}

#[test]
fn a_set_that_is_made_at_once_is_the_one_that_grows_item_by_item() {
    for count in [0, 1, RECENT - 1, RECENT, LEAF_ITEMS - 1, LEAF_ITEMS, 3 * LEAF_ITEMS + 7, 9 * LEAF_ITEMS] {
        let items: Vec<(u64, u32)> = random_hashes(count as u64).take(count).zip(0..).collect();
        let mut grown = Hashes::new();
        for (hash, value) in &items {
            grown.insert(*hash, *value);
        }
        let mut made: Hashes<u32> = items.iter().copied().collect();
        assert_eq!((made.leaves.len(), made.fingerprint()), (grown.leaves.len(), grown.fingerprint()));
        assert_eq!(made.recent.len(), grown.recent.len());
        let model = Model(items.iter().copied().collect());
        assert_sound(&made);
        model.assert_same(&made, Range::ALL, CELLS);
        model.assert_same(&made, Range::new(u64::MAX / 7, u64::MAX / 3).unwrap(), 30);
        // It grows and shrinks from there.
        for (hash, value) in random_hashes(99).take(LEAF_ITEMS + 1).zip(0..) {
            made.insert(hash, value);
        }
        assert_sound(&made);
        for (hash, _) in &items {
            made.remove(*hash);
        }
        assert_sound(&made);
        assert_eq!(made.len(), LEAF_ITEMS + 1);
    }
}
