//! Set of numbers held as ranges: the hashes or bytes that are still missing.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Set of numbers, held as ranges that are in order, apart and not adjacent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Returns true if it holds no number.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of ranges.
    pub(crate) const fn pieces(&self) -> usize {
        self.ranges.len()
    }

    /// Returns the ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// Returns true if it holds a number of this range.
    pub(crate) fn meets(&self, range: &RangeInclusive<u64>) -> bool {
        let at = self.ranges.partition_point(|(_, last)| last < range.start());
        !range.is_empty() && self.ranges.get(at).is_some_and(|(first, _)| first <= range.end())
    }

    /// Adds the numbers of a range.
    pub(crate) fn insert(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut first, mut last) = range.into_inner();
        // Those that it meets or touches become one with it.
        let from = self.ranges.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.ranges.partition_point(|(start, _)| *start <= last.saturating_add(1));
        if let [(start, _), ..] = self.ranges[from..to] {
            first = first.min(start);
        }
        if let [.., (_, end)] = self.ranges[from..to] {
            last = last.max(end);
        }
        self.ranges.splice(from..to, [(first, last)]);
    }

    /// Removes the numbers of a range. Returns false, and removes none, if that would leave more than `most` pieces.
    pub(crate) fn remove(&mut self, range: RangeInclusive<u64>, most: usize) -> bool {
        if range.is_empty() {
            return true;
        }
        let (first, last) = range.into_inner();
        let from = self.ranges.partition_point(|(_, end)| *end < first);
        let to = self.ranges.partition_point(|(start, _)| *start <= last);
        let Some(met) = self.ranges.get(from..to).filter(|met| !met.is_empty()) else { return true };
        let before = (met[0].0 < first).then(|| (met[0].0, first - 1));
        let after = (met[met.len() - 1].1 > last).then(|| (last + 1, met[met.len() - 1].1));
        if before.is_some() && after.is_some() && met.len() == 1 && self.ranges.len() >= most {
            return false;
        }
        self.ranges.splice(from..to, before.into_iter().chain(after));
        true
    }
}

impl FromIterator<RangeInclusive<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Numbers near both ends of the space, so that sums at its end are tried as well.
        #[test]
        fn it_is_the_set_of_its_numbers(
            steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_u64..40, 0_u64..12), 0..60)
        ) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for (add, high, start, len) in steps {
                let first = if high { u64::MAX - 39 + start } else { start };
                let range = first..=first.saturating_add(len);
                prop_assert_eq!(set.meets(&range), range.clone().any(|number| model.contains(&number)));
                if add {
                    set.insert(range.clone());
                    model.extend(range);
                } else {
                    prop_assert!(set.remove(range.clone(), usize::MAX));
                    range.for_each(|number| { model.remove(&number); });
                }
                let held: Vec<u64> = set.iter().flatten().collect();
                prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
                prop_assert!(set.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", set);
            }
        }

        #[test]
        fn it_never_falls_into_more_pieces_than_it_may(
            holes in proptest::collection::vec((0_u64..1_000, 0_u64..5), 0..200), most in 1_usize..20
        ) {
            let mut set: RangeSet = [0..=999].into_iter().collect();
            for (first, len) in holes {
                let before = set.clone();
                if !set.remove(first..=first + len, most) {
                    prop_assert_eq!(&set, &before);
                }
                prop_assert!(set.pieces() <= most);
            }
        }
    }

    #[test]
    fn an_empty_range_changes_nothing() {
        let mut set: RangeSet = [3..=7].into_iter().collect();
        let before = set.clone();
        #[allow(clippy::reversed_empty_ranges, reason = "an empty range is what is tried")]
        let empty = 5..=4;
        assert!(!set.meets(&empty));
        set.insert(empty.clone());
        assert!(set.remove(empty, 0));
        assert_eq!(set, before);
    }
}
