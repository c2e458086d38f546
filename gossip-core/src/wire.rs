//! Bytes on the wire: the header, the messages, the trailer. Knows what a datagram says, not what it means.
//!
//! ```text
//! offset  0              1     2        10     11      15          end − 4, or − 8
//!         version, form  hint  sender   check  clock   messages …  trailer
//! bytes   1              1     8        1      4                   4, or 8 if the whole is over 43 bytes
//! ```
//! All integers of the header are little endian. The trailer is a SipHash of everything before it. What is sent to a
//! member is keyed by the cluster's label and by the receiver's pass, which is in its record: whoever does not hold that
//! record cannot write it. Four bytes are enough for a ping; what can change anything has eight.
//!
//! That is the form between *members*. There are four more:
//!
//! - *Stranger*: keyed by the label alone, for an address without a record. It finds damage, it does not stop a forger.
//! - *Bare ack*: an ack and nothing else does not name its sender. The receiver has sent the ping and knows who is to answer it:
//!   the trailer, keyed by the label, is made from the sender's id all the same.
//! - *Sealed*, and *sealed between strangers*: the number of the key, the sender's pass and 6 bytes of a counter stand before the
//!   messages, an authentication tag of 16 in the place of the trailer. The receiver's pass is part of what the tag covers.

mod anti_entropy;
mod coordinate;
mod message;
mod overlay;
mod path;
mod pull;
mod rumor;
mod size;
mod sound;
mod swim;
mod trust;
mod unicast;

use core::hash::Hasher;
use core::ops::Range;

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::{Hasher128, SipHasher24 as Wide};

use crate::error::DatagramError;
use crate::id::NodeId;
#[cfg(feature = "encryption")]
use crate::keyring::{Arrival, Keyring, NONCE, Plain, Serial, TAG, Windows};
use crate::time::Instant;
use crate::update::Standing;

pub(crate) use anti_entropy::{
    Answer, COUNTS, Decoded, Prefixes, Repair, Rival, Short, Split, State, Summary, Symbols, Tokens, Want,
};
pub(crate) use coordinate::Coordinates;
pub(crate) use message::{Message, Writer, read};
pub(crate) use overlay::{Hashes, OTHERS, Overlay};
pub(crate) use path::{Echo, Path};
pub(crate) use pull::{Chunk, FetchRequest, Page, Pull, PullRequest, Span};
pub(crate) use rumor::{Feedback, Item, Round, Rumor, Suspicion};
pub(crate) use size::encoded_len;
pub(crate) use swim::{PingReq, Swim, Unreached};
pub(crate) use trust::Trust;
pub(crate) use unicast::{Content, Post, Unicast};

/// The wire format that this node speaks.
pub(crate) const VERSION: u8 = 2;
/// Forms, in the low four bits of the first byte; the version is in the high four.
const STRANGER: u8 = 0;
const MEMBER: u8 = 1;
const BARE_ACK: u8 = 2;
pub(crate) const SEALED_STRANGER: u8 = 3;
pub(crate) const SEALED: u8 = 4;

pub(crate) const HEADER: usize = 15;
/// The longest trailer.
pub(crate) const TRAILER: usize = 8;
const SHORT_TRAILER: usize = 4;
/// The longest datagram with a short trailer: too short for an update or a suspicion, so that nobody gets one in by trying
/// out trailers.
const SHORT: usize = 43;
/// An ack alone: version and form, hint, check, clock; the message; the trailer.
const ACK_HEADER: usize = 7;
const ACK: usize = 5;
const ACK_DATAGRAM: usize = ACK_HEADER + ACK + SHORT_TRAILER;
/// Room for the proof and the challenge that go along with what is sent to an address without a record.
pub(crate) const PREAMBLE: usize = 10;
/// What a datagram needs besides its messages, sealed (a key, 14 bytes of the nonce and a tag of 16) or plain, to a
/// member or a stranger: what must fit must fit all ways, or turning encryption on would strand entries.
pub(crate) const OVERHEAD: usize = HEADER + 1 + 14 + 16 + PREAMBLE;

/// Senders of sealed datagrams that are remembered, unless more members are allowed.
#[cfg(feature = "encryption")]
const SENDERS: usize = 4_096;

/// Header of every datagram, about its sender.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// None in a bare ack: see [`Envelope::is_from`].
    pub(crate) sender: Option<NodeId>,
    /// Digest of the sender's record and of `clock`: see [`agrees`](Self::agrees).
    check: u8,
    /// The sender's clock in whole seconds.
    clock: u32,
    /// True if it was keyed by the receiver's pass: its sender holds the receiver's record.
    pub(crate) keyed: bool,
    /// Its place among those of its sender, if it was sealed.
    #[cfg(feature = "encryption")]
    pub(crate) serial: Option<Serial>,
}

