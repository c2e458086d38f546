//! The laboratory: epidemics in synchronous cycles, as the literature simulates and analyses them, and [`real`] nodes.
//!
//! One update, a complete graph, no loss, no latency: what is left is the arithmetic of who calls whom and when
//! interest is lost. The decision to lose it is production's own [`Interest`](gossip_core::rumor::Interest), so that
//! the tables of Demers et al. (1987) are a test of the code that nodes run. Only connection limits and hunting exist
//! here alone.
//!
//! Knows policies and random numbers. Must not know nodes, datagrams or clocks: [`real`] has those, and the
//! [simulator](crate) beneath it.
//!
//! ```
//! use gossip_core::{Config, Policy};
//! use gossip_testkit::lab::{Epidemic, Measured};
//!
//! let policy = Policy { k: 2, fanout: 1, ..Config::lan().rumor };
//! let measured = Measured::of(&Epidemic::new(1_000, policy), 50, 1, &|| ())?;
//! assert!((measured.residue.mean - 0.037).abs() < 0.01); // table 1
//! # Ok::<(), gossip_testkit::lab::Impossible>(())
//! ```

mod cycle;
mod epidemic;
mod lines;
mod proportion;
pub mod real;
pub mod recording;
mod simple;
pub mod tables;
mod trials;

pub use epidemic::{Epidemic, Impossible, MAX_NODES, Measured, Outcome};
pub use proportion::{CONFIDENCE, Proportion};
pub use simple::SimpleEpidemic;
pub use trials::{Estimate, trials};
