//! Where a node is, in whatever terms the transport uses.

use core::fmt::Debug;
use core::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest encoding of an address that a node accepts as its own, in bytes.
pub const MAX_ADDRESS: usize = 128;

/// What a transport sends to: a socket address, a path, a peer number.
///
/// Implemented for every type that has the bounds. An address must survive encoding: what a peer decodes is what it
/// answers to. (The scope id of a link-local IPv6 address does not.)
pub trait Address: Clone + Eq + Hash + Debug + Serialize + DeserializeOwned {}

impl<T: Clone + Eq + Hash + Debug + Serialize + DeserializeOwned> Address for T {}
