//! Length of what is sent.

use postcard::ser_flavors::Size;
use serde::Serialize;

/// Length of a value on the wire.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    // The size flavor cannot run out of room, and none of our types fails to serialize.
    postcard::serialize_with_flavor(value, Size::default()).unwrap_or(usize::MAX)
}
