//! Parts that every pull is made of: the ranges still missing, and the retry clock of a question.
//!
//! Pages of a set, bytes of a value, newer versions and sketches are asked for in the same way: the receiver drives, asks
//! again for what was lost, and waits longer each time.

mod patience;
mod question;
mod ranges;

pub(crate) use patience::Patience;
pub(crate) use question::Question;
pub(crate) use ranges::RangeSet;
