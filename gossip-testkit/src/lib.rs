//! Property-based convergence checks for gossip protocols under arbitrary message loss.
//!
//! You have a gossip node in a transport, a framing or a configuration of your own; or a protocol that has nothing to
//! do with ours. Does it converge, whatever the network does? Ten lines ask that of a thousand scenarios in which
//! datagrams are lost, one by one and in bursts, duplicated, delayed, reordered and damaged, networks are cut one way and
//! both ways, processes crash, restart with and without their memory and stand still, and clocks are wrong:
//!
//! ```
//! use gossip_core::Node;
//! use gossip_testkit::{Addr, Command, Scenario, check};
//! use proptest::prelude::*;
//!
//! proptest! {
//! #   #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]
//!     # /*
//!     #[test]
//!     # */
//!     fn nodes_agree_whatever_happens(scenario: Scenario<Command>) {
//!         check::<Node<Addr>>(&scenario)?;
//!     }
//! }
//! # nodes_agree_whatever_happens();
//! ```
//!
//! quickcheck takes the same property as `fn(Scenario<Command>) -> Result<Report, Failure>`, and [`sweep`] needs neither.
//!
//! # What is checked
//!
//! *For every scenario whose faults end by some time, every invariant holds at every step, and within
//! 8·log2 n + 90 protocol periods after the last fault and the last write all live replicas hold the same, which is the
//! join of all writes still held by somebody, and every live member is alive in every live view.* What those
//! [invariants](invariant) are, they say themselves: no version steps back, nothing deleted comes back, a broadcast is
//! delivered once, no datagram is over the budget, a deadline is always pending, an idle cluster is silent, and more.
//! [`Checker::invariant`] adds your own.
//!
//! # What a failure looks like
//!
//! The first scenario that fails is made small: faults, writes and nodes that are not needed are left out, and what loses
//! datagrams by chance becomes the list of the datagrams that had to be lost. A protocol that tells everybody everything
//! once (`examples/failing.rs`) fails like this:
//!
//! ```text
#![doc = include_str!("../examples/failing.txt")]
//! ```
//!
//! The scenario is text that parses back: paste it into a test, and it is a regression test for ever.
//!
//! # What there is
//!
//! - [`Machine`]: what can be checked. [`gossip_core::Node`] can; [`Framed`] puts a framing of yours around it
//!   (`examples/framing.rs`); sixty lines of another protocol are enough (`examples/counter.rs`).
//! - [`Scenario`] and [`FaultPlan`]: plain data with builders, printed as text. [`Swarm`] draws them at random.
//! - [`run`], [`check`](check()), [`sweep`]; [`Checker`] for everything they choose for you.
//! - [`laws`]: whether a fold over the members' shares is one that a cluster can agree on, and outlives restarts, crashes and departures
//!   (`examples/folds.rs`).
//! - [`Cluster`]: stories told line by line, and measurements:
//!
//! ```
//! # use std::time::Duration;
//! use gossip_testkit::{Cluster, Command};
//!
//! let mut cluster = Cluster::<gossip_core::Node<_>>::new(6, 42);
//! cluster.run_rounds(5);
//! cluster.partition([0, 1], [2, 3, 4, 5]);
//! cluster.command(0, &Command::put("leader", "zero"))?;
//! cluster.command(5, &Command::put("leader", "five"))?;
//! cluster.run_for(Duration::from_secs(60));
//! assert!(!cluster.agrees());
//! cluster.heal();
//! cluster.assert_converges_within(Duration::from_secs(30));
//! # Ok::<(), String>(())
//! ```
//!
//! - [`suite`]: does an adapter or a transport carry the protocol over real sockets? Conformance scenarios behind a
//!   small trait; the only part that is not simulated.
//!
//! Time is virtual and everything random has a seed: a run is the same, byte for byte, on every machine.
//! ([`Report::trace`] is its hash.) On one core the simulator carries about a million datagrams per second.
//!
//! # Features
//!
//! `proptest` and `quickcheck`, both on: `Arbitrary` for [`Scenario`], each usable alone; with neither there is
//! [`sweep`]. `encryption`: nodes that seal their datagrams, as [`gossip_core`] does with its feature of that name. `cli`:
//! the binary `gossip-sim`.

mod address;
mod check;
mod cluster;
mod coin;
mod command;
mod coverage;
mod failure;
mod features;
mod framed;
mod front;
mod hunt;
pub mod invariant;
pub mod lab;
pub mod laws;
mod machine;
mod marks;
mod metrics;
mod minimise;
mod node;
mod plan;
mod scenario;
mod settings;
pub mod shrink;
mod sim;
pub mod suite;
mod trial;
mod wrapper;

pub use address::Addr;
pub use check::{Checker, check, run};
pub use cluster::{Cluster, ClusterBuilder, Handle};
pub use command::{Command, ParseCommandError};
pub use coverage::Coverage;
pub use failure::Failure;
pub use framed::{Framed, Framing};
pub use front::{Sweep, sweep};
pub use hunt::Hunt;
pub use machine::{Boot, Expectations, Idle, ItemVersion, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem};
pub use marks::sometimes;
pub use metrics::{Spread, Usage};
pub use node::id_of;
pub use plan::{Chance, Damage, Fault, FaultPlan, Harm, Links, Nodes, Restart, Window};
pub use scenario::{Dice, ParseError, Scenario, Swarm, Workload, Write};
pub use sim::{Counters, Datagram, Latency, Traffic, Verdict};
pub use trial::Report;
pub use wrapper::Wrapper;

/// The code of the manual's page on testing, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../gossip-core/docs/testing.md")]
struct Manual;
