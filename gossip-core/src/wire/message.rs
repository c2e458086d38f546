//! Messages in their families, and how they are packed into a byte budget.
//!
//! A message begins with one byte: the number of its family in the high four bits, of its kind in the low four.

use alloc::vec::Vec;

use postcard::Deserializer;
use postcard::de_flavors::Slice;
use serde::Deserialize;
use serde::de::value::EnumAccessDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer};

use super::HEADER;
use super::anti_entropy::Repair;
use super::coordinate::{self, Coordinates};
use super::overlay::Overlay;
use super::path::Path;
use super::pull::{Page, Pull};
use super::rumor::Rumor;
use super::size::encoded_len;
use super::swim::Swim;
use super::trust::Trust;
use super::unicast::Unicast;
use crate::address::Address;
use crate::error::DatagramError;
use crate::update::Format;

/// A message from one node to another. None refers to an earlier message of its datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<A> {
    Swim(Swim<A>),
    Rumor(Rumor<A>),
    Repair(Repair<A>),
    Pull(Pull<A>),
    Trust(Trust),
    Overlay(Overlay<A>),
    /// The message of format 2.1, which no release has.
    #[cfg(feature = "next")]
    Next,
    Path(Path),
    Unicast(Unicast),
    Coordinates(Coordinates),
}

/// Numbers of the families.
const SWIM: u8 = 0;
const RUMOR: u8 = 1;
const REPAIR: u8 = 2;
const PULL: u8 = 3;
const TRUST: u8 = 4;
const OVERLAY: u8 = 5;
const PATH: u8 = 6;
const UNICAST: u8 = 7;
/// Tag of [`Swim::Ack`].
pub(super) const ACK_TAG: u8 = SWIM << 4 | 1;
/// Tags from here on are followed by the length of the message, a varint: those of a later version.
const LATER: u8 = 0x80;
/// Tag of [`Message::Next`].
#[cfg(feature = "next")]
const NEXT_TAG: u8 = 0x81;
/// Of these, those that a node must understand: it refuses the datagram if it does not. The others it skips.
const MUST: u8 = 0x40;

impl<A> From<Swim<A>> for Message<A> {
    fn from(message: Swim<A>) -> Self {
        Self::Swim(message)
    }
}

impl<A> From<Rumor<A>> for Message<A> {
    fn from(message: Rumor<A>) -> Self {
        Self::Rumor(message)
    }
}

impl<A> From<Repair<A>> for Message<A> {
    fn from(message: Repair<A>) -> Self {
        Self::Repair(message)
    }
}

impl<A> From<Pull<A>> for Message<A> {
    fn from(message: Pull<A>) -> Self {
        Self::Pull(message)
    }
}

impl<A> From<Trust> for Message<A> {
    fn from(message: Trust) -> Self {
        Self::Trust(message)
    }
}

impl<A> From<Overlay<A>> for Message<A> {
    fn from(message: Overlay<A>) -> Self {
        Self::Overlay(message)
    }
}

impl<A> From<Path> for Message<A> {
    fn from(message: Path) -> Self {
        Self::Path(message)
    }
}

impl<A> From<Unicast> for Message<A> {
    fn from(message: Unicast) -> Self {
        Self::Unicast(message)
    }
}

impl<A> From<Coordinates> for Message<A> {
    fn from(message: Coordinates) -> Self {
        Self::Coordinates(message)
    }
}

