//! Shared keys, and the sealing of datagrams with them: XChaCha20-Poly1305 (feature `encryption`).
//!
//! Knows bytes and keys; must not know the content of a datagram, nor where keys come from.
//!
//! ```text
//! header (16 bytes; the last: the key's id)   pass (8), counter (6)   sealed messages …   tag (16)
//! ```
//! The nonce is the sender's id (8 bytes, in the header), its pass and the counter (8 bytes). Associated data are the header
//! and the receiver's pass.

mod window;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU8;
use core::str::FromStr;

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, Zeroizing};

use crate::id::NodeId;

pub(crate) use window::{Arrival, Windows};

const KEY: usize = 32;
/// Bytes of the salt and of the counter that travel; the sender's id stands in the header.
const SALT: usize = 8;
const COUNTER: usize = 6;
/// The part of the nonce that is sent with the messages.
pub(crate) const NONCE: usize = SALT + COUNTER;
/// The whole nonce: id, salt, counter.
const WHOLE: usize = 24;
pub(crate) const TAG: usize = 16;
/// Domain of a wrapped key, which is no datagram.
const WRAPPED: &[u8] = b"gossip key";

/// Place of a sealed datagram among those of its sender: no two have the same.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Serial {
    pub(crate) salt: u64,
    pub(crate) counter: u64,
}

/// A secret that members share: 256 bits from a source of good randomness.
///
/// A number from 1 to 255 in the header of each datagram names the key, so that a receiver knows which of its keys was
/// used. The number is derived from the key, the same everywhere, and reveals nothing else of it.
///
/// The bytes are wiped when the key is dropped, and never printed.
#[derive(Clone)]
pub struct Key {
    id: NonZeroU8,
    /// Boxed, since moving a value leaves a copy of the secret behind.
    cipher: Box<XChaCha20Poly1305>,
}

impl Key {
    /// Makes a key of these bytes.
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let cipher = Box::new(XChaCha20Poly1305::new((&bytes).into()));
        bytes.zeroize();
        // One byte of key stream, at a nonce that no datagram has, since no counter comes that far.
        let mut byte = [0];
        let _ = cipher.encrypt_inout_detached(&XNonce::from([0xff; WHOLE]), &[], byte.as_mut_slice().into());
        let id = NonZeroU8::new(byte[0]).unwrap_or(NonZeroU8::MAX);
        Self { id, cipher }
    }

    /// Changes the number of the key: among three keys, two have the same number by accident in one of a hundred cases.
    #[must_use]
    pub fn with_id(mut self, id: NonZeroU8) -> Self {
        self.id = id;
        self
    }

    /// Returns its number in the header of datagrams.
    pub const fn id(&self) -> NonZeroU8 {
        self.id
    }
}

/// Shows only the number.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// 64 hexadecimal digits.
impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let KeyBytes(bytes) = text.parse()?;
        Ok(Self::new(*bytes))
    }
}

/// Bytes of a key that is to be given to other members. They are wiped when they are dropped, and never printed.
#[derive(Clone)]
pub struct KeyBytes(pub(crate) Zeroizing<[u8; KEY]>);

