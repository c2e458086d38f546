//! Messages of failure detection (SWIM, sections 3.1 and 4.2; Lifeguard, section IV).
//!
//! ```text
//! prober ── Ping ──▶ target                  prober ── PingReq ──▶ helper ── Ping ──▶ target
//! prober ◀── Ack ─── target                  prober ◀──── Ack ──── helper ◀── Ack ─── target
//!                                            prober ◀──── Nack ─── helper             (no ack by 80 % of the timeout)
//!
//! member ── anything, from an address that is not in its record ──▶ peer ── Ping ──▶ the address in the record (silence)
//! member ◀── Unreached ── peer
//! ```

use serde::{Deserialize, Serialize};

use super::size::encoded_len;
use crate::address::{Address, MAX_ADDRESS};
use crate::id::NodeId;

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Swim<A> {
    /// Asks the receiver for an [`Ack`](Self::Ack).
    Ping {
        #[serde(with = "postcard::fixint::le")]
        seq: u32,
    },
    /// Answers the ping of the same number; also sent by a helper whose own ping the target has answered.
    Ack {
        #[serde(with = "postcard::fixint::le")]
        seq: u32,
    },
    /// Asks the receiver to ping a member that was silent.
    PingReq(PingReq<A>),
    /// Answers a ping-req: the target has been pinged and was silent so far.
    Nack {
        #[serde(with = "postcard::fixint::le")]
        seq: u32,
    },
    /// Tells the receiver that it does not answer at the address in its record.
    Unreached(Unreached<A>),
}

/// Report on the address of its receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) struct Unreached<A> {
    /// Address in the receiver's record, at which it does not answer the sender.
    pub(crate) advertised: A,
    /// Address from which the sender gets the receiver's datagrams.
    pub(crate) seen: A,
}

/// Request to ping `target` on behalf of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) struct PingReq<A> {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) seq: u32,
    pub(crate) target: NodeId,
    /// The target's address, for a helper that has no record of it.
    pub(crate) address: A,
}

impl<A: Address> Swim<A> {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::PingReq(PingReq { address, .. }) => encoded_len(address) <= MAX_ADDRESS,
            Self::Unreached(Unreached { advertised, seen }) => {
                encoded_len(advertised) <= MAX_ADDRESS && encoded_len(seen) <= MAX_ADDRESS
            }
            Self::Ping { .. } | Self::Ack { .. } | Self::Nack { .. } => true,
        }
    }
}