impl<A: Address> Message<A> {
    /// Writes the message to the beginning of `buffer` and returns its length; `None` if it does not fit.
    pub(crate) fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let (family, written) = match self {
            Self::Swim(message) => (SWIM, postcard::to_slice(message, buffer)),
            Self::Rumor(message) => (RUMOR, postcard::to_slice(message, buffer)),
            Self::Repair(message) => (REPAIR, postcard::to_slice(message, buffer)),
            Self::Pull(message) => (PULL, postcard::to_slice(message, buffer)),
            Self::Trust(message) => (TRUST, postcard::to_slice(message, buffer)),
            Self::Overlay(message) => (OVERLAY, postcard::to_slice(message, buffer)),
            #[cfg(feature = "next")]
            Self::Next => {
                let message = [NEXT_TAG, 1, 7];
                buffer.get_mut(..message.len())?.copy_from_slice(&message);
                return Some(message.len());
            }
            Self::Path(message) => (PATH, postcard::to_slice(message, buffer)),
            Self::Unicast(message) => (UNICAST, postcard::to_slice(message, buffer)),
            Self::Coordinates(message) => return message.encode(buffer),
        };
        let written = written.ok()?;
        // A family has at most 16 kinds: the number of the variant takes the low four bits.
        *written.first_mut()? |= family << 4;
        Some(written.len())
    }

    /// Reads the message at the beginning of `bytes`, and returns what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (tag, rest) = bytes.split_first()?;
        let kind = tag & 0x0f;
        match tag >> 4 {
            SWIM => variant(kind, rest).map(|(message, rest)| (Self::Swim(message), rest)),
            RUMOR => variant(kind, rest).map(|(message, rest)| (Self::Rumor(message), rest)),
            REPAIR => variant(kind, rest).map(|(message, rest)| (Self::Repair(message), rest)),
            PULL => variant(kind, rest).map(|(message, rest)| (Self::Pull(message), rest)),
            TRUST => variant(kind, rest).map(|(message, rest)| (Self::Trust(message), rest)),
            OVERLAY => variant(kind, rest).map(|(message, rest)| (Self::Overlay(message), rest)),
            PATH => variant(kind, rest).map(|(message, rest)| (Self::Path(message), rest)),
            UNICAST => variant(kind, rest).map(|(message, rest)| (Self::Unicast(message), rest)),
            _ => None,
        }
    }

    /// Length on the wire.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Swim(message) => encoded_len(message),
            Self::Rumor(message) => encoded_len(message),
            Self::Repair(message) => encoded_len(message),
            Self::Pull(message) => encoded_len(message),
            Self::Trust(message) => encoded_len(message),
            Self::Overlay(message) => encoded_len(message),
            #[cfg(feature = "next")]
            Self::Next => 3,
            Self::Path(message) => encoded_len(message),
            Self::Unicast(message) => encoded_len(message),
            Self::Coordinates(message) => message.encoded_len(),
        }
    }

    /// Returns whether a correct node can have sent this: what decodes may still be nonsense.
    fn is_sound(&self) -> bool {
        match self {
            Self::Swim(message) => message.is_sound(),
            Self::Rumor(message) => message.is_sound(),
            Self::Repair(message) => message.is_sound(),
            Self::Pull(message) => message.is_sound(),
            // A coordinate that is not sound is not decoded.
            Self::Trust(_) | Self::Unicast(_) | Self::Coordinates(_) => true,
            Self::Overlay(message) => message.is_sound(),
            #[cfg(feature = "next")]
            Self::Next => true,
            Self::Path(message) => message.is_sound(),
        }
    }
}

impl<A> Message<A> {
    /// Returns the first field of an update in it that whoever reads this format has to know and does not.
    fn beyond(&self, reads: Format) -> Option<u8> {
        match self {
            Self::Rumor(Rumor::Mail(item)) => item.beyond(reads),
            Self::Rumor(Rumor::Round(round)) => round.items.iter().find_map(|(_, item)| item.beyond(reads)),
            Self::Overlay(Overlay::Flood { items, .. }) => items.iter().find_map(|item| item.beyond(reads)),
            Self::Repair(Repair::Updates(updates)) => updates.iter().find_map(|update| update.beyond(reads)),
            Self::Repair(Repair::Large(large)) => large.iter().find_map(|large| large.beyond(reads)),
            Self::Pull(Pull::Page(Page { updates, large, .. })) => {
                let updates = updates.iter().find_map(|update| update.beyond(reads));
                updates.or_else(|| large.iter().find_map(|large| large.beyond(reads)))
            }
            _ => None,
        }
    }

    /// Cost of looking at the message: one, and one for each update, range or key in it.
    pub(crate) fn work(&self) -> usize {
        1 + match self {
            Self::Swim(_) | Self::Trust(_) | Self::Path(_) => 0,
            Self::Rumor(message) => message.work(),
            Self::Repair(message) => message.work(),
            Self::Pull(message) => message.work(),
            Self::Overlay(message) => message.work(),
            #[cfg(feature = "next")]
            Self::Next => 0,
            Self::Unicast(message) => message.work(),
            Self::Coordinates(message) => message.others.len(),
        }
    }
}

