extern crate std;

use core::hint::black_box;
use std::println;

use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::*;

fn random_items(seed: u64) -> impl Iterator<Item = u64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    core::iter::from_fn(move || Some(rng.next_u64()))
}

fn sketch_of(items: impl IntoIterator<Item = u64>, cells: usize) -> Sketch {
    let mut sketch = Sketch::new(cells);
    items.into_iter().for_each(|item| sketch.add(item));
    sketch
}

/// The sketch of a difference: `ours` items on our side, `theirs` on theirs.
fn difference(seed: u64, ours: usize, theirs: usize, cells: usize) -> Sketch {
    let mut items = random_items(seed);
    let mut sketch = sketch_of(items.by_ref().take(ours), cells);
    sketch.subtract(&sketch_of(items.take(theirs), cells));
    sketch
}

fn prefix(sketch: &Sketch, cells: usize) -> Sketch {
    let mut sketch = sketch.clone();
    sketch.truncate(cells);
    sketch
}

/// The fewest cells from which a difference of `size` items decodes.
fn cells_needed(seed: u64, size: usize) -> usize {
    let whole = difference(seed, size / 2, size.div_ceil(2), 4 * size + 60);
    // More cells never hurt, so bisect.
    let (mut fails, mut decodes) = (0, whole.len());
    assert!(whole.decode().is_ok());
    while decodes - fails > 1 {
        let middle = usize::midpoint(fails, decodes);
        if prefix(&whole, middle).decode().is_ok() { decodes = middle } else { fails = middle }
    }
    decodes
}

/// Share of differences of `size` items that decode from `cells` cells.
fn decoding_share(size: usize, cells: usize, trials: u64) -> f64 {
    let decoded = (0..trials).filter(|&seed| difference(seed, size / 3, size - size / 3, cells).decode().is_ok());
    decoded.count() as f64 / trials as f64
}

#[test]
fn cells_for_each_difference_are_as_published() {
    for (size, published, trials) in [
        (2, 1.55, 4_000),
        (5, 1.70, 2_000),
        (10, 1.73, 1_000),
        (20, 1.65, 600),
        (50, 1.51, 300),
        (100, 1.47, 150),
        (1_000, 1.37, 12),
        (10_000, 1.36, 2),
    ] {
        let total: usize = (0..trials).map(|seed| cells_needed(seed, size)).sum();
        let mean = total as f64 / (trials as usize * size) as f64;
        println!("d = {size}: {mean:.3} cells for each");
        assert!((mean / published - 1.0).abs() < 0.04, "{mean} for d = {size}, published {published}");
    }
}

#[test]
fn eleven_differences_fit_46_cells_and_forty_fit_92() {
    for (size, cells, least, most) in [
        (11, 46, 0.995, 1.0),
        (30, 92, 0.995, 1.0),
        (40, 92, 0.99, 1.0),
        (45, 92, 0.98, 1.0),
        (50, 92, 0.95, 0.99),
        (60, 92, 0.62, 0.74),
    ] {
        let share = decoding_share(size, cells, 4_000);
        println!("d = {size} from {cells} cells: {share:.4}");
        assert!((least..=most).contains(&share), "{share} of d = {size} decode from {cells} cells");
    }
}

#[test]
fn an_item_is_in_cell_j_with_probability_two_in_j_plus_two() {
    let mut hits = [0_u32; 92];
    random_items(1).take(100_000).for_each(|item| Indices::new(item, hits.len()).for_each(|index| hits[index] += 1));
    assert_eq!(hits[0], 100_000);
    for (j, hits) in hits.into_iter().enumerate() {
        let expected = 200_000.0 / (j as f64 + 2.0);
        // The paper's formula rounds: 4 % too few at cell 1, (1.5/2.5)² for 1/3, and less with every cell.
        let tolerance = 5.0 * expected.sqrt() + expected * 0.2 / (j as f64 + 1.0).powi(2);
        assert!((f64::from(hits) - expected).abs() < tolerance, "cell {j}: {hits}, expected {expected}");
    }
}

