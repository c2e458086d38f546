//! Coded symbols of a set of 64-bit item hashes: a rateless IBLT (Yang, Gilad, Alizadeh, "Practical Rateless Set
//! Reconciliation", SIGCOMM 2024).
//!
//! A [`Sketch`] is linear. The difference of two replicas' sketches has lost all that both hold, so the size of a
//! sketch follows the *difference* of the sets, not their sizes. Any prefix of a sketch is a sketch, and the sum of
//! sketches of disjoint sets is a sketch of their union.
//!
//! A sketch knows only hashes: neither the items behind them nor the range of the hash space that was asked for. The
//! hashes are distinct and pseudo-random (keyed `SipHash` outputs), but the cells come from the network, so nothing
//! here trusts them: decoding any cells ends within bounds and without a panic.
//!
//! All arithmetic is on integers. Two replicas on different platforms must put an item into the same cells, and a
//! floating-point square root is neither in `core` nor equal everywhere.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(test)]
mod tests;

/// One coded symbol: the sum of all items that map to it.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub(crate) struct Cell {
    /// Xor of the item hashes.
    sum: u64,
    /// Xor of their checksums: distinguishes a cell of one item from a cell of several items whose count is ±1.
    check: u32,
    /// Number of items, wrapping. Eight bits suffice: peeling only looks for ±1, and the checksum refuses a wrapped
    /// count that looks like it.
    count: u8,
}

/// The first cells of the infinite sequence of coded symbols of a set.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub(crate) struct Sketch {
    cells: Vec<Cell>,
}

/// Result of decoding a sketch of (ours − theirs), in no particular order. No item is listed twice.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub(crate) struct Difference {
    /// Items that only we hold.
    pub(crate) ours: Vec<u64>,
    /// Items that only they hold.
    pub(crate) theirs: Vec<u64>,
}

/// The sketch has too few cells for the difference, or is not a sketch of (ours − theirs).
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Undecoded;

impl Sketch {
    /// Makes the sketch of the empty set.
    pub(crate) fn new(cells: usize) -> Self {
        Self { cells: vec![Cell::default(); cells] }
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Makes a sketch of which only the counts are known: sufficient for an [`estimate`](Self::estimate).
    pub(crate) fn of_counts(counts: &[u8]) -> Self {
        Self { cells: counts.iter().map(|count| Cell { count: *count, ..Cell::default() }).collect() }
    }

    /// Returns the counts of the cells.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u8> {
        self.cells.iter().map(|cell| cell.count)
    }

    /// Adds an item that is not in the set.
    pub(crate) fn add(&mut self, item: u64) {
        self.apply(item, 1);
    }

    /// Removes an item that is in the set. An item that is not in the set is then counted −1 times.
    pub(crate) fn remove(&mut self, item: u64) {
        self.apply(item, MINUS_ONE);
    }

    /// Adds the items of `other` to the cells that both have. `other` should be at least as long: further cells of
    /// `self` would lack its items.
    pub(crate) fn add_sketch(&mut self, other: &Self) {
        for (cell, other) in self.cells.iter_mut().zip(&other.cells) {
            cell.mix(other.sum, other.check, other.count);
        }
    }

    /// Removes the items of `other`. Keeps only the cells that both have, since the others mean nothing.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.truncate(other.len());
        for (cell, other) in self.cells.iter_mut().zip(&other.cells) {
            cell.mix(other.sum, other.check, other.count.wrapping_neg());
        }
    }

    /// Keeps the first `cells` cells, which are the sketch of that length of the same set.
    pub(crate) fn truncate(&mut self, cells: usize) {
        self.cells.truncate(cells);
    }

    /// Peels a sketch of (ours − theirs). `self` stays unchanged, for [`estimate`](Self::estimate) if this fails.
    ///
    /// Peels at most as often as there are cells, and refuses a repeated item: in an honest sketch every peel empties
    /// for good the cell it began with, and no item comes twice. A sketch without cells is `Undecoded`.
    pub(crate) fn decode(&self) -> Result<Difference, Undecoded> {
        let mut rest = self.clone();
        let mut difference = Difference::default();
        let mut pure: Vec<usize> = (0..rest.len()).filter(|&index| rest.cells[index].is_pure()).collect();
        let mut peels = 0;
        while let Some(index) = pure.pop() {
            let Cell { sum: item, count, .. } = rest.cells[index];
            if !rest.cells[index].is_pure() {
                continue; // Emptied since, by a peel of the same item from another cell.
            }
            peels += 1;
            if peels > rest.len() {
                return Err(Undecoded);
            }
            if count == 1 { &mut difference.ours } else { &mut difference.theirs }.push(item);
            let check = checksum(item);
            for index in Indices::new(item, rest.len()) {
                rest.cells[index].mix(item, check, count.wrapping_neg());
                if rest.cells[index].is_pure() {
                    pure.push(index);
                }
            }
        }
        let complete = !rest.cells.is_empty() && rest.cells.iter().all(|cell| *cell == Cell::default());
        if complete && difference.is_distinct() { Ok(difference) } else { Err(Undecoded) }
    }

    /// Estimates the size of a difference that did not decode from the counts of a sketch of (ours − theirs).
    /// `count_difference` is the number of our items less the number of theirs.
    ///
    /// An item is in cell `j` with probability ρ = 2/(j+2). The count c of a cell therefore has mean Δρ, where Δ is
    /// `count_difference`, and variance dρ(1−ρ), where d is the size of the difference, on whichever side its items
    /// are. Hence d̂ = mean over j ≥ 2 of (c − Δρ)²/(ρ(1−ρ)), that is of (c(j+2) − 2Δ)²/2j, which needs integers only.
    /// Cells 0 and 1 are left out: the first has no variance, the second carries little information.
    ///
    /// The standard deviation is √(2/(cells−2)): 21 % at 46 cells. The result is at least |Δ|, which lifts the mean by
    /// a tenth if all items are on one side. Δ comes from the peer, so the caller must bound its use of the result.
    /// Counts wrap, so a deviation is known modulo 256 only and the value nearest to zero is taken: above about 10,000
    /// the estimate is too low, and at 46 cells it ends near 70,000 however large the difference (unless |Δ| is
    /// larger).
    ///
    /// If `count_difference` is slightly outdated, cell 0, which holds every item, corrects it.
    pub(crate) fn estimate(&self, count_difference: i64) -> u64 {
        let Some(first) = self.cells.first() else { return count_difference.unsigned_abs() };
        // Modulo 256, as counts wrap.
        let stale = first.count.wrapping_sub(count_difference as u8) as i8;
        let count_difference = count_difference.saturating_add(i64::from(stale));

        let mut total: u128 = 0;
        for (j, cell) in (0_u32..).zip(&self.cells).skip(2) {
            // In units of 1/(j+2), so that `wrap` means 256.
            let wrap = 256 * (i128::from(j) + 2);
            let deviation = i128::from(cell.count) * (i128::from(j) + 2) - 2 * i128::from(count_difference);
            let deviation = (deviation + wrap / 2).rem_euclid(wrap) - wrap / 2;
            total += (deviation.unsigned_abs().pow(2) << FRACTION_BITS) / (2 * u128::from(j));
        }
        let terms = self.len().saturating_sub(2).max(1) as u128;
        let mean = (total / terms + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
        u64::try_from(mean).unwrap_or(u64::MAX).max(count_difference.unsigned_abs())
    }

    fn apply(&mut self, item: u64, count: u8) {
        let check = checksum(item);
        for index in Indices::new(item, self.len()) {
            self.cells[index].mix(item, check, count);
        }
    }
}