/// Decodes the fields of variant `kind` of the enum `T`.
fn variant<'de, T: Deserialize<'de>>(kind: u8, fields: &'de [u8]) -> Option<(T, &'de [u8])> {
    let mut deserializer = Deserializer::from_bytes(fields);
    let variant = Variant { kind, fields: &mut deserializer };
    let message = T::deserialize(EnumAccessDeserializer::new(variant)).ok()?;
    Some((message, deserializer.finalize().ok()?))
}

/// An enum whose variant is known from elsewhere.
struct Variant<'a, 'de> {
    kind: u8,
    fields: &'a mut Deserializer<'de, Slice<'de>>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = postcard::Error;
    type Variant = &'a mut Deserializer<'de, Slice<'de>>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> postcard::Result<(V::Value, Self::Variant)> {
        let kind = IntoDeserializer::<postcard::Error>::into_deserializer(u32::from(self.kind));
        Ok((seed.deserialize(kind)?, self.fields))
    }
}

/// Packs messages into a buffer, each whole or not at all.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
    reserved: usize,
    narrow: bool,
}

impl<'a> Writer<'a> {
    /// Writer over the messages' part of a datagram.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0, reserved: 0, narrow: false }
    }

    /// Writer for a path that carries less than other paths: what else would fit into one datagram may not fit into this one.
    pub(crate) fn narrow(buffer: &'a mut [u8]) -> Self {
        Self { narrow: true, ..Self::new(buffer) }
    }

    /// Returns the room of the empty datagram if the path is narrow.
    pub(crate) fn narrow_room(&self) -> Option<usize> {
        self.narrow.then_some(self.buffer.len() - self.reserved)
    }

    /// Appends a message; `false`, and nothing is changed, if it does not fit.
    pub(crate) fn push<A: Address>(&mut self, message: &Message<A>) -> bool {
        let end = self.buffer.len() - self.reserved;
        let len = message.encode(&mut self.buffer[self.used..end]);
        self.used += len.unwrap_or(0);
        len.is_some()
    }

    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.reserved - self.used
    }

    /// Keeps the last bytes of the room for what is pushed after another call with 0.
    pub(crate) const fn reserve(&mut self, bytes: usize) {
        self.reserved = bytes;
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// Reads all messages of a datagram into `messages`, or none. `reads`: the highest format that is read here.
///
/// # Errors
/// [`Malformed`](DatagramError::Malformed) at what does not parse, and
/// [`NotUnderstood`](DatagramError::NotUnderstood) at a message or a field of a later version that must be understood.
pub(crate) fn read<A: Address>(
    body: &[u8],
    messages: &mut Vec<Message<A>>,
    reads: Format,
) -> Result<(), DatagramError> {
    messages.clear();
    let mut rest = body;
    while let Some(tag) = rest.first() {
        let offset = HEADER + body.len() - rest.len();
        let refused = if *tag >= LATER {
            match split(&rest[1..]) {
                #[cfg(feature = "next")]
                Some((_, after)) if *tag == NEXT_TAG && reads >= Format::NEXT => {
                    messages.push(Message::Next);
                    rest = after;
                    continue;
                }
                Some((body, after)) if *tag == coordinate::TAG => match Coordinates::decode(body) {
                    Some(message) => {
                        messages.push(message.into());
                        rest = after;
                        continue;
                    }
                    None => DatagramError::Malformed { offset },
                },
                Some((_, after)) if tag & MUST == 0 => {
                    rest = after;
                    continue;
                }
                Some(_) => DatagramError::NotUnderstood { tag: *tag },
                None => DatagramError::Malformed { offset },
            }
        } else {
            match Message::decode(rest) {
                Some((message, after)) if message.is_sound() => match message.beyond(reads) {
                    None => {
                        messages.push(message);
                        rest = after;
                        continue;
                    }
                    Some(field) => DatagramError::NotUnderstood { tag: field },
                },
                _ => DatagramError::Malformed { offset },
            }
        };
        messages.clear();
        return Err(refused);
    }
    Ok(())
}

/// Splits off a message that begins with its length.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = postcard::take_from_bytes::<u16>(bytes).ok()?;
    rest.split_at_checked(length.into())
}
