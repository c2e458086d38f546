//! The failure detector: SWIM (Das et al., 2002) with Lifeguard (Dadgar et al., 2018).
//!
//! Finds out who does not answer, and how long a suspicion lasts. Knows the member view and where members are; what
//! follows from its findings is the node's to do.

mod detector;
mod first_sight;
mod health;
mod paths;
mod probe;
mod reach;
mod suspicion;

pub(crate) use detector::{Context, Counted, Detector, Finding};
use first_sight::FirstSight;
use health::Health;
use paths::Paths;
use probe::Prober;
use reach::{Reach, Step};
