use std::vec::Vec;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn any_coordinate() -> impl Strategy<Value = Coordinate> {
    let number = || -bounded(LIMIT)..=bounded(LIMIT);
    let error = i32::try_from(BEST).unwrap()..=i32::try_from(WORST).unwrap();
    (proptest::array::uniform8(number()), 0..=bounded(LIMIT), number(), error)
        .prop_map(|(vector, height, adjustment, error)| Coordinate { vector, height, adjustment, error })
}

/// Round trip between two of these places in a plane, each with a way to the backbone.
fn true_trip(a: (i64, i64, u32), b: (i64, i64, u32)) -> Duration {
    let squares = u64::try_from((a.0 - b.0).pow(2) + (a.1 - b.1).pow(2)).unwrap();
    Duration::from_micros(squares.isqrt()) + (a.2 + b.2) * MS / 10
}

/// Error of the distances between all, per cent, in order.
fn errors(positions: &[Position], trip: impl Fn(usize, usize) -> Duration) -> Vec<u128> {
    let mut errors = Vec::new();
    for (a, first) in positions.iter().enumerate() {
        for (b, second) in positions.iter().enumerate().filter(|(b, _)| *b != a) {
            let (is, estimated) = (trip(a, b), first.coordinate.distance_to(&second.coordinate));
            errors.push(is.abs_diff(estimated).as_micros() * 100 / is.as_micros());
        }
    }
    errors.sort_unstable();
    errors
}

#[test]
fn distances_in_three_sites_are_learned_from_a_few_samples_each() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    // Sites 60, 80 and 100 ms apart; within a site the way to the backbone counts.
    let sites = [(0, 0), (60_000, 0), (60_000, 80_000)];
    let places: Vec<_> =
        (0..30_u32).map(|node| (sites[node as usize % 3], 5 + node)).map(|((x, y), height)| (x, y, height)).collect();
    let trip = |a: usize, b: usize| true_trip(places[a], places[b]);
    let mut positions: Vec<Position> = (0..30).map(|_| Position::default()).collect();
    for _ in 0..120 {
        for node in 0..positions.len() {
            let other = (node + rng.random_range(1..positions.len())) % positions.len();
            let told = Coordinate::unpack(&positions[other].coordinate.pack()).unwrap();
            positions[node].observe(&told, trip(node, other), &mut rng);
        }
    }
    let errors = errors(&positions, trip);
    assert!(errors[errors.len() / 2] <= 5, "median {} %", errors[errors.len() / 2]);
    assert!(errors[errors.len() * 9 / 10] <= 25, "of nine in ten {} %", errors[errors.len() * 9 / 10]);
    assert!(positions.iter().all(|position| position.coordinate.error() < 0.3));
}

#[test]
fn a_liar_moves_nobody_farther_than_half_of_the_longest_that_was_measured() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let far = Coordinate { vector: [bounded(LIMIT); 8], height: bounded(LIMIT), ..Coordinate::ORIGIN };
    let sure = Coordinate { error: i32::try_from(BEST).unwrap(), ..far };
    let settled = || {
        let mut position = Position::default();
        let place = |x| Coordinate { vector: [x, 0, 0, 0, 0, 0, 0, 0], error: 10_000, ..Coordinate::ORIGIN };
        (0..200).for_each(|at| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(at);
            position.observe(&place(if at % 2 == 0 { 40_000 } else { -40_000 }), 10 * MS, &mut rng);
        });
        position
    };
    for lie in [far, sure] {
        let (mut position, before) = (settled(), settled().coordinate);
        position.observe(&lie, 2 * MS, &mut rng);
        let moved = length(&position.coordinate.from(&before));
        // Half of ten milliseconds, and what is rounded.
        assert!(moved <= 20_000 + 2 * 40_000 / GRAVITY + 8, "{moved} quarters of a microsecond");
        assert!(position.coordinate.height.abs_diff(before.height) <= 20_000);
        // And its error says that something is wrong.
        assert!(position.coordinate.error >= before.error);
    }
}

#[test]
fn two_in_one_place_go_apart() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let (mut a, mut b) = (Position::default(), Position::default());
    for _ in 0..50 {
        let (at_a, at_b) = (a.coordinate, b.coordinate);
        a.observe(&at_b, 20 * MS, &mut rng);
        b.observe(&at_a, 20 * MS, &mut rng);
    }
    assert!(a.coordinate.distance_to(&b.coordinate).abs_diff(20 * MS) < MS);
}

#[test]
fn what_no_correct_node_writes_is_refused() {
    let good = Coordinate::ORIGIN.pack();
    assert_eq!(Coordinate::unpack(&good), Some(Coordinate::ORIGIN));
    let with = |at: usize, byte: u8| {
        let mut packed = good;
        packed[at] = byte;
        Coordinate::unpack(&packed)
    };
    assert_eq!(with(0, 16), None, "an exponent beyond the limit");
    assert_eq!(with(0, 0x80), None, "a bit that has no meaning");
    assert_eq!([with(PACKED - 1, 0), with(PACKED - 1, 193)], [None, None], "no error, or one above the worst");
    // The height is the first of the last pair: its sign is the highest of twelve bits.
    assert_eq!(with(PACKED - 3, 0x08), None, "a negative height");
    let mut lowest = good;
    (lowest[1], lowest[2]) = (0x00, 0x08);
    assert_eq!(Coordinate::unpack(&lowest), None, "a number with two forms of its negative");
}

proptest! {
    #[test]
    fn the_short_form_is_as_good_as_a_thousandth_of_the_largest_number(coordinate in any_coordinate()) {
        let short = Coordinate::unpack(&coordinate.pack()).unwrap();
        prop_assert_eq!(short.pack(), coordinate.pack());
        let numbers = |of: &Coordinate| {
            of.vector.iter().copied().chain([of.height, of.adjustment]).map(i64::from).collect::<Vec<_>>()
        };
        let largest = numbers(&coordinate).iter().map(|number| number.abs()).max().unwrap();
        for (is, was) in numbers(&short).iter().zip(numbers(&coordinate)) {
            prop_assert!((is - was).abs() <= largest / 1_000 + 1, "{is} for {was} beside {largest}");
        }
    }

    #[test]
    fn any_bytes_are_bounded_and_no_sample_overflows(
        bytes in proptest::collection::vec(any::<[u8; PACKED]>(), 1..40), trips in proptest::collection::vec(any::<u64>(), 40)
    ) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut position = Position::default();
        for (bytes, trip) in bytes.iter().zip(trips) {
            let mut bytes = *bytes;
            // Most of all bytes are no exponent and no error.
            bytes[0] %= 16;
            bytes[PACKED - 1] = bytes[PACKED - 1] % 192 + 1;
            if let Some(other) = Coordinate::unpack(&bytes) {
                position.observe(&other, Duration::from_micros(trip), &mut rng);
                let own = position.coordinate;
                prop_assert!(own.vector.iter().all(|number| i64::from(number.abs()) <= LIMIT));
                prop_assert!((LOWEST..=LIMIT).contains(&i64::from(own.height)));
                prop_assert!((BEST..=WORST).contains(&i64::from(own.error)));
                prop_assert!(own.distance_to(&other) <= Duration::from_secs(300));
                prop_assert_eq!(own.distance_to(&other), other.distance_to(&own));
            }
        }
    }
}
