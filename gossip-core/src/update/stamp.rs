//! Stamps: when, and by whom, something was written.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::time::Instant;

/// Time and author of a write: totally ordered, unique as long as ids are.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The writer's hybrid logical clock.
    pub time: Instant,
    /// Tells apart what was written in one microsecond.
    pub counter: u32,
    /// The writer.
    pub node: NodeId,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}+{} by {}", self.time, self.counter, self.node)
    }
}
