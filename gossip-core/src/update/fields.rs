//! Fields of a record or an entry, by number: what a later version adds to them.
//!
//! A node carries fields that it does not know along, unchanged: they are in the digest of the item as they came, so that nodes of
//! different versions agree on the hash of what they both hold. Only those from [`MUST`](super::formats::MUST) on may not be carried blindly.
//!
//! Encoding: number (1 byte), length (varint), content; the numbers ascend.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::formats::Format;

/// Longest fields that are carried along unknown, in bytes.
pub(crate) const MAX_UNKNOWN: usize = 256;

/// Appends a field.
pub(super) fn push(bytes: &mut Vec<u8>, number: u8, content: &[u8]) {
    bytes.push(number);
    // A field is shorter than 64 KiB: what holds it fits a datagram.
    let mut rest = content.len();
    while rest > 0x7f {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend(content);
}

/// Reads fields one after the other. None after the last; an error for bytes that are no fields, or not in order.
pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), NoFields>> {
    let (mut rest, mut last) = (bytes, None);
    core::iter::from_fn(move || {
        let (number, after) = rest.split_first()?;
        let field = postcard::take_from_bytes::<u16>(after).ok().and_then(|(length, after)| {
            let canonical =
                rest.len() - 1 - after.len() == 1 + usize::from(length > 0x7f) + usize::from(length > 0x3fff);
            let content = after.split_at_checked(length.into())?;
            (last < Some(*number) && canonical).then_some(content)
        });
        let Some((content, after)) = field else {
            rest = &[];
            return Some(Err(NoFields));
        };
        (rest, last) = (after, Some(*number));
        Some(Ok((*number, content)))
    })
}

/// Error: these bytes are no fields.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) struct NoFields;

impl fmt::Display for NoFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes that are no fields, each a number above the last, a length and as many bytes")
    }
}

/// Fields of an entry, none of which this version knows. Clones share them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Extra(Arc<Box<[u8]>>);

impl Extra {
    /// Takes encoded fields. None if there are none, too many bytes, or no fields.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let sound = (1..=MAX_UNKNOWN).contains(&bytes.len()) && read(bytes).all(|field| field.is_ok());
        sound.then(|| Self(Arc::new(bytes.into())))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the first field that whoever reads this format has to know and does not.
    pub(super) fn beyond(&self, reads: Format) -> Option<u8> {
        read(self.bytes()).filter_map(Result::ok).map(|(number, _)| number).find(|number| !reads.may_carry(*number))
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(read(self.bytes()).filter_map(Result::ok)).finish()
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Self::of(&bytes).ok_or_else(|| D::Error::custom(NoFields))
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn fields(pairs: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        pairs.iter().for_each(|(number, content)| push(&mut bytes, *number, content));
        bytes
    }

    #[test]
    fn what_is_pushed_is_read_in_order() {
        let long = [7; 200];
        let pairs: [(u8, &[u8]); 3] = [(1, b"a"), (2, b""), (200, &long)];
        let bytes = fields(&pairs);
        assert_eq!(read(&bytes).collect::<Result<Vec<_>, _>>().unwrap(), pairs);
        assert_eq!(read(&[]).count(), 0);
    }

    #[test]
    fn what_is_no_fields_is_refused() {
        let bad = [&[1][..], &[1, 2, 0], &[1, 0x80], &[2, 0, 1, 0], &[1, 0, 1, 0], &[1, 0x81, 0, 9]];
        for bytes in bad {
            assert!(read(bytes).any(|field| field.is_err()), "{bytes:?}");
            assert_eq!(Extra::of(bytes), None, "{bytes:?}");
        }
        assert_eq!(Extra::of(&[]), None, "none are not written");
        assert!(Extra::of(&fields(&[(1, &[0; MAX_UNKNOWN - 3])])).is_some());
        assert_eq!(Extra::of(&fields(&[(1, &[0; MAX_UNKNOWN - 2])])), None);
    }

    #[test]
    fn the_first_that_must_be_known_is_found() {
        let must = |pairs: &[(u8, &[u8])]| Extra::of(&fields(pairs)).unwrap().beyond(Format::FIRST);
        assert_eq!(must(&[(1, b""), (0x7f, b"")]), None);
        assert_eq!(must(&[(1, b""), (0x81, b""), (0x82, b"")]), Some(0x81));
        assert_eq!(format!("{:?}", Extra::of(&fields(&[(3, b"a")])).unwrap()), "{3: [97]}");
    }
}
