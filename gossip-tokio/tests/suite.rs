//! The testkit's conformance suite over the transports that this adapter brings along.

mod common;

use common::harness::{Adapter, InProcess, Loopback, Medium};
use gossip_testkit::suite;

fn conforms(medium: impl Medium) {
    match suite::run(&mut Adapter::new(medium)) {
        Ok(report) => eprintln!("{report}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn udp_conforms() {
    conforms(Loopback);
}

#[test]
fn memory_conforms() {
    conforms(InProcess::default());
}
