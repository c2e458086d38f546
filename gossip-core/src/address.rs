//! Addresses, in the terms of the transport.

use core::fmt::Debug;
use core::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest encoding of an address that a node accepts as its own, in bytes.
pub const MAX_ADDRESS: usize = 128;

/// A destination that a transport can send to: a socket address, a path, a peer number.
///
/// Implemented for every type that has the bounds. An address must survive encoding: peers answer to what they decode.
/// (The scope id of a link-local IPv6 address is not encoded, so such an address does not survive.)
pub trait Address: Clone + Eq + Hash + Debug + Serialize + DeserializeOwned {}

impl<T: Clone + Eq + Hash + Debug + Serialize + DeserializeOwned> Address for T {}