#[test]
fn the_estimate_follows_the_size_of_the_difference() {
    for size in [60, 100, 300, 1_000, 3_000, 10_000] {
        for ours in [0, size / 2, size / 4 * 3, size] {
            let trials = 200;
            let theirs = size - ours;
            let ratios: Vec<f64> = (0..trials)
                .map(|seed| {
                    difference(seed, ours, theirs, 46).estimate(ours as i64 - theirs as i64) as f64 / size as f64
                })
                .collect();
            let mean = ratios.iter().sum::<f64>() / trials as f64;
            let spread = (ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / trials as f64).sqrt();
            let near = ratios.iter().filter(|ratio| (*ratio - 1.0).abs() <= 0.45).count() as f64 / trials as f64;
            println!("d = {size}, {ours} ours: mean {mean:.2}, standard deviation {spread:.2}, {near:.2} within 45 %");
            assert!((0.88..1.12).contains(&mean), "mean {mean} at d = {size}, {ours} ours");
            assert!(spread < 0.27, "standard deviation {spread} at d = {size}, {ours} ours");
            assert!(near >= 0.9, "{near} at d = {size}, {ours} ours");
        }
    }
}

#[test]
fn the_estimate_of_a_huge_difference_is_still_large() {
    let estimate = difference(1, 100_000, 100_000, 46).estimate(0);
    println!("d = 200,000, 100,000 ours: {estimate}");
    assert!((30_000..150_000).contains(&estimate), "{estimate}");
    assert!(difference(1, 500_000, 0, 46).estimate(500_000) >= 500_000);
}

#[test]
fn the_estimate_survives_a_count_that_is_out_of_date() {
    let sketch = difference(3, 300, 100, 46);
    for stale in -100..100 {
        assert_eq!(sketch.estimate(200 + stale), sketch.estimate(200));
    }
}

#[test]
fn the_estimate_takes_any_cells_and_any_count() {
    let count = [0, 1, -1, 255, i64::MAX, i64::MIN];
    let worst = Cell { sum: 1, check: 2, count: 128 };
    for cells in [0, 1, 2, 3, 46, 5_000] {
        for count in count {
            let sketch = Sketch { cells: vec![worst; cells] };
            assert!(sketch.estimate(count) >= count.unsigned_abs().saturating_sub(128));
        }
    }
}

#[test]
fn no_cells_say_nothing_and_equal_sets_differ_in_nothing() {
    assert_eq!(Sketch::new(0).decode(), Err(Undecoded));
    assert_eq!(Sketch::new(1).decode(), Ok(Difference::default()));
    let mut sketch = sketch_of(random_items(5).take(1_000), 46);
    sketch.subtract(&sketch.clone());
    assert_eq!(sketch.decode(), Ok(Difference::default()));
}

#[test]
fn each_side_gets_its_own() {
    let (ours, theirs) = ([11, 12, 13], [21, 22]);
    let common = || random_items(6).take(5_000);
    let mut sketch = sketch_of(common().chain(ours), 46);
    sketch.subtract(&sketch_of(common().chain(theirs), 46));
    let mut difference = sketch.decode().unwrap();
    difference.ours.sort_unstable();
    difference.theirs.sort_unstable();
    assert_eq!(difference, Difference { ours: ours.into(), theirs: theirs.into() });
}

#[test]
fn a_subtracted_sketch_keeps_the_shorter_length_and_a_sum_its_own() {
    let (long, short) = (sketch_of([1, 2, 3], 60), sketch_of([3, 4], 20));
    let mut difference = long.clone();
    difference.subtract(&short);
    let mut opposite = short.clone();
    opposite.subtract(&long);
    assert_eq!((difference.len(), opposite.len()), (20, 20));
    let (difference, opposite) = (difference.decode().unwrap(), opposite.decode().unwrap());
    assert_eq!((difference.theirs, opposite.ours), (vec![4], vec![4]));

    let mut sum = short.clone();
    sum.add_sketch(&long);
    assert_eq!(sum.len(), 20);
    let mut sum = long.clone();
    sum.add_sketch(&short);
    assert_eq!(sum.len(), 60);
    assert_eq!(sum.cells[20..], long.cells[20..]);
}

