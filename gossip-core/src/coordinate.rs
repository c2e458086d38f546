//! Network coordinates: a position for each member, from which follows the round trip between two that have exchanged nothing.
//!
//! Vivaldi (Dabek, Cox, Kaashoek, Morris: *Vivaldi: a decentralized network coordinate system*, SIGCOMM 2004) in eight
//! dimensions with a height, which is the way to the backbone, and the adjustment of Lee, Guha, Levin and others (*On suitability
//! of Euclidean embedding for host-based network coordinate systems*, 2010), which is what distances from here are wrong by on
//! average. Knows neither members nor messages.
//!
//! Whole numbers in quarters of a microsecond, so that all machines come to the same coordinates. A peer's coordinate is bounded by
//! its form, and one sample moves a position by at most half of the longest round trip that this node has measured itself lately.

use core::time::Duration;

use rand::{Rng, RngExt};

use crate::time::micros;

/// Dimensions of the space, as in Serf: more do not help, fewer do not embed the internet.
const DIMENSIONS: usize = 8;
/// Numbers of a coordinate: its vector, height and adjustment.
const NUMBERS: usize = DIMENSIONS + 2;
/// Length of a packed coordinate: the exponent, twelve bits for each number, the error.
pub(crate) const PACKED: usize = 1 + NUMBERS * 12 / 8 + 1;
/// Units in a microsecond.
const UNITS: u64 = 4;
/// The largest number of twelve bits with a sign, and the largest exponent.
const MANTISSA: i64 = 2_047;
const EXPONENT: u32 = 15;
/// Bound of every number: 16.8 seconds.
const LIMIT: i64 = MANTISSA << EXPONENT;
/// The lowest height, ten microseconds: two members of one machine are not in one place.
const LOWEST: i64 = 40;
/// Relative errors are fractions of this.
const ONE: i64 = 1 << 16;
/// Steps of a packed error in [`ONE`].
const STEPS: i64 = 128;
/// Error of whoever knows nothing: 150 %. No sample counts for more.
const WORST: i64 = ONE + ONE / 2;
/// Error below which nobody is believed to be: whoever claims none would move all others.
const BEST: i64 = ONE / STEPS;
/// Part of what a sample says that is taken in (the paper's constants of error and of force): a quarter.
const SHARE: i64 = 4;
/// Part by which a position is moved that is not found yet, since its error is larger than `SOUGHT`: few samples are all there is.
const FIRST_SHARE: i64 = 2;
const SOUGHT: i64 = ONE / 4;
/// Part of a force that moves the height, which otherwise takes up what only places can: all sites become one with high nodes.
const STIFFNESS: i64 = 16;
/// Samples of which the adjustment is the mean.
const SAMPLES: usize = 20;
/// Part that the longest round trip loses with each sample that is shorter.
const FORGETS: i64 = 64;
/// Part of its distance from the origin that a position loses with each sample, so that all together do not drift away.
const GRAVITY: i64 = 4_096;

/// Network coordinate of a member.
///
/// Two of them tell the round trip between their members, see [`distance_to`](Self::distance_to). They come from different
/// members and different moments, so it is an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coordinate {
    vector: [i32; DIMENSIONS],
    height: i32,
    adjustment: i32,
    error: i32,
}

/// A coordinate as it is sent and remembered.
pub(crate) type Packed = [u8; PACKED];

impl Coordinate {
    /// Coordinate of a member that knows nothing yet.
    #[expect(clippy::cast_possible_truncation, reason = "small constants")]
    const ORIGIN: Self = Self { vector: [0; DIMENSIONS], height: LOWEST as i32, adjustment: 0, error: WORST as i32 };

    /// Estimates the round trip between two members.
    pub fn distance_to(&self, other: &Self) -> Duration {
        Duration::from_micros(self.distance(other).unsigned_abs() / UNITS)
    }

    /// Returns the relative error that its member expects of its distances: 0.1 is 10 %. That of a member that has measured
    /// nothing is 1.5.
    #[expect(clippy::cast_precision_loss, reason = "at most 17 bits")]
    pub fn error(&self) -> f32 {
        self.error as f32 / ONE as f32
    }

    /// Distance in units, adjusted; never negative.
    fn distance(&self, other: &Self) -> i64 {
        let plain = self.plain_distance(other);
        let adjusted = plain + i64::from(self.adjustment) + i64::from(other.adjustment);
        if adjusted > 0 { adjusted } else { plain }
    }

    fn plain_distance(&self, other: &Self) -> i64 {
        length(&self.from(other)) + i64::from(self.height) + i64::from(other.height)
    }

    /// The way from the other to this one.
    fn from(&self, other: &Self) -> [i64; DIMENSIONS] {
        core::array::from_fn(|at| i64::from(self.vector[at]) - i64::from(other.vector[at]))
    }

    /// Writes it in its short form: numbers of twelve bits with a common exponent.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "twelve bits of the number are wanted")]
    pub(crate) fn pack(&self) -> Packed {
        let numbers: [i32; NUMBERS] = core::array::from_fn(|at| match at {
            0..DIMENSIONS => self.vector[at],
            DIMENSIONS => self.height,
            _ => self.adjustment,
        });
        let largest = numbers.iter().map(|number| i64::from(number.unsigned_abs())).max().unwrap_or_default();
        let fits = |exponent: &u32| largest <= MANTISSA << exponent;
        let exponent = (0..EXPONENT).find(fits).unwrap_or(EXPONENT);
        let mut packed = [0; PACKED];
        packed[0] = exponent as u8;
        for (pair, bytes) in numbers.chunks_exact(2).zip(packed[1..].chunks_exact_mut(3)) {
            let [first, second] = [pair[0], pair[1]].map(|number| round(number, exponent) as u32 & 0xfff);
            bytes.copy_from_slice(&(first | second << 12).to_le_bytes()[..3]);
        }
        let error = (i64::from(self.error) * STEPS + ONE - 1) / ONE;
        packed[PACKED - 1] = error as u8;
        packed
    }

