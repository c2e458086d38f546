//! Cuts: the point at which two replicas compare what they hold.

use core::time::Duration;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Instant;

/// Largest difference between the clocks of two replicas that compare what ends. Further apart they compare what does not.
pub const CLOCKS_APART: Duration = Duration::from_secs(600);

/// Second that no cut reaches: nothing that ends, or covers something, is compared.
pub(crate) const NEVER: u32 = u32::MAX;

/// Point at which two replicas compare. In whole seconds, so that replicas whose clocks are nearly equal use the same.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Agreed time. What has ended by then is compared only if it is kept as a certificate.
    pub(crate) at: u32,
    /// Certificates that are kept no longer than this are left out: one of the two may have had no room for them.
    pub(crate) kept: u32,
}

impl Cut {
    /// Cut that leaves out everything that ends.
    pub(crate) const LASTING: Self = Self { at: NEVER, kept: NEVER };

    /// Returns the instant after which what is compared ends.
    pub(super) fn at(self) -> Instant {
        instant(self.at)
    }

    /// Returns the instant after which the certificates that are compared end.
    pub(super) fn kept(self) -> Instant {
        instant(self.kept)
    }
}

fn instant(second: u32) -> Instant {
    if second == NEVER { Instant::MAX } else { Instant::from_secs(second.into()) }
}

/// Rounds an instant down to the second of a cut.
pub(crate) fn second(at: Instant) -> u32 {
    if at == Instant::MAX { NEVER } else { u32::try_from(at.as_micros() / 1_000_000).unwrap_or(NEVER).min(NEVER - 1) }
}

impl From<Instant> for Cut {
    fn from(at: Instant) -> Self {
        let at = second(at);
        Self { at, kept: if at == NEVER { NEVER } else { 0 } }
    }
}

/// Twice the time, plus one if the other part follows: at rest there is none, and a summary has as many bytes as without.
impl Serialize for Cut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_more = self.kept > 0;
        let mut parts = serializer.serialize_tuple(2)?;
        parts.serialize_element(&(u64::from(self.at) << 1 | u64::from(has_more)))?;
        if has_more {
            parts.serialize_element(&self.kept)?;
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Cut {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Cut;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a cut")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<Cut, S::Error> {
                let first: u64 = parts.next_element()?.ok_or_else(|| S::Error::invalid_length(0, &self))?;
                let at = u32::try_from(first >> 1).map_err(S::Error::custom)?;
                let kept = if first & 1 == 0 {
                    0
                } else {
                    parts.next_element()?.ok_or_else(|| S::Error::invalid_length(1, &self))?
                };
                Ok(Cut { at, kept })
            }
        }

        deserializer.deserialize_tuple(2, Parts)
    }
}