fn cell(items: &[u64], count: u8) -> Cell {
    items.iter().fold(Cell { count, ..Cell::default() }, |mut cell, &item| {
        cell.mix(item, checksum(item), 0);
        cell
    })
}

/// Cells that no honest peer sends.
#[test]
fn hostile_cells_end_undecoded() {
    // In a cell where it does not belong: peeling it never empties the cell.
    let elsewhere = (1..46).find(|index| !Indices::new(9, 46).any(|cell| cell == *index)).unwrap();
    let mut stray = Sketch::new(46);
    stray.cells[elsewhere] = cell(&[9], 1);
    assert_eq!(stray.decode(), Err(Undecoded));
    // The same item again, on the same side and on the other.
    for count in [1, MINUS_ONE] {
        let mut twice = sketch_of([9], 46);
        twice.cells[elsewhere] = cell(&[9], count);
        assert_eq!(twice.decode(), Err(Undecoded));
    }
    // The same everywhere.
    for count in [0, 1, 2, 3, 128, MINUS_ONE] {
        assert_eq!(Sketch { cells: vec![cell(&[9], count); 46] }.decode(), Err(Undecoded));
        assert_eq!(Sketch { cells: vec![cell(&[9, 10], count); 46] }.decode(), Err(Undecoded));
    }
    // Each cell pure with an item of its own, so that each peel spoils others.
    let cells = (0..500).map(|item| cell(&[item], if item % 2 == 0 { 1 } else { MINUS_ONE })).collect();
    assert_eq!(Sketch { cells }.decode(), Err(Undecoded));
    // More items than cells, by the peels of a cycle: a and b take turns in cell 0.
    let mut cycle = Sketch::new(2);
    cycle.cells = vec![cell(&[1], 1), cell(&[2], 1)];
    assert_eq!(cycle.decode(), Err(Undecoded));
    // A count that lies about a sum that is right.
    let mut lying = sketch_of([1, 2, 3], 46);
    lying.cells[0].count = 7;
    assert_eq!(lying.decode(), Err(Undecoded));
}

proptest! {
    #[test]
    fn linear(a: Vec<u64>, b: Vec<u64>, cells in 0..100_usize) {
        let mut sum = sketch_of(a.iter().copied(), cells);
        sum.add_sketch(&sketch_of(b.iter().copied(), cells));
        prop_assert_eq!(&sum, &sketch_of(a.iter().chain(&b).copied(), cells));
        sum.subtract(&sketch_of(b, cells));
        prop_assert_eq!(sum, sketch_of(a, cells));
    }

    #[test]
    fn a_prefix_is_the_shorter_sketch(items: Vec<u64>, cells in 0..100_usize, fewer in 0..100_usize) {
        let fewer = fewer.min(cells);
        prop_assert_eq!(prefix(&sketch_of(items.iter().copied(), cells), fewer), sketch_of(items, fewer));
    }

    #[test]
    fn what_was_added_is_removed(items: Vec<u64>, cells in 0..100_usize) {
        let mut sketch = sketch_of(items.iter().copied(), cells);
        items.iter().for_each(|&item| sketch.remove(item));
        prop_assert_eq!(sketch, Sketch::new(cells));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1_200), count: i64) {
        let bytes = postcard::to_allocvec(&Bytes(&bytes)).unwrap();
        if let Ok(sketch) = postcard::from_bytes::<Sketch>(&bytes) {
            prop_assert!(sketch.decode().map_or(true, |found| found.ours.is_empty() && found.theirs.is_empty()));
            sketch.estimate(count);
        }
    }

    /// Few items, in the wrong cells, with checksums that fit: as close to a real sketch as lies can be.
    #[test]
    fn crafted_cells_never_panic(
        cells in prop::collection::vec((prop::collection::vec(0..6_u64, 0..3), -2..3_i8), 1..90),
        real: Vec<u64>,
    ) {
        let cells: Vec<Cell> = cells.iter().map(|(items, count)| cell(items, *count as u8)).collect();
        let len = cells.len();
        let mut sketch = Sketch { cells };
        sketch.add_sketch(&sketch_of(real, len));
        if let Ok(found) = sketch.decode() {
            prop_assert!(found.ours.len() + found.theirs.len() <= len);
            prop_assert!(found.is_distinct());
            let mut again = sketch_of(found.ours, len);
            again.subtract(&sketch_of(found.theirs, len));
            prop_assert_eq!(again, sketch);
        }
    }

    #[test]
    fn survives_its_encoding(items: Vec<u64>, cells in 0..100_usize) {
        let sketch = sketch_of(items, cells);
        let bytes = postcard::to_allocvec(&sketch).unwrap();
        prop_assert_eq!(bytes.len(), cells * Cell::LEN + if cells * Cell::LEN < 128 { 1 } else { 2 });
        prop_assert_eq!(postcard::from_bytes::<Sketch>(&bytes), Ok(sketch));
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn a_length_that_is_no_whole_number_of_cells_is_refused() {
    for len in 0..40 {
        let bytes = postcard::to_allocvec(&Bytes(&[7; 40][..len])).unwrap();
        assert_eq!(postcard::from_bytes::<Sketch>(&bytes).is_ok(), len % Cell::LEN == 0, "{len} bytes");
    }
    // A length that promises more than there is.
    assert!(postcard::from_bytes::<Sketch>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]).is_err());
}

