//! The three mechanisms that spread updates: direct mail, rumor mongering, anti-entropy (Demers et al., sections 1.2 to
//! 1.4).
//!
//! Each receives the replica and the outbox. None knows the node or the meaning of an update.

pub(crate) mod anti_entropy;
pub(crate) mod direct_mail;
pub(crate) mod interest;
mod pull;
pub(crate) mod rumor;
pub(crate) mod transfer;
