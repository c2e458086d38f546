//! The index of a replica by item hash: what anti-entropy asks of a set, answered without walking the set.
//!
//! Knows hashes, in order, and a small value for each (the slot of the item). Does not know what an item is, nor the
//! cut at which the set is looked at: a caller takes the items past their time out of the totals, by [`mark`] from the
//! fingerprint and by [`Sketch::remove`] from a sketch.
//!
//! The hash space is divided into **leaves** of some 1,000 items, each with the sketch and the number of its items. A
//! coarser range is the sum of its leaves, for sketches are linear; only the items at its two edges are looked at one
//! by one. Leaves are split and merged one at a time, as in linear hashing (Litwin 1980), so that no update pays for
//! more than one leaf, and their number follows the number of items with no jump at powers of two.
//!
//! Cost: 16 bytes · [`CELLS`] a leaf, 1.5 bytes an item; nothing below [`LEAF_ITEMS`] items, where a sketch is made
//! from the items. One update in about 1,000 splits a leaf and pays for some 1,000.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::sketch::Sketch;

#[cfg(test)]
mod tests;

/// Cells of a leaf's sketch. More than a datagram of 1,200 bytes can carry; a longer sketch can be had but is made item
/// by item, so whoever has larger datagrams should still not ask for more.
pub(crate) const CELLS: usize = 92;

/// A leaf is added when that would leave so many items to each of them, on average.
pub(crate) const LEAF_ITEMS: usize = 1_024;

/// A leaf is taken away when there are fewer than this to each, on average. A quarter less, so that a set whose size
/// swings about a boundary does not split and merge at every swing.
const SPARSE_LEAF_ITEMS: usize = LEAF_ITEMS / 4 * 3;

/// An inclusive, hence never empty, range of the hash space.
///
/// Encoded as the bits that tell it from the whole space: `first` without its trailing zeros and `last` without its
/// trailing ones, each a mirrored integer, which a variable-length encoding makes short. The whole space takes two bytes
/// with postcard, a hundredth of it four to six, and the worst of ranges twenty.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
#[serde(into = "(u64, u64)", try_from = "(u64, u64)")]
pub(crate) struct Range {
    first: u64,
    last: u64,
}

impl Range {
    /// The whole hash space.
    pub(crate) const ALL: Self = Self { first: 0, last: u64::MAX };

    /// `None` if that would be empty.
    pub(crate) const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// The smallest hash in it.
    pub(crate) const fn first(self) -> u64 {
        self.first
    }

    /// The largest hash in it.
    pub(crate) const fn last(self) -> u64 {
        self.last
    }

    pub(crate) const fn contains(self, hash: u64) -> bool {
        self.first <= hash && hash <= self.last
    }

    /// Divides it into `parts` parts, in order. No more than there are hashes in it, and at least one.
    ///
    /// They are equal to within a hash and one part in 128, not exactly: the bounds between them are rounded to what
    /// keeps their encoding short.
    pub(crate) fn split(self, parts: u64) -> impl Iterator<Item = Self> {
        let width = u128::from(self.last - self.first) + 1;
        let parts = u128::from(parts).clamp(1, width);
        let grid = 1 << (width / parts).ilog2().saturating_sub(GRID_BITS);
        // Where part `i` begins. Strictly ascending, since a part is at least as wide as the grid.
        let bound = move |i: u128| match i {
            0 => u128::from(self.first),
            _ if i == parts => u128::from(self.last) + 1,
            _ => (u128::from(self.first) + width * i / parts) / grid * grid,
        };
        (0..parts).map(move |i| Self { first: bound(i) as u64, last: (bound(i + 1) - 1) as u64 })
    }

    /// The two halves, or `None` of a single hash.
    pub(crate) const fn halves(self) -> Option<[Self; 2]> {
        if self.first == self.last {
            return None;
        }
        let middle = self.first + (self.last - self.first) / 2;
        Some([Self { first: self.first, last: middle }, Self { first: middle + 1, last: self.last }])
    }
}

/// Factor by which the grid of bounds between the parts of [`Range::split`] is finer than the parts.
const GRID_BITS: u32 = 8;

impl From<Range> for RangeInclusive<u64> {
    fn from(range: Range) -> Self {
        range.first..=range.last
    }
}

impl From<Range> for (u64, u64) {
    fn from(range: Range) -> Self {
        (range.first.reverse_bits(), (!range.last).reverse_bits())
    }
}

impl TryFrom<(u64, u64)> for Range {
    type Error = &'static str;

    fn try_from((first, last): (u64, u64)) -> Result<Self, Self::Error> {
        Self::new(first.reverse_bits(), !last.reverse_bits()).ok_or("an empty range of hashes")
    }
}

