//! Network coordinates, which ride on pings and their acks.
//!
//! ```text
//! prober ── Ping, Coordinates (asks) ──▶ target
//! prober ◀── Ack, Coordinates ── target           (no longer than the question)
//! ```
//!
//! A node that does not know the message skips it.

use alloc::vec::Vec;

use crate::coordinate::{Coordinate, PACKED, Packed};
use crate::id::NodeId;

/// Tag of the message, which is followed by its length.
pub(super) const TAG: u8 = 0x80;
/// Bit of the first byte that says that the sender wants the receiver's coordinate.
const ASKS: u8 = 0x80;
/// Length of the coordinate of another member, with its id.
const OTHER: usize = 8 + PACKED;

/// Coordinate of the sender, and of members that it has heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinates {
    /// True if the sender wants the receiver's in return.
    pub(crate) asks: bool,
    pub(crate) own: Packed,
    pub(crate) others: Vec<(NodeId, Packed)>,
}

impl Coordinates {
    /// Most coordinates of others in a message.
    pub(crate) const MOST: usize = 8;

    fn body_len(&self) -> usize {
        PACKED + OTHER * self.others.len()
    }

    pub(super) fn encoded_len(&self) -> usize {
        let body = self.body_len();
        1 + if body < 0x80 { 1 } else { 2 } + body
    }

    /// Writes the message to the beginning of `buffer` and returns its length; `None` if it does not fit.
    pub(super) fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let (tag, rest) = buffer.split_first_mut()?;
        *tag = TAG;
        let length = u16::try_from(self.body_len()).ok()?;
        let head = postcard::to_slice(&length, rest).ok()?.len();
        let body = rest.get_mut(head..)?.get_mut(..self.body_len())?;
        let (own, others) = body.split_at_mut(PACKED);
        own.copy_from_slice(&self.own);
        own[0] |= if self.asks { ASKS } else { 0 };
        for (place, (id, coordinate)) in others.chunks_exact_mut(OTHER).zip(&self.others) {
            let (head, tail) = place.split_at_mut(8);
            head.copy_from_slice(&id.get().to_le_bytes());
            tail.copy_from_slice(coordinate);
        }
        Some(1 + head + self.body_len())
    }

    /// Reads what follows tag and length. None if no correct node writes it.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let (own, others) = body.split_first_chunk::<PACKED>()?;
        let mut own = *own;
        let asks = own[0] & ASKS != 0;
        own[0] &= !ASKS;
        let places = others.chunks_exact(OTHER);
        let whole = places.remainder().is_empty() && places.len() <= Self::MOST;
        let read = |place: &[u8]| {
            let (id, coordinate) = place.split_first_chunk::<8>()?;
            let coordinate = Packed::try_from(coordinate).ok()?;
            Coordinate::unpack(&coordinate)?;
            Some((NodeId::new(u64::from_le_bytes(*id)), coordinate))
        };
        let others = whole.then(|| places.map(read).collect::<Option<Vec<_>>>()).flatten()?;
        Coordinate::unpack(&own)?;
        Some(Self { asks, own, others })
    }
}
