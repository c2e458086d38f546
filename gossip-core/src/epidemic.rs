//! How updates travel: direct mail, rumor mongering, anti-entropy (Demers et al., sections 1.2 to 1.4).

pub(crate) mod interest;
