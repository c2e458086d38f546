//! Real sockets, on the loopback and on free ports: families, names, addresses to advertise.

mod common;

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use common::gossip::gossip_core::{Config, NodeId, Status};
use common::gossip::{Bind, Builder, Gossip, SpawnError, Transport as _, Udp, bind};
use common::{millis, run, within};

fn builder(address: &str) -> Builder<Bind> {
    bind(address).config(Config::local())
}

/// Returns true if the machine has IPv6.
fn has_ipv6() -> bool {
    let bound = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
    if bound.is_err() {
        eprintln!("no IPv6 here: nothing was tested");
    }
    bound.is_ok()
}

/// Waits until two nodes know each other and have each other's entries.
async fn become_one(nodes: [&Gossip; 2]) {
    for (number, node) in nodes.into_iter().enumerate() {
        node.put(format!("from/{number}"), b"value").unwrap();
    }
    for node in nodes {
        node.wait_members(2).await.unwrap();
        node.wait_for("from/0").await.unwrap();
        node.wait_for("from/1").await.unwrap();
    }
}

#[test]
fn two_nodes_meet_over_ipv4() {
    run(|| async {
        let first = builder("127.0.0.1:0").name("first").spawn().await.unwrap();
        assert_ne!(first.address().port(), 0);
        let second = builder("127.0.0.1:0").join([first.address()]).spawn().await.unwrap();
        become_one([&first, &second]).await;
        assert_eq!(second.member(NodeId::from_name("first")).unwrap().address, first.address());
    });
}

#[test]
fn two_nodes_meet_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    run(|| async {
        let first = builder("[::1]:0").spawn().await.unwrap();
        let second = builder("[::1]:0").join([first.address()]).spawn().await.unwrap();
        become_one([&first, &second]).await;
    });
}

#[test]
fn a_socket_for_both_families_meets_one_for_ipv4() {
    if !has_ipv6() {
        return;
    }
    run(|| async {
        let first = builder("127.0.0.1:0").spawn().await.unwrap();
        let second = builder("[::]:0").advertise("127.0.0.1:0").join([first.address()]).spawn().await.unwrap();
        become_one([&first, &second]).await;
        assert_eq!(first.member(second.id()).unwrap().address, second.address());
        assert!(second.address().is_ipv4());
    });
}

#[test]
fn a_node_bound_to_everything_is_reached_at_what_it_advertises() {
    run(|| async {
        let first = builder("0.0.0.0:0").advertise("127.0.0.1:0").spawn().await.unwrap();
        let address = first.address();
        assert_eq!(address.ip(), std::net::IpAddr::from([127, 0, 0, 1]));
        assert_ne!(address.port(), 0, "the port that was bound");
        let second = builder("127.0.0.1:0").join([address]).spawn().await.unwrap();
        become_one([&first, &second]).await;
    });
}

#[test]
fn seeds_may_be_names_also_such_as_nobody_knows_yet() {
    run(|| async {
        let first = builder("127.0.0.1:0").spawn().await.unwrap();
        let names = [format!("localhost:{}", first.address().port()), "no-such-host.invalid:1".into()];
        let second = builder("127.0.0.1:0").join(names).spawn().await.unwrap();
        become_one([&first, &second]).await;
    });
}

#[test]
fn a_node_that_is_alone_waits_for_its_seed() {
    run(|| async {
        // A port that was free a moment ago.
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let early = builder("127.0.0.1:0").join([address]).spawn().await.unwrap();
        assert!(within(millis(500), early.wait_members(2)).await.is_none());
        let seed = builder(&address.to_string()).spawn().await.unwrap();
        become_one([&seed, &early]).await;
    });
}

#[test]
fn a_member_that_comes_back_elsewhere_is_the_same_member() {
    run(|| async {
        let first = builder("127.0.0.1:0").spawn().await.unwrap();
        let second = builder("127.0.0.1:0").name("second").join([first.address()]).spawn().await.unwrap();
        become_one([&first, &second]).await;
        let (id, before) = (second.id(), second.address());
        second.stop();
        second.stopped().await.unwrap();
        // The old port stays taken, so that the new one is another.
        let _taken = UdpSocket::bind(before).expect("the socket is closed");
        let second = builder("127.0.0.1:0").name("second").join([first.address()]).spawn().await.unwrap();
        let moved = |node: &Gossip| {
            node.member(id).is_some_and(|member| member.status == Status::Alive && member.address == second.address())
        };
        first.wait_until(moved).await.unwrap();
        assert_eq!(first.members().len(), 2);
    });
}

