//! Bytes on the wire: the header, the messages, the trailer. Knows what a datagram says, not what it means.
//!
//! ```text
//! offset  0              1     2        10     11      15          end − 4, or − 8
//!         version, form  hint  sender   check  clock   messages …  trailer
//! bytes   1              1     8        1      4                   4, or 8 if the whole is over 64 bytes
//! ```
//! All integers of the header are little endian. The trailer is a SipHash of everything before it, keyed by the
//! cluster's label: it finds damage, it does not stop a forger. Four bytes are enough for a ping; what carries more
//! than that has eight, since in a large cluster with a bad network some damaged bodies a year would pass four.
//!
//! Two more forms save bytes or add a seal:
//!
//! - *Bare ack*: an ack and nothing else names no sender. Whoever has sent the ping knows whom: the trailer covers the
//!   sender's id all the same.
//! - *Sealed*: the number of the key and a nonce of 24 bytes stand before the messages, an authentication tag of 16 in
//!   the place of the trailer.

mod anti_entropy;
mod message;
mod overlay;
mod pull;
mod rumor;
mod size;
mod sound;
mod swim;
mod trust;

use core::hash::Hasher;
use core::ops::Range;

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::{Hasher128, SipHasher24 as Wide};

use crate::error::DatagramError;
use crate::id::NodeId;
#[cfg(feature = "encryption")]
use crate::keyring::{Keyring, NONCE, Plain, TAG};
use crate::time::Instant;
use crate::update::Standing;

pub(crate) use anti_entropy::{
    Answer, COUNTS, Decoded, Prefixes, Repair, Rival, Short, Split, Summary, Symbols, Tokens, Want,
};
pub(crate) use message::{Message, Writer, read};
pub(crate) use overlay::{Hashes, OTHERS, Overlay};
pub(crate) use pull::{Chunk, FetchRequest, Page, Pull, PullRequest, Span};
pub(crate) use rumor::{Feedback, Item, Round, Rumor, Suspicion};
pub(crate) use size::encoded_len;
pub(crate) use swim::{PingReq, Swim};
pub(crate) use trust::Trust;

/// The wire format that this node speaks.
pub(crate) const VERSION: u8 = 2;
/// Forms, in the low four bits of the first byte; the version is in the high four.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const BARE_ACK: u8 = 2;

pub(crate) const HEADER: usize = 15;
/// The longest trailer.
pub(crate) const TRAILER: usize = 8;
const SHORT_TRAILER: usize = 4;
/// The longest datagram with a short trailer.
const SHORT: usize = 64;
/// An ack alone: version and form, hint, check, clock; the message; the trailer.
const ACK_HEADER: usize = 7;
const ACK: usize = 5;
const ACK_DATAGRAM: usize = ACK_HEADER + ACK + SHORT_TRAILER;
/// What a datagram needs besides its messages, sealed (a key, a nonce of 24 bytes and a tag of 16) or plain: what must
/// fit must fit both ways, or turning encryption on would strand entries.
pub(crate) const OVERHEAD: usize = HEADER + 1 + 24 + 16;

/// Header of every datagram, about its sender.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// None in a bare ack: see [`Envelope::is_from`].
    pub(crate) sender: Option<NodeId>,
    /// Digest of the sender's record and of `clock`: see [`agrees`](Self::agrees).
    check: u8,
    /// The sender's clock in whole seconds.
    clock: u32,
}

impl Header {
    /// Header of a sender whose own record has this incarnation and standing. `clock`: its clock.
    pub(crate) fn new(sender: NodeId, incarnation: u64, standing: Standing, clock: Instant) -> Self {
        let clock = u32::try_from(clock.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        Self { sender: Some(sender), check: check(incarnation, standing, clock), clock }
    }

    /// Returns the sender's clock, rounded down to a second.
    pub(crate) const fn clock(&self) -> Instant {
        Instant::from_secs(self.clock as u64)
    }

    /// Returns whether the sender's own record can have this incarnation and standing. One wrong answer in 256 is
    /// "yes", and the next second it is another one, since the clock is part of the digest.
    pub(crate) fn agrees(&self, incarnation: u64, standing: Standing) -> bool {
        self.check == check(incarnation, standing, self.clock)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "eight of 64 uniform bits")]
fn check(incarnation: u64, standing: Standing, clock: u32) -> u8 {
    let mut hasher = SipHasher13::new();
    hasher.write(&incarnation.to_le_bytes());
    hasher.write(&[standing as u8]);
    hasher.write(&clock.to_le_bytes());
    hasher.finish() as u8
}

/// Puts messages between header and trailer, and takes them out again.
#[derive(Debug)]
pub(crate) struct Envelope {
    hint: u8,
    keys: (u64, u64),
    longest: usize,
    #[cfg(feature = "encryption")]
    keyring: Option<Keyring>,
}

impl Envelope {
    pub(crate) fn new(label: &str, max_datagram: usize) -> Self {
        let mut hasher = Wide::new_with_keys(0x656e_7665, 0x6c6f_7065);
        hasher.write(label.as_bytes());
        let keys = hasher.finish128();
        hasher.write(&[0]);
        let [hint, ..] = hasher.finish().to_le_bytes();
        Self {
            hint,
            keys: (keys.h1, keys.h2),
            longest: max_datagram,
            #[cfg(feature = "encryption")]
            keyring: None,
        }
    }

