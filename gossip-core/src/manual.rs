//! The manual.
//!
//! - [`when`]: what gossip is good for, and what not.
//! - [`algorithm`]: state, mechanisms and every invariant, in short.
//! - [`parameters`]: choosing a configuration, with figures from `gossip-sim`.
//! - [`driver`], [`transport`]: connecting a node to the world.
//! - [`testing`]: your framing, driver, protocol or fold under random disasters.
//! - [`operating`]: every event and every counter, and what to do.
//! - [`security`]: what is protected, and what is not.
//! - [`wire`]: the format byte by byte, and its versions.
//! - [`guarantees`]: what is guaranteed, what is not, what is not supported.
//! - [`comparison`]: memberlist, foca, chitchat, iroh-gossip.
//!
//! The same pages are in the repository, in `gossip-core/docs`. Their code is compiled by tests: that of the pages on
//! transports and on testing by the crates that it uses.

#[doc = include_str!("../docs/when.md")]
pub mod when {}

#[doc = include_str!("../docs/ALGORITHM.md")]
pub mod algorithm {}

#[doc = include_str!("../docs/parameters.md")]
pub mod parameters {}

#[doc = include_str!("../docs/driver.md")]
pub mod driver {}

// What these two show is not this crate's to compile: gossip-tokio and gossip-testkit do.
#[cfg_attr(not(doctest), doc = include_str!("../docs/transport.md"))]
pub mod transport {}

#[cfg_attr(not(doctest), doc = include_str!("../docs/testing.md"))]
pub mod testing {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/security.md")]
pub mod security {}

#[doc = include_str!("../docs/wire.md")]
pub mod wire {}

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}
