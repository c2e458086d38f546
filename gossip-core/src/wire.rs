//! Bytes on the wire: the header, the messages, the trailer. Knows what a datagram says, not what it means.
//!
//! ```text
//! offset  0        1      2           6         14            22       30
//!         version  key    label hash  sender    incarnation   clock    messages …   trailer
//!         1 byte   1      4           8         8             8                     8
//! ```
//! All integers of the header are little endian. The trailer is a SipHash of everything before it, keyed by the
//! cluster's label: it finds damage, it does not stop a forger. Where the key is not 0 the messages are sealed: a nonce of
//! 24 bytes stands before them, an authentication tag of 16 in the place of the trailer.

mod anti_entropy;
mod message;
mod pull;
mod rumor;
mod size;
mod sound;
mod swim;
mod trust;

use core::hash::Hasher;
use core::ops::Range;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as Wide};

use crate::error::DatagramError;
use crate::id::NodeId;
#[cfg(feature = "encryption")]
use crate::keyring::{Keyring, NONCE, Plain, TAG};
use crate::time::Instant;

pub(crate) use anti_entropy::{
    Answer, COUNTS, Decoded, Prefixes, Repair, Rival, Short, Split, Summary, Symbols, Tokens, Want,
};
pub(crate) use message::{Message, Writer, read};
pub(crate) use pull::{Chunk, FetchRequest, Page, Pull, PullRequest, Span};
pub(crate) use rumor::{Feedback, Item, Round, Rumor, Suspicion};
pub(crate) use size::encoded_len;
pub(crate) use swim::{PingReq, Swim};
pub(crate) use trust::Trust;

/// The wire format that this node speaks.
pub(crate) const VERSION: u8 = 1;
pub(crate) const HEADER: usize = 30;
pub(crate) const TRAILER: usize = 8;
/// What a datagram needs besides its messages, sealed (a nonce of 24 bytes and a tag of 16) or plain: what must fit
/// must fit both ways, or turning encryption on would strand entries.
pub(crate) const OVERHEAD: usize = HEADER + 24 + 16;

/// Header of every datagram, about its sender.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sender: NodeId,
    pub(crate) incarnation: u64,
    /// The sender's hybrid logical clock.
    pub(crate) clock: Instant,
}

/// Puts messages between header and trailer, and takes them out again.
#[derive(Debug)]
pub(crate) struct Envelope {
    label: [u8; 4],
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
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        Self {
            label: [a, b, c, d],
            keys: (keys.h1, keys.h2),
            longest: max_datagram,
            #[cfg(feature = "encryption")]
            keyring: None,
        }
    }

    fn trailer(&self, bytes: &[u8]) -> [u8; TRAILER] {
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(bytes);
        hasher.finish().to_le_bytes()
    }

    /// Returns the room for messages in a datagram.
    pub(crate) fn body(&self) -> Range<usize> {
        #[cfg(feature = "encryption")]
        if self.seals() {
            return HEADER + NONCE..self.longest - TAG;
        }
        HEADER..self.longest - TRAILER
    }

    /// Returns the bytes of a datagram besides its messages.
    pub(crate) fn overhead(&self) -> usize {
        self.longest - self.body().len()
    }

    /// Completes a datagram whose `len` bytes of messages stand at the beginning of its [`body`](Self::body); its
    /// length.
    pub(crate) fn seal(&mut self, header: &Header, buffer: &mut [u8], len: usize) -> usize {
        buffer[0] = VERSION;
        buffer[1] = 0;
        buffer[2..6].copy_from_slice(&self.label);
        buffer[6..14].copy_from_slice(&header.sender.get().to_le_bytes());
        buffer[14..22].copy_from_slice(&header.incarnation.to_le_bytes());
        buffer[22..30].copy_from_slice(&header.clock.as_micros().to_le_bytes());
        #[cfg(feature = "encryption")]
        if self.seals()
            && let Some(keyring) = &mut self.keyring
        {
            buffer[1] = keyring.primary();
            let end = HEADER + NONCE + len + TAG;
            let (header, rest) = buffer[..end].split_at_mut(HEADER);
            keyring.seal(header, rest);
            return end;
        }
        let end = HEADER + len;
        let trailer = self.trailer(&buffer[..end]);
        buffer[end..end + TRAILER].copy_from_slice(&trailer);
        end + TRAILER
    }

    /// The header and the bytes of the messages, if the datagram is whole and this cluster's.
    pub(crate) fn open<'a>(&'a mut self, datagram: &'a [u8]) -> Result<(Header, &'a [u8]), DatagramError> {
        let length = datagram.len();
        if length < HEADER + TRAILER {
            return Err(DatagramError::TooShort { length, shortest: HEADER + TRAILER });
        }
        if length > self.longest {
            return Err(DatagramError::TooLong { length, longest: self.longest });
        }
        if datagram[0] != VERSION {
            return Err(DatagramError::Version { found: datagram[0], spoken: VERSION });
        }
        if datagram[2..6] != self.label {
            return Err(DatagramError::ForeignLabel);
        }
        let messages = self.messages(datagram)?;
        let field = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&datagram[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let header =
            Header { sender: NodeId::new(field(6)), incarnation: field(14), clock: Instant::from_micros(field(22)) };
        Ok((header, messages))
    }

    /// The messages of a datagram that is long enough, if nobody has altered it.
    #[cfg_attr(
        not(feature = "encryption"),
        expect(clippy::needless_pass_by_ref_mut, reason = "sealed ones are opened in a buffer")
    )]
    fn messages<'a>(&'a mut self, datagram: &'a [u8]) -> Result<&'a [u8], DatagramError> {
        let key = datagram[1];
        if key == 0 {
            #[cfg(feature = "encryption")]
            if self.keyring.as_ref().is_some_and(|keyring| keyring.plain() == Plain::Refused) {
                return Err(DatagramError::Key { key });
            }
            let (signed, trailer) = datagram.split_at(datagram.len() - TRAILER);
            return if self.trailer(signed) == trailer { Ok(&signed[HEADER..]) } else { Err(DatagramError::Integrity) };
        }
        #[cfg(feature = "encryption")]
        if let Some(keyring) = &mut self.keyring {
            let (header, rest) = datagram.split_at(HEADER);
            let opened = keyring.open(key, header, rest).map_err(|()| DatagramError::Key { key })?;
            return opened.ok_or(DatagramError::Integrity);
        }
        Err(DatagramError::Key { key })
    }
}

#[cfg(feature = "encryption")]
impl Envelope {
    fn seals(&self) -> bool {
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