    /// Returns the trailer of these bytes; `of`: the id of a sender that they do not name.
    fn trailer(&self, bytes: &[u8], of: Option<NodeId>) -> [u8; TRAILER] {
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(bytes);
        if let Some(id) = of {
            hasher.write(&id.get().to_le_bytes());
        }
        hasher.finish().to_le_bytes()
    }

    /// Returns the room for messages in a datagram.
    pub(crate) fn body(&self) -> Range<usize> {
        #[cfg(feature = "encryption")]
        if self.seals() {
            return HEADER + 1 + NONCE..self.longest - TAG;
        }
        HEADER..self.longest - TRAILER
    }

    /// Length of a datagram with `len` bytes of messages; an ack alone takes fewer.
    pub(crate) fn length(&self, len: usize) -> usize {
        #[cfg(feature = "encryption")]
        if self.seals() {
            return HEADER + 1 + NONCE + len + TAG;
        }
        let short = HEADER + len + SHORT_TRAILER;
        if short <= SHORT { short } else { HEADER + len + TRAILER }
    }

    /// Completes a datagram whose `len` bytes of messages stand at the beginning of its [`body`](Self::body); its
    /// length.
    #[cfg_attr(not(feature = "encryption"), allow(clippy::needless_pass_by_ref_mut, reason = "a nonce is used up"))]
    pub(crate) fn seal(&mut self, header: &Header, buffer: &mut [u8], len: usize) -> usize {
        let sender = header.sender.expect("a node names itself");
        buffer[0] = VERSION << 4 | PLAIN;
        buffer[1] = self.hint;
        buffer[2..10].copy_from_slice(&sender.get().to_le_bytes());
        buffer[10] = header.check;
        buffer[11..HEADER].copy_from_slice(&header.clock.to_le_bytes());
        #[cfg(feature = "encryption")]
        if self.seals()
            && let Some(keyring) = &mut self.keyring
        {
            buffer[0] = VERSION << 4 | SEALED;
            buffer[HEADER] = keyring.primary();
            let end = HEADER + 1 + NONCE + len + TAG;
            let (header, rest) = buffer[..end].split_at_mut(HEADER + 1);
            keyring.seal(header, rest);
            return end;
        }
        if len == ACK && is_ack(&buffer[HEADER..HEADER + ACK]) {
            return self.seal_ack(header, sender, buffer);
        }
        let end = HEADER + len;
        let trailer = self.trailer(&buffer[..end], None);
        let trailer = if end + SHORT_TRAILER <= SHORT { &trailer[..SHORT_TRAILER] } else { &trailer };
        buffer[end..end + trailer.len()].copy_from_slice(trailer);
        end + trailer.len()
    }

    /// Completes a datagram with nothing but the ack that stands in the place of its messages.
    fn seal_ack(&self, header: &Header, sender: NodeId, buffer: &mut [u8]) -> usize {
        buffer[0] = VERSION << 4 | BARE_ACK;
        buffer[2] = header.check;
        buffer[3..ACK_HEADER].copy_from_slice(&header.clock.to_le_bytes());
        buffer.copy_within(HEADER..HEADER + ACK, ACK_HEADER);
        let end = ACK_HEADER + ACK;
        let trailer = self.trailer(&buffer[..end], Some(sender));
        buffer[end..ACK_DATAGRAM].copy_from_slice(&trailer[..SHORT_TRAILER]);
        ACK_DATAGRAM
    }

    /// Returns whether a bare ack that has been [opened](Self::open) was sent by this node, and is whole.
    pub(crate) fn is_from(&self, datagram: &[u8], sender: NodeId) -> bool {
        let Some((signed, trailer)) = datagram.split_last_chunk::<SHORT_TRAILER>() else { return false };
        self.trailer(signed, Some(sender))[..SHORT_TRAILER] == *trailer
    }