impl Header {
    /// Header of a sender whose own record has this incarnation and standing. `clock`: its clock.
    pub(crate) fn new(sender: NodeId, incarnation: u64, standing: Standing, clock: Instant) -> Self {
        let clock = u32::try_from(clock.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        Self::read(Some(sender), check(incarnation, standing, clock), clock, false)
    }

    const fn read(sender: Option<NodeId>, check: u8, clock: u32, keyed: bool) -> Self {
        Self {
            sender,
            check,
            clock,
            keyed,
            #[cfg(feature = "encryption")]
            serial: None,
        }
    }

    /// Returns the sender's clock, rounded down to a second.
    pub(crate) const fn clock(&self) -> Instant {
        Instant::from_secs(self.clock as u64)
    }

    /// Returns whether the sender's own record can have this incarnation and standing. One record in 256 that it has not is taken for
    /// the one that it has, for a second at most: the clock is part of the digest.
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
    /// Pass of this node.
    pass: u64,
    #[cfg(feature = "encryption")]
    keyring: Option<Keyring>,
    #[cfg(feature = "encryption")]
    windows: Windows,
    /// Number of datagrams sealed with this pass, whatever the keys.
    #[cfg(feature = "encryption")]
    sealed: u64,
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
            pass: 0,
            #[cfg(feature = "encryption")]
            keyring: None,
            #[cfg(feature = "encryption")]
            windows: Windows::new(SENDERS),
            #[cfg(feature = "encryption")]
            sealed: 0,
        }
    }

    /// Sets the pass of this node, by which what is sent to it is keyed.
    pub(crate) const fn set_pass(&mut self, pass: u64) {
        self.pass = pass;
    }

    /// Returns the trailer of these bytes. `pass`: that of a receiver who is a member; `of`: the id of a sender that they
    /// do not name.
    fn trailer(&self, bytes: &[u8], pass: Option<u64>, of: Option<NodeId>) -> [u8; TRAILER] {
        let pass = pass.unwrap_or_default();
        let mut hasher = SipHasher24::new_with_keys(self.keys.0 ^ pass, self.keys.1 ^ pass.rotate_left(32));
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

    /// Completes a datagram whose `len` bytes of messages stand at the beginning of its [`body`](Self::body). `to`: the
    /// pass of a receiver whose record is held. Returns its length.
    #[cfg_attr(not(feature = "encryption"), allow(clippy::needless_pass_by_ref_mut, reason = "a nonce is used up"))]
    pub(crate) fn seal(&mut self, header: &Header, buffer: &mut [u8], len: usize, to: Option<u64>) -> usize {
        let sender = header.sender.expect("a node names itself");
        buffer[0] = VERSION << 4 | if to.is_some() { MEMBER } else { STRANGER };
        buffer[1] = self.hint;
        buffer[2..10].copy_from_slice(&sender.get().to_le_bytes());
        buffer[10] = header.check;
        buffer[11..HEADER].copy_from_slice(&header.clock.to_le_bytes());
        #[cfg(feature = "encryption")]
        if self.seals()
            && let Some(keyring) = &self.keyring
        {
            buffer[0] = VERSION << 4 | if to.is_some() { SEALED } else { SEALED_STRANGER };
            buffer[HEADER] = keyring.primary();
            let end = HEADER + 1 + NONCE + len + TAG;
            let (header, rest) = buffer[..end].split_at_mut(HEADER + 1);
            let serial = Serial { salt: self.pass, counter: self.sealed };
            self.sealed += 1;
            keyring.seal(&covered(header, to), sender, serial, rest);
            return end;
        }
        if len == ACK && is_ack(&buffer[HEADER..HEADER + ACK]) {
            return self.seal_ack(header, sender, buffer);
        }
        let end = HEADER + len;
        let trailer = self.trailer(&buffer[..end], to, None);
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
        let trailer = self.trailer(&buffer[..end], None, Some(sender));
        buffer[end..ACK_DATAGRAM].copy_from_slice(&trailer[..SHORT_TRAILER]);
        ACK_DATAGRAM
    }

    /// Returns whether a bare ack that has been [opened](Self::open) was sent by `sender`, and is whole.
    pub(crate) fn is_from(&self, datagram: &[u8], sender: NodeId) -> bool {
        let Some((signed, trailer)) = datagram.split_last_chunk::<SHORT_TRAILER>() else { return false };
        self.trailer(signed, None, Some(sender))[..SHORT_TRAILER] == *trailer
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
            return Ok((Header::read(None, datagram[2], clock(3), false), body));
        }
        if length < HEADER + SHORT_TRAILER {
            return Err(DatagramError::TooShort { length, shortest: HEADER + SHORT_TRAILER });
        }
        let mut sender = [0; 8];
        sender.copy_from_slice(&datagram[2..10]);
        let sender = NodeId::new(u64::from_le_bytes(sender));
        let keyed = form == MEMBER || form == SEALED;
        #[cfg_attr(not(feature = "encryption"), allow(unused_mut, reason = "nothing has a serial"))]
        let mut header = Header::read(Some(sender), datagram[10], clock(11), keyed);
        let pass = keyed.then_some(self.pass);
        let messages = match form {
            STRANGER | MEMBER => self.open_plain(datagram, pass)?,
            SEALED_STRANGER | SEALED => self.open_sealed(datagram, &mut header, pass)?,
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

    fn open_plain<'a>(&self, datagram: &'a [u8], pass: Option<u64>) -> Result<&'a [u8], DatagramError> {
        self.admits_plain()?;
        let trailer = if datagram.len() <= SHORT { SHORT_TRAILER } else { TRAILER };
        let (signed, trailer) = datagram.split_at(datagram.len() - trailer);
        if self.trailer(signed, pass, None)[..trailer.len()] != *trailer {
            return Err(DatagramError::Integrity);
        }
        Ok(&signed[HEADER..])
    }

    /// The messages of a sealed datagram, if there is its key and nobody has altered it.
    #[cfg_attr(
        not(feature = "encryption"),
        allow(clippy::needless_pass_by_ref_mut, reason = "sealed ones are opened in a buffer")
    )]
    #[cfg_attr(not(feature = "encryption"), allow(unused_variables, reason = "nothing is opened"))]
    fn open_sealed<'a>(
        &'a mut self,
        datagram: &'a [u8],
        header: &mut Header,
        pass: Option<u64>,
    ) -> Result<&'a [u8], DatagramError> {
        let key = datagram[HEADER];
        #[cfg(feature = "encryption")]
        if let (Some(keyring), Some(sender)) = (&mut self.keyring, header.sender) {
            let (head, rest) = datagram.split_at(HEADER + 1);
            let opened = keyring.open(key, &covered(head, pass), sender, rest);
            let opened = opened.map_err(|()| DatagramError::Key { key })?;
            let (messages, serial) = opened.ok_or(DatagramError::Integrity)?;
            header.serial = Some(serial);
            return Ok(messages);
        }
        Err(DatagramError::Key { key })
    }
}

