//! Keys that the members share, and how datagrams are sealed with them: XChaCha20-Poly1305 (feature `encryption`).
//!
//! Knows bytes and keys; must not know what a datagram says, nor where keys come from.
//!
//! ```text
//! header (16 bytes, associated data; the last: the key's id)   nonce: salt (16), counter (8)   sealed messages …   tag (16)
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU8;
use core::str::FromStr;

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroize;

const KEY: usize = 32;
const SALT: usize = 16;
/// Salt and counter.
pub(crate) const NONCE: usize = SALT + 8;
pub(crate) const TAG: usize = 16;

/// A secret that members share: 256 bits, from a source of good randomness.
///
/// It is named by a number from 1 to 255 in the header of each datagram, so that a receiver knows which of its keys was
/// used. The number is derived from the key, the same everywhere; it tells nothing of the rest.
///
/// The bytes are wiped when the key is dropped, and never printed.
#[derive(Clone)]
pub struct Key {
    id: NonZeroU8,
    /// Where it is it stays: a value that is moved leaves a copy behind.
    cipher: Box<XChaCha20Poly1305>,
}

impl Key {
    /// A key of these bytes.
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let cipher = Box::new(XChaCha20Poly1305::new((&bytes).into()));
        bytes.zeroize();
        // A byte of key stream at a nonce that no datagram has, since no counter comes that far.
        let mut byte = [0];
        let _ = cipher.encrypt_inout_detached(&XNonce::from([0xff; NONCE]), &[], byte.as_mut_slice().into());
        let id = NonZeroU8::new(byte[0]).unwrap_or(NonZeroU8::MAX);
        Self { id, cipher }
    }

    /// The same under another number: two keys in a hundred have the same one by accident when there are three.
    #[must_use]
    pub fn with_id(mut self, id: NonZeroU8) -> Self {
        self.id = id;
        self
    }

    /// Its number in the header of datagrams.
    pub const fn id(&self) -> NonZeroU8 {
        self.id
    }
}

/// Shows the number alone.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// 64 hexadecimal digits.
impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let mut bytes = [0; KEY];
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY {
            return Err(ParseKeyError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(ParseKeyError);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        let key = Self::new(bytes);
        bytes.zeroize();
        Ok(key)
    }
}

/// A text that is no [`Key`]. It does not say what the text was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct ParseKeyError;

/// The caller is at fault: the keyring is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is a key with this number, perhaps the same one; another may be given [another](Key::with_id).
    #[error("there is a key {id} already")]
    Taken {
        /// The key's number.
        id: NonZeroU8,
    },
    /// There is none with this number.
    #[error("there is no key {id}")]
    Unknown {
        /// The number.
        id: NonZeroU8,
    },
    /// What is sent is sealed with this one: another has to be used first.
    #[error("key {id} is in use")]
    InUse {
        /// The key's number.
        id: NonZeroU8,
    },
    /// The node has no keyring: it was made without one.
    #[error("this node has no keyring")]
    NoKeyring,
}

/// What becomes of datagrams that are not sealed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Plain {
    /// They are refused; what is sent is sealed. Anything else is for the time in which a cluster is converted.
    #[default]
    Refused,
    /// They are accepted like sealed ones; what is sent is sealed. The second step, when all have the key.
    Accepted,
    /// They are accepted like sealed ones, and what is sent is not sealed. The first step, while some have no key.
    Sent,
}

/// The keys of a node: one with which it seals, and others that it accepts.
///
/// # What it guarantees, and what not
/// Nobody without a key can read what members say, alter it, or say anything himself; a datagram that was altered, or
/// is sealed with a key that is not here, is refused whole. The header (who sends, its clock, a byte of its
/// record's hash and one of the cluster's label) is not secret, but it cannot be altered either.
///
/// - All who hold a key are equal: a member cannot prove to the others that it is the one that the header names, and
///   can say in anybody's name whatever it likes.
/// - There is no forward secrecy: whoever gets hold of a key can read what was recorded before.
/// - Lengths, times and addresses of datagrams are seen by all.
/// - A datagram that is sent again is opened again. It says nothing new then, and the node refuses what is old; see the
///   threat model.
///
/// # Salt
/// No two datagrams may be sealed with one key and one nonce: that gives both away, and the means to forge more. The
/// nonce is the salt and a counter that starts at 0, so every keyring needs a salt of its own: 16 bytes from the
/// operating system's randomness at every start, never from a seed, a clock or a name. Among 2⁴⁸ starts
/// two draw the same with a probability of less than 10⁻⁹.
pub struct Keyring {
    /// The primary one is the first.
    keys: Vec<Key>,
    salt: [u8; SALT],
    counter: u64,
    plain: Plain,
    /// Where datagrams are opened, kept for its capacity.
    scratch: Vec<u8>,
}