impl From<[u8; KEY]> for KeyBytes {
    fn from(bytes: [u8; KEY]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// 64 hexadecimal digits.
impl FromStr for KeyBytes {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let mut bytes = Zeroizing::new([0; KEY]);
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY {
            return Err(ParseKeyError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(ParseKeyError);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// Does not show the bytes.
impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes")
    }
}

/// A text that is not a [`Key`]. The error does not contain the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct ParseKeyError;

/// A fault of the caller: the keyring is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key has this number already, perhaps the same key. A key can be given [another number](Key::with_id).
    #[error("there is a key {id} already")]
    Taken {
        /// Number of the key.
        id: NonZeroU8,
    },
    /// No key has this number.
    #[error("there is no key {id}")]
    Unknown {
        /// Number of the key.
        id: NonZeroU8,
    },
    /// The key seals what is sent: another must be used first.
    #[error("key {id} is in use")]
    InUse {
        /// Number of the key.
        id: NonZeroU8,
    },
    /// The node was made without a keyring.
    #[error("this node has no keyring")]
    NoKeyring,
    /// A key that another member sent is sealed with a key that is not here.
    #[error("the key is sealed with a key that is not here")]
    NotOpened,
}

/// Treatment of datagrams that are not sealed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Plain {
    /// They are refused, and sent datagrams are sealed. The other values are for the time in which a cluster is
    /// converted.
    #[default]
    Refused,
    /// They are accepted like sealed ones, and sent datagrams are sealed. The second step, when all have the key.
    Accepted,
    /// They are accepted like sealed ones, and sent datagrams are not sealed. The first step, while some have no key.
    Sent,
}

/// The keys of a node: one that seals, and others that it accepts.
///
/// # Guarantees
/// Without a key nobody can read what members send, alter it, or send anything. A datagram that was altered, or sealed
/// with a key that this node lacks, is refused whole. The header (sender, clock, a byte of the hash of its
/// record and one of the cluster's label) is not secret, but cannot be altered either.
///
/// - All holders of a key are equal: a member cannot prove to the others that it is the one named in the header, and
///   can send anything in the name of any member.
/// - There is no forward secrecy: a key opens datagrams that were recorded before.
/// - Lengths, times and addresses of datagrams are visible to all.
/// - A datagram that is sent again is refused: by another node, and by one that has restarted, since the receiver's pass is
///   sealed in; by the receiver itself, since it remembers the counters that it has seen. See the threat model.
///
/// # Salt
/// No two datagrams may be sealed with the same key and nonce: that reveals both, and the means to forge more. The
/// nonce is the node's id, its pass (a number that it draws at each start and that the salt is mixed into), and a
/// counter that starts at 0 with the node, so every start needs a salt of its own: 16 bytes from the operating system's randomness at every start, never from a seed, a clock or a name. Among a
/// million starts of one id two draw the same with a probability of less than 10⁻⁷.
pub struct Keyring {
    /// All keys, the one that seals first.
    keys: Vec<Key>,
    salt: u64,
    plain: Plain,
    /// Buffer in which datagrams are opened, kept for its capacity.
    scratch: Vec<u8>,
}

impl Keyring {
    /// Makes a keyring with a key that seals. `salt`: see [above](Self#salt).
    pub fn new(primary: Key, salt: [u8; 16]) -> Self {
        let (halves, _) = salt.as_chunks::<8>();
        // Of two salts that differ in either half only, the mixtures differ.
        let mixed = halves
            .iter()
            .fold(0_u64, |mixed, half| mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from_le_bytes(*half));
        Self { keys: [primary].into(), salt: mixed, plain: Plain::Refused, scratch: Vec::new() }
    }

    /// Accepts datagrams sealed with this key from now on.
    ///
    /// To rotate keys, [add](Self::add) the new one at every node, then [use](Self::use_key) it at every node, then
    /// [remove](Self::remove) the old one at every node. Each of the three steps may take any time and any order of
    /// nodes.
    ///
    /// # Errors
    /// [`KeyError::Taken`].
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.at(key.id).is_ok() {
            return Err(KeyError::Taken { id: key.id });
        }
        self.keys.push(key);
        Ok(())
    }