/// Returns what the tag covers besides the messages: header, number of the key, and the receiver's pass.
#[cfg(feature = "encryption")]
fn covered(header: &[u8], pass: Option<u64>) -> [u8; HEADER + 1 + 8] {
    let mut covered = [0; HEADER + 1 + 8];
    covered[..=HEADER].copy_from_slice(header);
    covered[HEADER + 1..].copy_from_slice(&pass.unwrap_or_default().to_le_bytes());
    covered
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

    /// Returns a number made from the salt of the keyring, if there is one.
    pub(crate) fn salt(&self) -> u64 {
        self.keyring.as_ref().map_or(0, Keyring::salt)
    }

    /// Remembers as many senders at least.
    pub(crate) fn remember(&mut self, senders: usize) {
        self.windows = Windows::new(senders.max(SENDERS));
    }

    /// Takes note of a sealed datagram. Returns false if it may have been received before.
    pub(crate) fn admit(&mut self, arrival: Arrival) -> bool {
        self.windows.admit(arrival)
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

/// Outline of a datagram that is not for the test's own node.
#[cfg(any(test, fuzzing))]
impl Envelope {
    pub(crate) const fn pass(&self) -> u64 {
        self.pass
    }

    /// Returns the messages of a datagram to anybody, if it is plain: its trailer is not looked at.
    #[cfg(test)]
    pub(crate) fn overheard<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let trailer = if datagram.len() <= SHORT { SHORT_TRAILER } else { TRAILER };
        match datagram[0] & 0x0f {
            BARE_ACK => Some(&datagram[ACK_HEADER..ACK_DATAGRAM - SHORT_TRAILER]),
            STRANGER | MEMBER => Some(&datagram[HEADER..datagram.len() - trailer]),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