/// Term of an item hash in [`Hashes::fingerprint`]. Mixed, so that sums are no plainer than the hashes.
pub(crate) const fn mark(hash: u64) -> u64 {
    let z = (hash ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(0x3c79_ac49_2ba7_b653);
    let z = (z ^ (z >> 33)).wrapping_mul(0x1c69_b3f7_4ac4_ae35);
    z ^ (z >> 27)
}

/// A map from item hash to `V`, in hash order, with its sketches.
#[derive(Clone, Debug)]
pub(crate) struct Hashes<V> {
    items: BTreeMap<u64, V>,
    /// Empty, or covering the hash space between them. Of n leaves with 2^l ≤ n < 2^(l+1), leaf `m` holds the hashes
    /// whose leading bits, mirrored, are the number `m`: the leading l+1 bits if that names a leaf, otherwise l. So a
    /// new leaf goes to the end, and takes half of the leaf whose number is its own without the highest bit.
    leaves: Vec<Leaf>,
    fingerprint: u64,
    /// Some of those that came last, each in the place that its last bits name; 0 is none. What is offered has mostly
    /// come a moment ago, and a way down the tree is eight cache lines where this is one.
    recent: Vec<u64>,
}

/// Number of recent hashes that are looked up at once, if there are as many.
const RECENT: usize = 256;

/// The items of one part of the hash space.
#[derive(Clone, Debug)]
struct Leaf {
    count: u64,
    sketch: Sketch,
}

/// A piece of a range, see [`Hashes::pieces`].
enum Piece<'a> {
    Leaf(&'a Leaf),
    Edge(Range),
}

impl<V: Copy> Hashes<V> {
    pub(crate) const fn new() -> Self {
        Self { items: BTreeMap::new(), leaves: Vec::new(), fingerprint: 0, recent: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get(&self, hash: u64) -> Option<V> {
        self.items.get(&hash).copied()
    }

    pub(crate) fn contains(&self, hash: u64) -> bool {
        let recent = self.recent.get(hash as usize % RECENT).is_some_and(|last| *last == hash && hash != 0);
        recent || self.items.contains_key(&hash)
    }

    /// Returns the value that was there before.
    pub(crate) fn insert(&mut self, hash: u64, value: V) -> Option<V> {
        let previous = self.items.insert(hash, value);
        if previous.is_none() {
            self.fingerprint = self.fingerprint.wrapping_add(mark(hash));
            if self.items.len() == RECENT {
                self.recent = vec![0; RECENT];
            }
            if let Some(last) = self.recent.get_mut(hash as usize % RECENT) {
                *last = hash;
            }
            if let Some(leaf) = self.leaf_mut(hash) {
                leaf.count += 1;
                leaf.sketch.add(hash);
            }
            if self.items.len() >= (self.leaves.len() + 1) * LEAF_ITEMS {
                self.split_leaf();
            }
        }
        previous
    }

    /// Returns the value that was there.
    pub(crate) fn remove(&mut self, hash: u64) -> Option<V> {
        let previous = self.items.remove(&hash);
        if previous.is_some() {
            self.fingerprint = self.fingerprint.wrapping_sub(mark(hash));
            if let Some(last) = self.recent.get_mut(hash as usize % RECENT).filter(|last| **last == hash) {
                *last = 0;
            }
            if let Some(leaf) = self.leaf_mut(hash) {
                leaf.count -= 1;
                leaf.sketch.remove(hash);
            }
            if self.items.len() < self.leaves.len() * SPARSE_LEAF_ITEMS {
                self.merge_leaf();
            }
        }
        previous
    }

    /// The items of a range, in the order of their hashes.
    pub(crate) fn iter_range(&self, range: Range) -> impl Iterator<Item = (u64, V)> {
        self.items.range(range.first..=range.last).map(|(&hash, &value)| (hash, value))
    }

    /// Returns the wrapping sum of the [`mark`]s of all hashes. Sets that differ by accident have different sums. A
    /// peer that knows the hash key could make two sets agree, which gains it no more than not answering.
    pub(crate) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The number of items in a range.
    pub(crate) fn count(&self, range: Range) -> u64 {
        self.pieces(range)
            .map(|piece| match piece {
                Piece::Leaf(leaf) => leaf.count,
                Piece::Edge(edge) => self.iter_range(edge).count() as u64,
            })
            .sum()
    }

    /// The sketch of the items in a range. Walks all of them if there are to be more than [`CELLS`] cells.
    pub(crate) fn sketch(&self, range: Range, cells: usize) -> Sketch {
        let mut sketch = Sketch::new(cells);
        if cells > CELLS {
            self.add_items(range, &mut sketch);
            return sketch;
        }
        for piece in self.pieces(range) {
            match piece {
                Piece::Leaf(leaf) => sketch.add_sketch(&leaf.sketch),
                Piece::Edge(edge) => {
                    self.add_items(edge, &mut sketch);
                }
            }
        }
        sketch
    }

    /// Adds the items of a range, says how many.
    fn add_items(&self, range: Range, sketch: &mut Sketch) -> u64 {
        let mut count = 0;
        for (hash, _) in self.iter_range(range) {
            sketch.add(hash);
            count += 1;
        }
        count
    }

    /// Divides a range, in order, into whole leaves and what is less than one.
    fn pieces(&self, range: Range) -> impl Iterator<Item = Piece<'_>> {
        let mut next = Some(range.first);
        core::iter::from_fn(move || {
            let first = next?;
            let Some(number) = self.leaf_number(first) else {
                next = None;
                return Some(Piece::Edge(range));
            };
            let leaf = self.leaf_range(number);
            next = if leaf.last < range.last { Some(leaf.last + 1) } else { None };
            Some(if first == leaf.first && leaf.last <= range.last {
                Piece::Leaf(&self.leaves[number])
            } else {
                Piece::Edge(Range { first, last: leaf.last.min(range.last) })
            })
        })
    }

    fn leaf_mut(&mut self, hash: u64) -> Option<&mut Leaf> {
        self.leaf_number(hash).map(|number| &mut self.leaves[number])
    }

    /// The number of the leaf that a hash belongs to. `None` if there are no leaves.
    fn leaf_number(&self, hash: u64) -> Option<usize> {
        let bits = self.leaves.len().checked_ilog2()?;
        // What a smaller `usize` cuts off, the masks below cut off as well.
        let mirrored = hash.reverse_bits() as usize;
        let number = mirrored & ((2 << bits) - 1);
        Some(if number < self.leaves.len() { number } else { mirrored & ((1 << bits) - 1) })
    }

    /// The hashes that belong to leaf `number`, which exists.
    fn leaf_range(&self, number: usize) -> Range {
        let bits = self.leaves.len().ilog2();
        // Split, and this the lower half. (An upper half begins in the middle of what `bits` bits name, and ends there.)
        let bits = bits + u32::from(number + (1 << bits) < self.leaves.len());
        let first = (number as u64).reverse_bits();
        Range { first, last: first | (u64::MAX >> bits) }
    }

    /// Adds a leaf.
    fn split_leaf(&mut self) {
        let number = self.leaves.len();
        // In place before it is filled, since its range depends on how many leaves there are.
        self.leaves.push(Leaf { count: 0, sketch: Sketch::new(0) });
        let mut sketch = Sketch::new(CELLS);
        let count = self.add_items(self.leaf_range(number), &mut sketch);
        if let Some(sibling) = sibling(number) {
            self.leaves[sibling].count -= count;
            self.leaves[sibling].sketch.subtract(&sketch);
        }
        self.leaves[number] = Leaf { count, sketch };
    }

    /// Takes away the leaf that was added last.
    fn merge_leaf(&mut self) {
        let Some(leaf) = self.leaves.pop() else { return };
        if let Some(sibling) = sibling(self.leaves.len()) {
            self.leaves[sibling].count += leaf.count;
            self.leaves[sibling].sketch.add_sketch(&leaf.sketch);
        }
    }
}

impl<V: Copy> FromIterator<(u64, V)> for Hashes<V> {
    /// Makes the same as inserting them one after the other, of hashes that are all different.
    fn from_iter<I: IntoIterator<Item = (u64, V)>>(items: I) -> Self {
        let items: BTreeMap<u64, V> = items.into_iter().collect();
        let mut made = Self::new();
        made.leaves = vec![Leaf { count: 0, sketch: Sketch::new(CELLS) }; items.len() / LEAF_ITEMS];
        made.recent = vec![0; if items.len() < RECENT { 0 } else { RECENT }];
        for hash in items.keys() {
            made.fingerprint = made.fingerprint.wrapping_add(mark(*hash));
            if let Some(leaf) = made.leaf_mut(*hash) {
                leaf.count += 1;
                leaf.sketch.add(*hash);
            }
        }
        Self { items, ..made }
    }
}

/// The leaf that leaf `number` was split from, and is merged into. `None` of the first.
fn sibling(number: usize) -> Option<usize> {
    number.checked_ilog2().map(|highest| number & !(1 << highest))
}
