//! Messages by which an address proves that it receives what is sent there.
//!
//! ```text
//! stranger ── anything ──▶ node              (nothing of it is taken in)
//! stranger ◀── Challenge ── node
//! stranger ── Proof, and what it wanted ──▶ node
//!
//! receiver ── Fetch (stale token) ──▶ holder
//! receiver ◀── Prove (token) ── holder
//! ```

use serde::{Deserialize, Serialize};

/// The family's messages.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trust {
    /// Nothing was taken in, since the receiver's address has not proved that it receives: asks for the cookie.
    Challenge {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
    /// Answers a challenge.
    Proof {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
    /// Answers a fetch with the token that the next one has to carry.
    Prove {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
        token: u32,
    },
}
