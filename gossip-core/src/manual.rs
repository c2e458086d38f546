//! The manual.
//!
//! - [`when`]: uses for which gossip fits, and uses for which it does not.
//! - [`algorithm`]: state, mechanisms and every invariant, in short.
//! - [`parameters`]: choosing a configuration, with figures from `gossip-sim`.
//! - [`constants`]: numbers that are no settings, each with its reason.
//! - [`driver`], [`transport`]: connecting a node to the world.
//! - [`testing`]: your framing, driver, protocol or fold under random faults.
//! - [`operating`]: every event and every counter, and what to do.
//! - [`security`]: the attacks that are defended against, and those that are not.
//! - [`wire`]: the format byte by byte, and its versions.
//! - [`guarantees`]: what is guaranteed, what is not, and what is not supported.
//! - [`comparison`]: memberlist, foca, chitchat, iroh-gossip.
//!
//! The same pages are in the repository, in `gossip-core/docs`. Tests compile their code. The crates gossip-tokio and
//! gossip-testkit compile that of the pages on transports and on testing.

#[doc = include_str!("../docs/when.md")]
pub mod when {}

#[doc = include_str!("../docs/ALGORITHM.md")]
pub mod algorithm {}

#[doc = include_str!("../docs/parameters.md")]
pub mod parameters {}

#[doc = include_str!("../docs/constants.md")]
pub mod constants {}

#[doc = include_str!("../docs/driver.md")]
pub mod driver {}

// The code in these two pages uses gossip-tokio and gossip-testkit, so those crates compile it.
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
