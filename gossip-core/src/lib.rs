//! Gossip as a sans-IO state machine.
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod config;
mod epidemic;
mod error;
mod event;
mod id;
mod members;
mod node;
mod outbox;
mod replica;
mod sketch;
mod swim;
mod time;
mod update;
mod value;
mod wire;

pub use address::{Address, MAX_ADDRESS};
pub use config::{
    AntiEntropy, Config, Exchange, Healing, Lifetimes, Limits, LossOfInterest, Mail, Membership, Policy, Probe,
    Response,
};
pub use error::{ConfigError, DatagramError, DecodeError, RestoreError, TypedError, WriteError};
pub use event::{BroadcastId, Change, Event, Member, Status};
pub use id::{NodeId, ParseNodeIdError};
pub use node::{Input, Node, PutOptions, Reconciled, Snapshot, Stats, Transmit};
pub use outbox::Kind;
pub use time::Instant;
pub use update::{Broadcast, Certificate, Entry, MAX_NAME, Owner, Record, Stamp, Standing, Until, Update};
pub use value::Typed;

/// Rumor mongering (Demers et al., section 1.4): its settings, and the decision whether a site stays infective, for
/// those who want to measure it alone.
pub mod rumor {
    pub use crate::config::{Exchange, LossOfInterest, Policy, Response};
    pub use crate::epidemic::interest::{Contact, Interest};
}
