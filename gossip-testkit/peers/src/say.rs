//! The workload that all protocols have in common: a message to all, known by a number.

use std::fmt;
use std::str::FromStr;

use gossip_testkit::{Dice, Machine, Workload};

/// Sends a message of 64 bytes with this number to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say(pub u64);

/// Bytes of a message.
pub const LENGTH: usize = 64;

impl Say {
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = self.0.to_le_bytes().to_vec();
        payload.resize(LENGTH, b'.');
        payload
    }
}

/// The number of a message.
pub fn number(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The key of a message in a view.
pub fn key(number: u64) -> String {
    format!("message {number}")
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "say {}", self.0)
    }
}

impl FromStr for Say {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let number = text.strip_prefix("say ").and_then(|number| number.parse().ok());
        number.map(Self).ok_or("expected `say` and a number")
    }
}

impl Workload for Say {
    /// No number comes twice, but by an accident of 2^-40 or so.
    fn random(dice: &mut Dice) -> Self {
        Self(dice.bits() >> 8)
    }
}

/// A protocol of the comparison.
pub trait Peer: Machine<Command = Say, Config: Default> {
    /// Its name and version.
    const NAME: &'static str;
    /// True if it knows all members and finds out who has crashed.
    const DETECTS: bool;

    /// Returns true if this node has received a message.
    fn heard(&self, number: u64) -> bool;

    /// Returns true if this node knows enough of a cluster of `nodes` to work.
    fn joined(&self, nodes: usize) -> bool;
}