#[test]
fn addresses_that_cannot_work_are_refused_with_their_reason() {
    run(|| async {
        let error = builder("0.0.0.0:0").spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::Unspecified(_)));
        assert!(error.to_string().starts_with("0.0.0.0:"), "{error}");
        assert!(error.to_string().ends_with("name the address that peers reach with `advertise`"), "{error}");

        let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let held = UdpSocket::bind(taken).unwrap();
        let error = builder(&taken.to_string()).spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::Bind { ref given, .. } if *given == taken.to_string()), "{error}");
        drop(held);

        for junk in ["localhost", "127.0.0.1", "127.0.0.1:70000", ""] {
            let error = builder(junk).spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Address(given) if given == junk));
            let error = builder("127.0.0.1:0").join([junk]).spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Address(given) if given == junk));
            let error = builder("0.0.0.0:0").advertise(junk).spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Address(given) if given == junk));
        }
        let error = builder("no-such-host.invalid:0").spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::Bind { given, .. } if given == "no-such-host.invalid:0"));
        let error = builder("127.0.0.1:0").advertise("no-such-host.invalid:0").spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::Resolve { name, .. } if name == "no-such-host.invalid:0"));
        if has_ipv6() {
            let error = builder("127.0.0.1:0").advertise("[::1]:0").spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Resolve { name, .. } if name == "[::1]:0"));
        }
    });
}

#[test]
fn seeds_that_can_never_be_reached_are_refused_at_the_start_with_the_reason() {
    run(|| async {
        for (bound, seed, reason) in [
            ("127.0.0.1:0", "192.0.2.1:7000", "192.0.2.1:7000 is on another machine"),
            ("127.0.0.1:0", "[2001:db8::1]:7000", "[2001:db8::1]:7000"),
            ("0.0.0.0:0", "[2001:db8::1]:7000", "[2001:db8::1]:7000"),
        ] {
            let error = builder(bound).advertise("127.0.0.1:0").join([seed]).spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Seeds { .. }) && error.to_string().contains(reason), "{error}");
        }
        for refused in [
            builder("127.0.0.1:0").join(["[fe80::1%eth0]:7000"]),
            builder("0.0.0.0:0").advertise("[fe80::1%eth0]:7000"),
            builder("[fe80::1%eth0]:0"),
        ] {
            let error = refused.spawn().await.unwrap_err();
            assert!(matches!(error, SpawnError::Zone(_)), "{error}");
        }
        // One that can be reached is enough: the other is left out, with a warning.
        let node = builder("127.0.0.1:0").join(["192.0.2.1:7000", "127.0.0.1:9"]).spawn().await.unwrap();
        node.stop();
        node.stopped().await.unwrap();
    });
}

#[test]
fn the_first_datagram_after_binding_is_sent() {
    run(|| async {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (first, second) = (Udp::bind(local).await.unwrap(), Udp::bind(local).await.unwrap());
        first.send(&second.local_addr(), b"first").expect("it does not take the socket for blocked");
        let mut buffer = [0; 4];
        let (length, from) = second.recv(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"firs"[..], first.local_addr()), "cut to the buffer");
    });
}

#[test]
fn only_who_is_allowed_in_gets_in() {
    run(|| async {
        let allowed = builder("127.0.0.1:0").name("first").allow(["127.0.0.0/31", "10.0.0.0/8"]);
        let first = allowed.accept(|id, _| id != NodeId::from_name("third")).spawn().await.unwrap();
        let join = |address: &str, name: &str| builder(address).name(name).join([first.address()]).spawn();
        let second = join("127.0.0.1:0", "second").await.unwrap();
        become_one([&first, &second]).await;
        let third = join("127.0.0.1:0", "third").await.unwrap();
        let elsewhere = join("127.0.0.2:0", "elsewhere").await.unwrap();
        for stranger in [&third, &elsewhere] {
            assert!(within(millis(500), stranger.wait_members(2)).await.is_none());
        }
        assert_eq!(first.inspect(|node| node.live_members()), 2);
        assert!(first.stats().node.datagrams_not_admitted > 0);
        let junk = builder("127.0.0.1:0").allow(["everybody"]).spawn().await;
        assert!(matches!(junk, Err(SpawnError::Network(given)) if given == "everybody"));
    });
}