/// Replicas of different makes must agree on these.
#[test]
fn the_mapping_is_pinned() {
    let indices = |item| Indices::new(item, 1_000).collect::<Vec<_>>();
    assert_eq!(indices(0), [0, 1, 3, 27, 28, 89, 157, 379, 432, 874, 896]);
    assert_eq!(indices(1), [0, 1, 2, 3, 6, 10, 12, 13, 19, 37, 42, 67, 87, 130, 180, 274, 673, 839, 930]);
    assert_eq!(indices(0x0123_4567_89ab_cdef), [0, 4, 5, 14, 18, 278, 981]);
    assert_eq!(indices(u64::MAX), [0, 1, 2, 6, 10, 13, 15, 16, 34, 39, 366]);
    let sums = [0, 1, 0x0123_4567_89ab_cdef, u64::MAX].map(checksum);
    assert_eq!(sums, [0x58d1_5ee6, 0xa197_6d55, 0x16d7_a358, 0x9fc8_c27c]);
    #[rustfmt::skip]
    let bytes = [
        65,
        3, 0, 0, 0, 0, 0, 0, 0, 0x79, 0x66, 0x95, 0xae, 2,
        3, 0, 0, 0, 0, 0, 0, 0, 0x79, 0x66, 0x95, 0xae, 2,
        3, 0, 0, 0, 0, 0, 0, 0, 0x79, 0x66, 0x95, 0xae, 2,
        1, 0, 0, 0, 0, 0, 0, 0, 0x55, 0x6d, 0x97, 0xa1, 1,
        2, 0, 0, 0, 0, 0, 0, 0, 0x2c, 0x0b, 2, 0x0f, 1,
    ];
    assert_eq!(postcard::to_allocvec(&sketch_of([1, 2], 5)).unwrap(), bytes);
}

/// Not a test: prints what things cost. `cargo test --release -- --ignored --nocapture timing_of_sketches`
#[test]
#[ignore = "asserts nothing: prints timings, which a busy machine makes useless"]
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "measures the time that things take")]
fn timing_of_sketches() {
    use std::time::Instant;

    for cells in [46, 92] {
        let items: Vec<u64> = random_items(1).take(100_000).collect();
        let mut sketch = Sketch::new(cells);
        let start = Instant::now();
        items.iter().for_each(|&item| sketch.add(item));
        println!("{cells} cells: {:?} an item", start.elapsed() / 100_000);
        black_box(sketch);

        let rounds = 1_000;
        for (what, size) in [("that decodes", 11 * cells / 46), ("that does not", 1_000)] {
            let sketch = difference(2, size / 2, size.div_ceil(2), cells);
            let start = Instant::now();
            for _ in 0..rounds {
                _ = black_box(black_box(&sketch).decode());
            }
            println!("    {:?} decoding a difference of {size}, {what}", start.elapsed() / rounds);
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(black_box(&sketch).estimate(0));
            }
            println!("    {:?} estimating it", start.elapsed() / rounds);
        }
    }
}
