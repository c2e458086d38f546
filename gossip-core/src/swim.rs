//! The failure detector: SWIM (Das et al., 2002) with Lifeguard (Dadgar et al., 2018).
//!
//! Finds out who does not answer, and how long a suspicion lasts. Knows the member view and where members are; what
//! follows from its findings is the node's to do.

mod detector;
mod health;
mod probe;
mod suspicion;

pub(crate) use detector::{Context, Counted, Detector, Finding};
use health::Health;
use probe::Prober;