impl Keyring {
    /// A keyring with a key to seal with. `salt`: see [above](Self#salt).
    pub fn new(primary: Key, salt: [u8; 16]) -> Self {
        Self { keys: [primary].into(), salt, counter: 0, plain: Plain::Refused, scratch: Vec::new() }
    }

    /// Accepts what is sealed with this key from now on.
    ///
    /// To rotate keys, [add](Self::add) the new one at every node, then [use](Self::use_key) it at every node, then
    /// [remove](Self::remove) the old one at every node; each of the three needs no haste and no order.
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

    /// Seals with this key from now on, one that was added before; the one used so far is still accepted.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn use_key(&mut self, id: NonZeroU8) -> Result<(), KeyError> {
        let at = self.at(id)?;
        self.keys.swap(0, at);
        Ok(())
    }

    /// Forgets a key: what is sealed with it is refused from now on.
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

    /// What becomes of datagrams that are not sealed; [`Plain::Refused`] at first.
    ///
    /// To convert a cluster without losing anybody, let every node run with [`Plain::Sent`], then every node with
    /// [`Plain::Accepted`], then every node with [`Plain::Refused`]. Nothing is protected before the last step.
    pub fn set_plain(&mut self, plain: Plain) {
        self.plain = plain;
    }

    /// What becomes of datagrams that are not sealed.
    pub const fn plain(&self) -> Plain {
        self.plain
    }

    /// The keys' numbers, that of the one in use first.
    pub fn ids(&self) -> impl Iterator<Item = NonZeroU8> {
        self.keys.iter().map(Key::id)
    }

    fn at(&self, id: NonZeroU8) -> Result<usize, KeyError> {
        self.keys.iter().position(|key| key.id == id).ok_or(KeyError::Unknown { id })
    }

    /// The number of the key with which [`seal`](Self::seal) seals.
    pub(crate) fn primary(&self) -> u8 {
        self.keys[0].id.get()
    }

    /// Seals the messages that stand behind room for a nonce, where room for a tag follows them.
    pub(crate) fn seal(&mut self, header: &[u8], rest: &mut [u8]) {
        let (nonce, rest) = rest.split_at_mut(NONCE);
        let (messages, tag) = rest.split_at_mut(rest.len() - TAG);
        nonce[..SALT].copy_from_slice(&self.salt);
        nonce[SALT..].copy_from_slice(&self.counter.to_le_bytes());
        // 584,000 years of a million datagrams a second.
        self.counter += 1;
        let mut full = [0; NONCE];
        full.copy_from_slice(nonce);
        let sealed = self.keys[0].cipher.encrypt_inout_detached(&full.into(), header, messages.into());
        tag.copy_from_slice(&sealed.expect("a datagram is shorter than the 256 GiB that can be sealed"));
    }

    /// The messages, if they were sealed with this key and nothing was altered; none otherwise. `rest`: what follows
    /// the header. An error if there is no such key.
    pub(crate) fn open(&mut self, id: u8, header: &[u8], rest: &[u8]) -> Result<Option<&[u8]>, ()> {
        let Some(key) = self.keys.iter().find(|key| key.id.get() == id) else { return Err(()) };
        let Some((nonce, rest)) = rest.split_first_chunk::<NONCE>() else { return Ok(None) };
        let Some((messages, tag)) = rest.split_last_chunk::<TAG>() else { return Ok(None) };
        self.scratch.clear();
        self.scratch.extend_from_slice(messages);
        let opened = key.cipher.decrypt_inout_detached(
            &XNonce::from(*nonce),
            header,
            self.scratch.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        Ok(opened.is_ok().then_some(&*self.scratch))
    }
}

/// Shows the keys' numbers and nothing that is secret.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<NonZeroU8> = self.ids().collect();
        f.debug_struct("Keyring").field("ids", &ids).field("plain", &self.plain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