    /// The header and the bytes of the messages, if the datagram is whole and this cluster's. Whether a bare ack is
    /// whole tells [`is_from`](Self::is_from).
    #[cfg_attr(
        not(feature = "encryption"),
        allow(clippy::needless_pass_by_ref_mut, reason = "sealed ones are opened in a buffer")
    )]
    pub(crate) fn open<'a>(&'a mut self, datagram: &'a [u8]) -> Result<(Header, &'a [u8]), DatagramError> {
        let length = datagram.len();
        if length < ACK_DATAGRAM {
            return Err(DatagramError::TooShort { length, shortest: ACK_DATAGRAM });
        }
        let (version, form) = (datagram[0] >> 4, datagram[0] & 0x0f);
        if version != VERSION {
            return Err(DatagramError::Version { found: version, spoken: VERSION });
        }
        if datagram[1] != self.hint {
            return Err(DatagramError::ForeignLabel);
        }
        // After the label: what is too long and of this cluster comes from a node with another `max_datagram`.
        if length > self.longest {
            return Err(DatagramError::TooLong { length, longest: self.longest });
        }
        let clock = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&datagram[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        if form == BARE_ACK {
            self.admits_plain()?;
            let body = &datagram[ACK_HEADER..length - SHORT_TRAILER];
            if length != ACK_DATAGRAM || !is_ack(body) {
                return Err(DatagramError::Malformed { offset: ACK_HEADER });
            }
            return Ok((Header { sender: None, check: datagram[2], clock: clock(3) }, body));
        }
        if length < HEADER + SHORT_TRAILER {
            return Err(DatagramError::TooShort { length, shortest: HEADER + SHORT_TRAILER });
        }
        let mut sender = [0; 8];
        sender.copy_from_slice(&datagram[2..10]);
        let sender = Some(NodeId::new(u64::from_le_bytes(sender)));
        let header = Header { sender, check: datagram[10], clock: clock(11) };
        let messages = match form {
            PLAIN => self.open_plain(datagram)?,
            SEALED => self.open_sealed(datagram)?,
            _ => return Err(DatagramError::Malformed { offset: 0 }),
        };
        Ok((header, messages))
    }

    fn admits_plain(&self) -> Result<(), DatagramError> {
        #[cfg(feature = "encryption")]
        if self.keyring.as_ref().is_some_and(|keyring| keyring.plain() == Plain::Refused) {
            return Err(DatagramError::Key { key: 0 });
        }
        Ok(())
    }

    fn open_plain<'a>(&self, datagram: &'a [u8]) -> Result<&'a [u8], DatagramError> {
        self.admits_plain()?;
        let trailer = if datagram.len() <= SHORT { SHORT_TRAILER } else { TRAILER };
        let (signed, trailer) = datagram.split_at(datagram.len() - trailer);
        if self.trailer(signed, None)[..trailer.len()] != *trailer {
            return Err(DatagramError::Integrity);
        }
        Ok(&signed[HEADER..])
    }

    /// The messages of a sealed datagram, if there is its key and nobody has altered it.
    #[cfg_attr(
        not(feature = "encryption"),
        allow(clippy::needless_pass_by_ref_mut, reason = "sealed ones are opened in a buffer")
    )]
    fn open_sealed<'a>(&'a mut self, datagram: &'a [u8]) -> Result<&'a [u8], DatagramError> {
        let key = datagram[HEADER];
        #[cfg(feature = "encryption")]
        if let Some(keyring) = &mut self.keyring {
            let (header, rest) = datagram.split_at(HEADER + 1);
            let opened = keyring.open(key, header, rest).map_err(|()| DatagramError::Key { key })?;
            return opened.ok_or(DatagramError::Integrity);
        }
        Err(DatagramError::Key { key })
    }
}

/// Returns whether these bytes are one ack.
fn is_ack(body: &[u8]) -> bool {
    body.len() == ACK && body[0] == message::ACK_TAG
}

#[cfg(feature = "encryption")]
impl Envelope {
    pub(crate) fn seals(&self) -> bool {
        self.keyring.as_ref().is_some_and(|keyring| keyring.plain() != Plain::Sent)
    }

    pub(crate) fn set_keyring(&mut self, keyring: Option<Keyring>) {
        self.keyring = keyring;
    }

    pub(crate) const fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    pub(crate) const fn keyring_mut(&mut self) -> Option<&mut Keyring> {
        self.keyring.as_mut()
    }
}

#[cfg(test)]
mod tests;
