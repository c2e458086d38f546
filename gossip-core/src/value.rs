//! Typed values on top of a node that knows only bytes.
//!
//! A [`Typed`] is the name of an entry and the type of its value. It encodes with postcard when writing and decodes
//! when reading. Other members may have written anything under that name, so a value that does not decode is returned
//! as an error. Uses only the node's public interface.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;

use crate::address::Address;
use crate::error::{DecodeError, TypedError};
use crate::id::NodeId;
use crate::node::{Node, PutOptions};
use crate::time::Instant;
use crate::update::Stamp;

/// Name of an entry, and the type of its value.
///
/// ```
/// use gossip_core::{Config, Instant, Node, NodeId, Typed};
///
/// const LIMIT: Typed<u32> = Typed::new("config/limit");
///
/// let mut node = Node::new(NodeId::from_name("a"), 1_u32, Config::default(), 7)?;
/// let now = Instant::from_secs(1_700_000_000);
/// LIMIT.put(&mut node, now, &10)?;
/// assert_eq!(LIMIT.get(&node)?, Some(10));
///
/// node.put(now, "config/limit", b"")?;
/// assert!(LIMIT.get(&node).is_err(), "somebody wrote something else");
///
/// // Names made at run time: the type alone.
/// node.put(now, "config/limit/de", &LIMIT.encode(&20)?)?;
/// let all: Vec<_> = LIMIT.entries(&node).filter_map(|(name, limit)| Some((name, limit.ok()?))).collect();
/// assert_eq!(all, [("config/limit/de".into(), 20)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Typed<T> {
    name: &'static str,
    value: PhantomData<fn(&T) -> T>,
}

impl<T> Typed<T> {
    /// Names an entry whose values are `T`. A name has at most 255 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }

    /// Returns the name.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<T: Serialize> Typed<T> {
    /// Encodes a value.
    ///
    /// # Errors
    /// A value that postcard cannot encode, such as a sequence of unknown length.
    pub fn encode(self, value: &T) -> Result<Vec<u8>, TypedError> {
        postcard::to_allocvec(value).map_err(|error| TypedError::Encode { name: self.name, reason: error.to_string() })
    }

    /// Writes the shared entry; see [`Node::put`].
    ///
    /// # Errors
    /// A value that cannot be encoded or written; nothing was changed then.
    pub fn put<A: Address>(self, node: &mut Node<A>, now: Instant, value: &T) -> Result<Stamp, TypedError> {
        self.put_with(node, now, value, PutOptions::default())
    }

    /// Writes this member's own entry; see [`Node::put_own`].
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_own<A: Address>(self, node: &mut Node<A>, now: Instant, value: &T) -> Result<Stamp, TypedError> {
        self.put_with(node, now, value, PutOptions::default().own())
    }

    /// Writes this member's share; see [`Node::put_share`].
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_share<A: Address>(self, node: &mut Node<A>, now: Instant, value: &T) -> Result<Stamp, TypedError> {
        self.put_with(node, now, value, PutOptions::default().share())
    }

    /// Writes the entry with options; see [`Node::put_with`].
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_with<A: Address>(
        self,
        node: &mut Node<A>,
        now: Instant,
        value: &T,
        options: PutOptions,
    ) -> Result<Stamp, TypedError> {
        Ok(node.put_with(now, self.name, &self.encode(value)?, options)?)
    }
}

