//! Formats of the wire that a member reads and writes, and its features.
//!
//! They travel with its record, so that everybody knows what may be sent to whom: an upgrade needs no configuration and no day
//! on which all change.

use core::fmt;

use serde::{Deserialize, Serialize};

/// First number of the fields that change the meaning of what they belong to. A node that does not know one refuses the datagram.
pub(super) const MUST: u8 = 0x80;

/// Format of the wire: a generation, which is in the first byte of every datagram, and a minor number.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(u8);

impl Format {
    /// Format 2.0, the first that is kept up.
    pub const FIRST: Self = Self::new(2, 0);
    /// Format 2.1, which no release has.
    #[cfg(feature = "next")]
    pub const NEXT: Self = Self::new(2, 1);

    /// Makes a format of its two numbers, of which the low four bits count.
    pub const fn new(generation: u8, minor: u8) -> Self {
        Self(generation << 4 | minor & 0x0f)
    }

    /// Returns whether whoever reads this format may carry a field of an entry or record along: it knows it, or need not.
    #[cfg_attr(not(feature = "next"), allow(clippy::unused_self, reason = "the first format knows none"))]
    pub(crate) fn may_carry(self, field: u8) -> bool {
        // The first format has no field that must be known.
        #[cfg(feature = "next")]
        if self >= Self::NEXT && field == NEXT_KIND {
            return true;
        }
        field < MUST
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 4, self.0 & 0x0f)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number of the field that format 2.1 adds to records and entries, and of the one that makes an entry of another kind.
#[cfg(feature = "next")]
pub(crate) const NEXT_FIELD: u8 = 0x21;
#[cfg(feature = "next")]
pub(crate) const NEXT_KIND: u8 = 0xa1;

/// Set of features: abilities that all members must have before any of them uses one.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(u32);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// The one feature of format 2.1: entries of a kind that must be understood.
    #[cfg(feature = "next")]
    pub(crate) const KINDS: Self = Self(1);

    /// Makes the set of the features whose bits are set.
    pub const fn of(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns a bit for each feature.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns true if all of `others` are in it.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns true if there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the features in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the features in one or the other.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Formats that a member reads, of which it writes the highest that its peer reads, and its features.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Formats {
    /// Lowest format that it reads.
    pub lowest: Format,
    /// Highest format that it reads and writes.
    pub highest: Format,
    /// Features that it has.
    pub can: Features,
    /// Features that it uses.
    pub uses: Features,
}

impl Formats {
    /// Formats of a member that says nothing of them.
    pub const FIRST: Self =
        Self { lowest: Format::FIRST, highest: Format::FIRST, can: Features::NONE, uses: Features::NONE };

    /// Returns the highest format that both read; none if there is no such.
    pub fn common(&self, other: &Self) -> Option<Format> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }

    /// Returns whether the two can be members of one cluster: they read a common format, and each has the features that the other
    /// uses.
    pub fn is_compatible(&self, other: &Self) -> bool {
        self.common(other).is_some() && self.can.has(other.uses) && other.can.has(self.uses)
    }

    /// Returns whether a correct node can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        self.lowest <= self.highest && self.can.has(self.uses)
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn two_speak_the_highest_that_both_read() {
        let reads = |lowest, highest| Formats {
            lowest: Format::new(2, lowest),
            highest: Format::new(2, highest),
            ..Formats::FIRST
        };
        assert_eq!(reads(0, 3).common(&reads(0, 1)), Some(Format::new(2, 1)));
        assert_eq!(reads(0, 1).common(&reads(2, 3)), None);
        assert_eq!(format!("{} {:?}", Format::FIRST, Format::new(3, 7)), "2.0 3.7");
        assert!(reads(0, 3).is_compatible(&Formats::FIRST) && !reads(1, 3).is_compatible(&Formats::FIRST));
        assert!(Formats::FIRST.is_sound() && !reads(2, 1).is_sound());
    }

    #[test]
    fn whoever_lacks_a_feature_that_is_used_is_not_compatible() {
        let features = |can, uses| Formats { can: Features::of(can), uses: Features::of(uses), ..Formats::FIRST };
        assert!(features(3, 0).is_compatible(&Formats::FIRST));
        assert!(!features(3, 1).is_compatible(&Formats::FIRST) && !Formats::FIRST.is_compatible(&features(3, 1)));
        assert!(features(3, 1).is_compatible(&features(1, 1)) && !features(1, 2).is_sound());
    }
}
