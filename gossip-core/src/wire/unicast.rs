//! Messages from one member to another, for the application, and the answers to queries.
//!
//! ```text
//! member ── Note ──▶ member                  (no answer)
//!
//! member ── Post (again and again) ──▶ member
//! member ◀── Receipt ── member               (for each; shorter than a post)
//!
//! asker  ── Broadcast that asks ──▶ all      (as any update)
//! asker  ◀── Post (Received) ── member       (if its application takes its time)
//! asker  ── Receipt ──▶ member
//! asker  ◀── Post (Response or Declined) ── member
//! asker  ── Receipt ──▶ member
//! ```

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::update::{Stamp, bytes};

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unicast {
    /// Brings the application a message, if it is not lost.
    Note {
        #[serde(with = "bytes")]
        payload: Arc<[u8]>,
    },
    /// Asks for a receipt, and is repeated until that comes.
    Post(Post),
    /// Answers a post: it was taken in.
    Receipt {
        #[serde(with = "postcard::fixint::le")]
        session: u32,
        number: u32,
    },
}

/// Message that is taken in once, however often it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Post {
    /// Random number of this row of posts.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) session: u32,
    /// Position in it.
    pub(crate) number: u32,
    pub(crate) content: Content,
}

/// Content of a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Message for the application.
    Payload(#[serde(with = "bytes")] Arc<[u8]>),
    /// The query of this stamp has arrived, and the application has not answered yet.
    Received(Stamp),
    /// The application answers the query of this stamp.
    Response(Stamp, #[serde(with = "bytes")] Arc<[u8]>),
    /// The application has no answer to the query of this stamp.
    Declined(Stamp),
}

impl Unicast {
    /// Counts the things to look at.
    pub(super) const fn work(&self) -> usize {
        match self {
            Self::Note { .. } | Self::Post(_) => 1,
            Self::Receipt { .. } => 0,
        }
    }
}