impl<T: DeserializeOwned> Typed<T> {
    /// Decodes a value.
    ///
    /// # Errors
    /// Bytes that do not encode a `T`, or that go on after it.
    pub fn decode(self, bytes: &[u8]) -> Result<T, DecodeError> {
        let error = |reason| DecodeError { name: self.name, length: bytes.len(), reason };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(error(alloc::format!("{} bytes are left over", rest.len()))),
            Err(reason) => Err(error(reason.to_string())),
        }
    }

    /// Reads the shared entry, if there is one; see [`Node::get`].
    ///
    /// # Errors
    /// Another member wrote a value of another type.
    pub fn get<A: Address>(self, node: &Node<A>) -> Result<Option<T>, DecodeError> {
        node.get(self.name).map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Reads a member's own entry, if there is one; see [`Node::get_own`].
    ///
    /// # Errors
    /// Its owner wrote a value of another type.
    pub fn get_own<A: Address>(self, node: &Node<A>, owner: NodeId) -> Result<Option<T>, DecodeError> {
        node.get_own(owner, self.name).map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Reads a member's share, if there is one; see [`Node::get_share`].
    ///
    /// # Errors
    /// Its owner wrote a value of another type.
    pub fn get_share<A: Address>(self, node: &Node<A>, owner: NodeId) -> Result<Option<T>, DecodeError> {
        node.get_share(owner, self.name).map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Lists the shared entries whose names begin with this one, by name; see [`Node::entries`].
    pub fn entries<A: Address>(
        self,
        node: &Node<A>,
    ) -> impl Iterator<Item = (SmolStr, Result<T, DecodeError>)> + use<'_, T, A> {
        node.entries(self.name).map(move |(name, bytes)| (name, self.decode(&bytes)))
    }

    /// Lists the members' own entries of this name, by owner; see [`Node::entries_named`].
    pub fn entries_named<A: Address>(
        self,
        node: &Node<A>,
    ) -> impl Iterator<Item = (NodeId, Result<T, DecodeError>)> + use<'_, T, A> {
        node.entries_named(self.name).map(move |(owner, bytes)| (owner, self.decode(&bytes)))
    }

    /// Lists the members' shares of this name, by owner; see [`Node::shares_named`].
    pub fn shares_named<A: Address>(
        self,
        node: &Node<A>,
    ) -> impl Iterator<Item = (NodeId, Result<T, DecodeError>)> + use<'_, T, A> {
        node.shares_named(self.name).map(move |(owner, bytes)| (owner, self.decode(&bytes)))
    }
}

impl<T> Copy for Typed<T> {}
impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed<{}>({:?})", core::any::type_name::<T>(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;
    use crate::{Config, WriteError};

    const NOW: Instant = Instant::from_secs(1_700_000_000);
    const LIMITS: Typed<(u32, String)> = Typed::new("limits");

    fn node() -> Node<u32> {
        Node::new(NodeId::new(1), 1, Config::lan(), 1).unwrap()
    }

    #[test]
    fn what_is_put_comes_back_shared_and_owned_apart() {
        let mut node = node();
        let (shared, own) = ((1, String::from("a")), (2, String::from("b")));
        LIMITS.put(&mut node, NOW, &shared).unwrap();
        LIMITS.put_own(&mut node, NOW, &own).unwrap();
        assert_eq!(LIMITS.get(&node), Ok(Some(shared.clone())));
        assert_eq!(LIMITS.get_own(&node, node.id()), Ok(Some(own.clone())));
        assert_eq!(LIMITS.get_own(&node, NodeId::new(2)), Ok(None));
        assert_eq!(LIMITS.entries(&node).collect::<Vec<_>>(), [("limits".into(), Ok(shared))]);
        assert_eq!(LIMITS.entries_named(&node).collect::<Vec<_>>(), [(node.id(), Ok(own))]);
    }

    #[test]
    fn bytes_of_another_type_are_an_error_with_name_and_length() {
        let mut node = node();
        for (bytes, reason) in [(&b"\x01"[..], "Hit the end of buffer"), (b"\x01\x00\x00", "1 bytes are left over")] {
            node.put(NOW, "limits", bytes).unwrap();
            let error = LIMITS.get(&node).unwrap_err();
            assert_eq!((error.name, error.length), ("limits", bytes.len()));
            assert!(error.reason.contains(reason), "{error}");
        }
        let (_, good) = LIMITS.entries(&node).next().unwrap();
        assert!(good.is_err(), "one that does not decode is in its place");
    }

    #[test]
    fn a_value_that_cannot_be_written_changes_nothing() {
        let mut node = node();
        let long = (1, "x".repeat(1 << 20));
        let refused = LIMITS.put(&mut node, NOW, &long);
        assert!(
            matches!(refused, Err(TypedError::Write(WriteError::TooLarge { size: 1_048_580, largest: 1_048_576 }))),
            "{refused:?}"
        );
        assert_eq!(LIMITS.get(&node), Ok(None));
    }
}
