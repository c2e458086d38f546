//! How updates travel: direct mail, rumor mongering, anti-entropy (Demers et al., sections 1.2 to 1.4).
//!
//! Each takes the replica and the outbox; none knows the node, nor what an update means.

pub(crate) mod anti_entropy;
mod bucket;
pub(crate) mod direct_mail;
pub(crate) mod interest;
pub(crate) mod rumor;
mod token;
pub(crate) mod transfer;
