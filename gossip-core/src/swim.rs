//! The failure detector: SWIM (Das et al., 2002) with Lifeguard (Dadgar et al., 2018).
//!
//! Finds out who does not answer, and how long a suspicion lasts. Knows the member view and where members are; what
//! follows from its findings is the node's to do.

mod health;
mod probe;
mod suspicion;

pub(crate) use health::Health;
pub(crate) use probe::{Context, Prober};
pub(crate) use suspicion::{Due, Suspicions, Verdict};
