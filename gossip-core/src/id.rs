//! Node ids. Knows nothing of addresses.

use core::fmt;
use core::hash::Hasher;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip::SipHasher24;

/// A node's identity: 64 bits, unique in the cluster, stable across restarts and changes of address.
///
/// Draw it at random once and keep it, or derive it from a name that is unique in the cluster. Its text form has 16 hex
/// digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// Makes the id with this number.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Derives an id from a name: the same on every platform and in every version.
    pub fn from_name(name: &str) -> Self {
        let mut hasher = SipHasher24::new_with_keys(0x6e6f_6465, 0x6964);
        hasher.write(name.as_bytes());
        Self(hasher.finish())
    }

    /// Returns the id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not a [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 16 hex digits, this text has {length} bytes or other characters")]
pub struct ParseNodeIdError {
    length: usize,
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ParseNodeIdError { length: text.len() };
        // `from_str_radix` accepts a sign, which an id does not have.
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| error)
    }
}

/// Text in human-readable formats; eight bytes on the wire, where a varint would take ten for a random number.
impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.to_le_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = alloc::string::String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 8]>::deserialize(deserializer).map(|bytes| Self(u64::from_le_bytes(bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_round_trips_and_junk_is_refused() {
        let id = NodeId::new(0x0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for junk in ["", "123", "+123456789abcdef", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(junk.parse::<NodeId>().is_err(), "{junk}");
        }
    }

    #[test]
    fn a_name_gives_the_same_id_for_ever() {
        assert_eq!(NodeId::from_name("db-1").to_string(), "081fc7a7a5063f31");
        assert_ne!(NodeId::from_name("db-1"), NodeId::from_name("db-2"));
    }
}