    /// Reads the short form. None if no correct node writes it.
    pub(crate) fn unpack(packed: &Packed) -> Option<Self> {
        let exponent = u32::from(packed[0]);
        let error = i64::from(packed[PACKED - 1]) * ONE / STEPS;
        let mut numbers = [0; NUMBERS];
        for (pair, bytes) in numbers.chunks_exact_mut(2).zip(packed[1..].chunks_exact(3)) {
            let both = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
            pair.copy_from_slice(&[extend(both), extend(both >> 12)]);
        }
        let is_sound = exponent <= EXPONENT
            && (BEST..=WORST).contains(&error)
            && numbers.iter().all(|number| i64::from(number.unsigned_abs()) <= MANTISSA)
            && numbers[DIMENSIONS] >= 0;
        let [vector @ .., height, adjustment] = numbers;
        let scaled = |number: i32| number << exponent;
        is_sound.then(|| Self {
            vector: vector.map(scaled),
            height: scaled(height),
            adjustment: scaled(adjustment),
            // At most 150 % of `ONE`.
            error: i32::try_from(error).unwrap_or_default(),
        })
    }
}

/// Returns whether the error of a packed coordinate is the smaller one.
pub(crate) const fn is_surer(one: &Packed, other: &Packed) -> bool {
    one[PACKED - 1] < other[PACKED - 1]
}

/// Divides by a power of two, rounded to the nearest.
fn round(number: i32, exponent: u32) -> i64 {
    let half = (1_i64 << exponent) / 2;
    let rounded = (i64::from(number.unsigned_abs()) + half) >> exponent;
    rounded.min(MANTISSA) * i64::from(number.signum())
}

/// The number with a sign in the low twelve bits.
#[expect(clippy::cast_possible_wrap, reason = "the sign is in the highest bit")]
const fn extend(bits: u32) -> i32 {
    (bits << 20) as i32 >> 20
}

/// Length of a vector, each of whose numbers is at most twice the limit: the sum of the squares is below 2^63.
fn length(vector: &[i64; DIMENSIONS]) -> i64 {
    let squares: u64 = vector.iter().map(|number| number.unsigned_abs().pow(2)).sum();
    i64::try_from(squares.isqrt()).unwrap_or(LIMIT)
}

/// A number within bounds.
fn bounded(number: i64) -> i32 {
    // The limit has 26 bits.
    i32::try_from(number.clamp(-LIMIT, LIMIT)).unwrap_or_default()
}

/// Own coordinate of a node, moved by what it measures.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    coordinate: Coordinate,
    /// The last round trips, less their distances.
    samples: [i32; SAMPLES],
    taken: usize,
    /// The longest round trip of the last samples.
    longest: i64,
}

impl Default for Position {
    fn default() -> Self {
        Self { coordinate: Coordinate::ORIGIN, samples: [0; SAMPLES], taken: 0, longest: 0 }
    }
}

impl Position {
    pub(crate) const fn coordinate(&self) -> Coordinate {
        self.coordinate
    }

    /// Takes in the round trip to a member that is at `other`.
    pub(crate) fn observe(&mut self, other: &Coordinate, trip: Duration, rng: &mut impl Rng) {
        let trip = i64::try_from(micros(trip).saturating_mul(UNITS)).unwrap_or(LIMIT).clamp(1, LIMIT);
        let own = &self.coordinate;
        let distance = own.distance(other);
        let wrong = ((distance - trip).abs() * ONE / trip).min(WORST);
        let (error, other_error) = (i64::from(own.error), i64::from(other.error));
        let weight = error * ONE / (error + other_error);
        let better = error + (wrong - error) * weight / ONE / SHARE;
        // Whoever claims to be far away moves nobody farther than whoever is.
        self.longest = trip.max(self.longest - self.longest / FORGETS);
        let share = if error > SOUGHT { FIRST_SHARE } else { SHARE };
        let force = (trip - distance).max(-self.longest) * weight / ONE / share;
        self.push(other, force, rng);
        self.coordinate.error = bounded(better.clamp(BEST, WORST));
        self.samples[self.taken % SAMPLES] = bounded((trip - self.coordinate.plain_distance(other)).max(-self.longest));
        self.taken = self.taken.wrapping_add(1);
        let sum: i64 = self.samples.iter().copied().map(i64::from).sum();
        // Half of it, since the other has its own.
        self.coordinate.adjustment = bounded(sum / (2 * SAMPLES as i64));
    }

    /// Moves away from `other` by `force`: height and place each in proportion to their part of the distance (Vivaldi, section
    /// 5.4), but for the height being stiffer.
    fn push(&mut self, other: &Coordinate, force: i64, rng: &mut impl Rng) {
        let heights = i64::from(self.coordinate.height) + i64::from(other.height);
        let mut way = self.coordinate.from(other);
        if way == [0; DIMENSIONS] {
            // Two in one place go apart in any direction.
            way = core::array::from_fn(|_| rng.random_range(-8 * heights..=8 * heights));
        }
        let whole = (length(&way) + heights).max(1);
        for (number, way) in self.coordinate.vector.iter_mut().zip(way) {
            let moved = i64::from(*number) + way * force / whole;
            *number = bounded(moved - moved / GRAVITY);
        }
        let height = i64::from(self.coordinate.height) + heights * force / whole / STIFFNESS;
        self.coordinate.height = bounded(height.max(LOWEST));
    }
}

#[cfg(test)]
mod tests;
