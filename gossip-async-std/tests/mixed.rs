//! The testkit's conformance suite over a cluster of both adapters: every other node runs on the other runtime.

mod common;
#[allow(clippy::duplicate_mod, reason = "the same harness once more, over the other runtime")]
#[path = "../../gossip-tokio/tests/common/mod.rs"]
mod other;

use std::net::SocketAddr;

use common::harness::{Adapter, Loopback, Running};
use gossip_testkit::suite::{self, Error, Harness};
use other::harness as tokio;

use common::gossip::gossip_core::{Config, Member};

enum Either {
    AsyncStd(Running<Loopback>),
    Tokio(tokio::Running<tokio::Loopback>),
}

struct Mixed {
    async_std: Adapter<Loopback>,
    tokio: tokio::Adapter<tokio::Loopback>,
    starts: usize,
}

/// The same call, whoever the node belongs to.
macro_rules! at {
    ($self:ident.$method:ident($node:ident $(, $argument:expr)*)) => {
        match $node {
            Either::AsyncStd(node) => $self.async_std.$method(node $(, $argument)*),
            Either::Tokio(node) => $self.tokio.$method(node $(, $argument)*),
        }
    };
}

impl Harness for Mixed {
    type Address = SocketAddr;
    type Node = Either;

    fn start(&mut self, name: &str, config: Config, seeds: &[SocketAddr]) -> Result<Either, Error> {
        self.starts += 1;
        if self.starts.is_multiple_of(2) {
            self.async_std.start(name, config, seeds).map(Either::AsyncStd)
        } else {
            self.tokio.start(name, config, seeds).map(Either::Tokio)
        }
    }

    fn stop(&mut self, node: Either) {
        at!(self.stop(node));
    }

    fn address(&self, node: &Either) -> SocketAddr {
        at!(self.address(node))
    }

    fn put(&mut self, node: &Either, name: &str, value: &[u8]) -> Result<(), Error> {
        at!(self.put(node, name, value))
    }

    fn delete(&mut self, node: &Either, name: &str) -> Result<(), Error> {
        at!(self.delete(node, name))
    }

    fn broadcast(&mut self, node: &Either, payload: &[u8]) -> Result<(), Error> {
        at!(self.broadcast(node, payload))
    }

    fn leave(&mut self, node: &Either) -> Result<(), Error> {
        at!(self.leave(node))
    }

    fn get(&self, node: &Either, name: &str) -> Option<Vec<u8>> {
        at!(self.get(node, name))
    }

    fn members(&self, node: &Either) -> Vec<Member<SocketAddr>> {
        at!(self.members(node))
    }

    fn heard(&mut self, node: &mut Either) -> Vec<Vec<u8>> {
        at!(self.heard(node))
    }

    fn lose(&mut self, share: f64) {
        self.async_std.lose(share);
        self.tokio.lose(share);
    }

    fn inject(&mut self, to: &SocketAddr, bytes: &[u8]) -> Result<(), Error> {
        self.async_std.inject(to, bytes)
    }
}

#[test]
fn a_cluster_on_both_runtimes_conforms() {
    let (async_std, tokio) = (Adapter::new(Loopback), tokio::Adapter::new(tokio::Loopback));
    let report = suite::run(&mut Mixed { async_std, tokio, starts: 0 }).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{report}");
}
