//! Messages by which an address proves that it receives what is sent there.
//!
//! ```text
//! stranger ── anything, Challenge ──▶ node   (nothing of it is taken in)
//! stranger ◀── Proof, Challenge ── node
//! stranger ── anything, Proof ──▶ node
//!
//! receiver ── Fetch (no token, or a stale one) ──▶ holder
//! receiver ◀── Challenge ── holder
//! receiver ── Fetch (the cookie as its token) ──▶ holder
//! ```

use serde::{Deserialize, Serialize};

/// The family's messages.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trust {
    /// Nothing was taken in, since the receiver's address has not proved that it receives: asks for the cookie, which
    /// is the token for that address.
    Challenge {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
    /// Answers a challenge.
    Proof {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
}
