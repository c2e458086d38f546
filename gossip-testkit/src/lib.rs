//! Property-based convergence checks for gossip protocols under arbitrary message loss.

mod address;
mod check;
mod cluster;
mod failure;
pub mod invariant;
pub mod lab;
mod machine;
mod metrics;
mod minimise;
mod node;
mod plan;
mod scenario;
mod sim;

pub use address::Addr;
pub use check::{Checker, Report, check, run};
pub use cluster::{Cluster, ClusterBuilder, Handle};
pub use failure::Failure;
pub use machine::{Boot, Idle, Item, Limits, Machine, Membership, Note, Outgoing, Version, View};
pub use metrics::{Spread, Usage};
pub use node::{Command, ParseCommandError, id_of};
pub use plan::{Chance, Fault, FaultPlan, Links, Nodes, Restart, Window};
pub use scenario::{Dice, ParseError, Scenario, Swarm, Workload, Write};
pub use sim::{Counters, Datagram, Latency, Traffic, Verdict};