    /// Seals with this key from now on. It must have been added before; the one used so far is still accepted.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn use_key(&mut self, id: NonZeroU8) -> Result<(), KeyError> {
        let at = self.at(id)?;
        self.keys.swap(0, at);
        Ok(())
    }

    /// Removes a key: datagrams sealed with it are refused from now on.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::InUse`].
    pub fn remove(&mut self, id: NonZeroU8) -> Result<(), KeyError> {
        match self.at(id)? {
            0 => Err(KeyError::InUse { id }),
            at => {
                self.keys.remove(at);
                Ok(())
            }
        }
    }

    /// Sets the treatment of datagrams that are not sealed; [`Plain::Refused`] at first.
    ///
    /// To convert a cluster without losing a member, let every node run with [`Plain::Sent`], then every node with
    /// [`Plain::Accepted`], then every node with [`Plain::Refused`]. Nothing is protected before the last step.
    pub fn set_plain(&mut self, plain: Plain) {
        self.plain = plain;
    }

    /// Returns the treatment of datagrams that are not sealed.
    pub const fn plain(&self) -> Plain {
        self.plain
    }

    /// Returns the numbers of the keys, that of the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = NonZeroU8> {
        self.keys.iter().map(Key::id)
    }

    /// Forgets all keys but this one, which seals from now on.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn keep_only(&mut self, id: NonZeroU8) -> Result<(), KeyError> {
        self.use_key(id)?;
        self.keys.truncate(1);
        Ok(())
    }

    /// Seals the bytes of another key for those who hold the key that is in use: number, nonce, bytes, tag. `nonce`: random.
    pub(crate) fn wrap(&self, key: &[u8; KEY], nonce: [u8; WHOLE]) -> Vec<u8> {
        let mut bytes = *key;
        let sealed = self.keys[0].cipher.encrypt_inout_detached(&nonce.into(), WRAPPED, bytes.as_mut_slice().into());
        let tag = sealed.expect("a key is short");
        [&[self.primary()][..], &nonce, &bytes, &tag].concat()
    }

    /// Returns the key that was [wrapped](Self::wrap) by one who holds a key of this keyring.
    pub(crate) fn unwrap_key(&self, wrapped: &[u8]) -> Option<Key> {
        let (id, rest) = wrapped.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<WHOLE>()?;
        let (bytes, tag) = rest.split_first_chunk::<KEY>()?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        let with = self.keys.iter().find(|key| key.id.get() == *id)?;
        let mut bytes = *bytes;
        let inout = bytes.as_mut_slice().into();
        with.cipher.decrypt_inout_detached(&XNonce::from(*nonce), WRAPPED, inout, &Tag::from(tag)).ok()?;
        let key = Key::new(bytes);
        bytes.zeroize();
        Some(key)
    }

    /// Returns whether a key opens what `key` seals: whether both are the same.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        let sample = |key: &Key| {
            let mut zeros = [0; 16];
            let _ = key.cipher.encrypt_inout_detached(&XNonce::from([0xfe; WHOLE]), &[], zeros.as_mut_slice().into());
            zeros
        };
        self.keys.iter().any(|held| held.id == key.id && sample(held) == sample(key))
    }

    fn at(&self, id: NonZeroU8) -> Result<usize, KeyError> {
        self.keys.iter().position(|key| key.id == id).ok_or(KeyError::Unknown { id })
    }

    /// Returns the number of the key with which [`seal`](Self::seal) seals.
    pub(crate) fn primary(&self) -> u8 {
        self.keys[0].id.get()
    }

    /// Returns a number made from the salt, different for different salts.
    pub(crate) const fn salt(&self) -> u64 {
        self.salt
    }

    /// Seals the messages in place. Room for the salt and the counter precedes them, and room for a tag follows them.
    /// `covered`: what is sealed in without being sent here. No two calls may have the same sender and serial.
    ///
    /// # Panics
    /// After 2^48 datagrams: that suffices for nine years of a million in a second.
    pub(crate) fn seal(&self, covered: &[u8], sender: NodeId, serial: Serial, rest: &mut [u8]) {
        let (sent, rest) = rest.split_at_mut(NONCE);
        let (messages, tag) = rest.split_at_mut(rest.len() - TAG);
        assert!(serial.counter < 1 << (8 * COUNTER), "no nonce comes twice");
        let nonce = nonce(sender, serial);
        sent.copy_from_slice(&nonce[WHOLE - SALT - 8..][..NONCE]);
        let sealed = self.keys[0].cipher.encrypt_inout_detached(&nonce.into(), covered, messages.into());
        tag.copy_from_slice(&sealed.expect("a datagram is shorter than the 256 GiB that can be sealed"));
    }

    /// Opens messages, and returns them with their serial. Returns none if they were altered or sealed with another key of
    /// this number, an error if there is no key of this number. `rest`: everything after the header.
    pub(crate) fn open(
        &mut self,
        id: u8,
        covered: &[u8],
        sender: NodeId,
        rest: &[u8],
    ) -> Result<Option<(&[u8], Serial)>, ()> {
        let Some(key) = self.keys.iter().find(|key| key.id.get() == id) else { return Err(()) };
        let Some((sent, rest)) = rest.split_first_chunk::<NONCE>() else { return Ok(None) };
        let Some((messages, tag)) = rest.split_last_chunk::<TAG>() else { return Ok(None) };
        let (mut salt, mut counter) = ([0; 8], [0; 8]);
        salt.copy_from_slice(&sent[..SALT]);
        counter[..COUNTER].copy_from_slice(&sent[SALT..]);
        let serial = Serial { salt: u64::from_le_bytes(salt), counter: u64::from_le_bytes(counter) };
        self.scratch.clear();
        self.scratch.extend_from_slice(messages);
        let opened = key.cipher.decrypt_inout_detached(
            &nonce(sender, serial).into(),
            covered,
            self.scratch.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        Ok(opened.is_ok().then_some((&*self.scratch, serial)))
    }
}

fn nonce(sender: NodeId, Serial { salt, counter }: Serial) -> [u8; WHOLE] {
    let mut nonce = [0; WHOLE];
    nonce[..8].copy_from_slice(&sender.get().to_le_bytes());
    nonce[8..16].copy_from_slice(&salt.to_le_bytes());
    nonce[16..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// Shows only the numbers of the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<NonZeroU8> = self.ids().collect();
        f.debug_struct("Keyring").field("ids", &ids).field("plain", &self.plain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
