//! Each adapter carries its protocol: what is measured is the protocol, and not a wire that was forgotten.

use std::time::Duration;

use gossip_core::Status;
use gossip_testkit::{Addr, Cluster};

use crate::foca::Foca2;
use crate::iroh::Iroh;
use crate::memberlist::Members;
use crate::ours::Ours;
use crate::plumtree::Plum;
use crate::say::{Peer, Say};

const SECOND: Duration = Duration::from_secs(1);

/// Five nodes meet, tell each other a message, and find out who has crashed.
fn carries<P: Peer>() {
    let mut cluster = Cluster::<P>::builder(5, P::Config::default()).seed(1).seeds(2).start_within(SECOND).build();
    let met =
        |cluster: &Cluster<P>| cluster.live().count() == 5 && cluster.live().all(|(_, machine)| machine.joined(5));
    assert!(cluster.run_until(60 * SECOND, SECOND / 20, met).is_some(), "they have not met");
    cluster.run_for(30 * SECOND);
    assert_eq!(cluster.counters().refused, 0, "no datagram is refused");
    cluster.command(3, &Say(7)).unwrap();
    let spread = cluster.spread(10 * SECOND, |machine| machine.heard(7));
    assert!(spread.t_last().is_some(), "the message is not at all");
    cluster.crash(4);
    if P::DETECTS {
        let gone = |cluster: &Cluster<P>| {
            let lives = |machine: &P| matches!(machine.opinion(Addr(4)), Some(Status::Alive | Status::Suspect));
            !cluster.live().any(|(_, machine)| lives(machine))
        };
        assert!(cluster.run_until(120 * SECOND, SECOND, gone).is_some(), "the crash is not found out");
    }
}

#[test]
fn ours() {
    carries::<Ours>();
}

#[test]
fn foca() {
    carries::<Foca2>();
}

#[test]
fn memberlist() {
    carries::<Members>();
}

#[test]
fn iroh() {
    carries::<Iroh>();
}

#[test]
fn hyparview_and_plumtree() {
    carries::<Plum>();
}
