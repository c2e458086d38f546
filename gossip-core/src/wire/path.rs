//! Messages by which the lengths are compared that paths carry.
//!
//! ```text
//! node ── Echo (short), Echo (long) ──▶ peer
//! node ◀── Echoed, Echoed ── peer             each as long as the question
//! node ── Narrow ──▶ peer                     only the short ones come back, again and again
//! ```

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::config::MIN_DATAGRAM;

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Path {
    /// Asks for the same back.
    Echo(Echo),
    /// Answers an echo.
    Echoed(Echo),
    /// Asks for datagrams of at most this length.
    Narrow { longest: u16 },
}

/// Content of an echo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Echo {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) seq: u32,
    /// Zeros that make the datagram as long as wanted.
    #[serde(with = "serde_bytes")]
    pub(crate) padding: Vec<u8>,
}

impl Path {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Narrow { longest } => usize::from(*longest) >= MIN_DATAGRAM,
            Self::Echo(_) | Self::Echoed(_) => true,
        }
    }
}

impl Echo {
    /// Makes an echo that fills `room` bytes of messages, if it has a padding at all.
    pub(crate) fn filling(seq: u32, room: usize) -> Self {
        // Tag, number, and the length of the padding: a varint.
        let padded = |length: usize| room.saturating_sub(5 + length);
        let length = (1..=3).find(|length| padded(*length) < 1 << (7 * length)).unwrap_or(3);
        Self { seq, padding: alloc::vec![0; padded(length)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn an_echo_fills_its_room() {
        for room in (6..300).chain(16_380..16_400).chain([65_000]) {
            let len = Message::<u16>::from(Path::Echo(Echo::filling(7, room))).encoded_len();
            // Where the length of the padding needs one byte more, one is left.
            assert!(len == room || len + 1 == room, "{len} {room}");
        }
        assert!(!Path::Narrow { longest: 511 }.is_sound() && Path::Narrow { longest: 512 }.is_sound());
    }
}