/// The value −1 of a wrapping count.
const MINUS_ONE: u8 = u8::MAX;

/// Fraction bits of the fixed-point terms of an estimate.
const FRACTION_BITS: u32 = 8;

impl Difference {
    /// If peeling has emptied all cells, an item can repeat only if several items were made to have one another's sum.
    fn is_distinct(&self) -> bool {
        let mut items: Vec<u64> = self.ours.iter().chain(&self.theirs).copied().collect();
        items.sort_unstable();
        items.is_sorted_by(|a, b| a < b)
    }
}

impl Cell {
    /// Encoded size in bytes.
    pub(crate) const LEN: usize = 13;

    /// Adds the fields of another cell.
    fn mix(&mut self, sum: u64, check: u32, count: u8) {
        self.sum ^= sum;
        self.check ^= check;
        self.count = self.count.wrapping_add(count);
    }

    /// Returns true if the cell seems to hold one item of one side. Several items pass with probability 2⁻³².
    fn is_pure(&self) -> bool {
        (self.count == 1 || self.count == MINUS_ONE) && self.check == checksum(self.sum)
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.sum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.check.to_le_bytes());
        bytes[12] = self.count;
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3, count] = *bytes;
        Self {
            sum: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            check: u32::from_le_bytes([c0, c1, c2, c3]),
            count,
        }
    }
}

/// Cells below `len` that an item maps to, in ascending order: cell 0 always, cell `j` with probability 2/(j+2).
///
/// After cell `i`, none of the next x cells is hit with probability (i+1)(i+2)/((i+x+1)(i+x+2)). Section 4.2 of the
/// paper inverts that: with u uniform in (0, 1], the next jump is ⌈(i + 1.5)(1/√u − 1)⌉. Here √u is s/2¹⁶ with an
/// integer s, which is fine enough for tens of thousands of cells and half the work of √u in 32 bits.
struct Indices {
    /// State of a splitmix64 generator, seeded with the item.
    state: u64,
    /// Cell to be returned next.
    index: u64,
    len: u64,
}

impl Indices {
    fn new(item: u64, len: usize) -> Self {
        Self { state: item, index: 0, len: len as u64 }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Iterator for Indices {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.index;
        if index >= self.len {
            return None;
        }
        let s = u64::from(((self.random() >> 32) as u32).isqrt()) + 1; // 1 to 2¹⁶
        // Saturates only past 2⁴⁶ cells, which no sketch has, and still ascends there.
        let jump = (2 * index + 3).saturating_mul((1 << 16) - s).div_ceil(2 * s);
        self.index = index.saturating_add(jump.max(1));
        Some(index as usize)
    }
}

/// Mixes in a way that shares nothing with the generator of [`Indices`] and is far from linear in xor: the checksum of
/// a sum of items does not follow from the sum of their checksums.
fn checksum(item: u64) -> u32 {
    let z = (item ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (z >> 32) as u32
}

/// One byte string with [`Cell::LEN`] bytes per cell, fields in order and little-endian.
impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.cells.iter().flat_map(|cell| cell.to_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Cells)
    }
}

/// Reads a sketch. Memory follows the number of bytes received, not a length that they claim.
struct Cells;

impl Visitor<'_> for Cells {
    type Value = Sketch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a byte string of {} bytes a cell", Cell::LEN)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Sketch, E> {
        let (cells, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(Sketch { cells: cells.iter().map(Cell::from_bytes).collect() })
    }
}
