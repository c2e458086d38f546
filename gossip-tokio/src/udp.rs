//! What is the same about UDP addresses in every runtime: families, and what a seed's name may look like. Knows no
//! socket.

use std::net::{IpAddr, SocketAddr};

/// What UDP over IPv4 carries.
pub(crate) const MAX_DATAGRAM: usize = 65_507;

/// How `to` is written for a socket bound to `bound`: one of IPv6 takes IPv4 addresses in mapped form.
pub(crate) fn to_wire(bound: SocketAddr, to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) if bound.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}

/// The inverse of [`to_wire`]: a node has one address, whoever sees it.
pub(crate) fn from_wire(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// Whether a socket bound to `bound` can send to `to`. One bound to `::` reaches both families where the system's
/// IPv6 sockets do.
pub(crate) fn reaches(bound: SocketAddr, to: SocketAddr) -> bool {
    bound.is_ipv4() == to.is_ipv4() || (bound.is_ipv6() && bound.ip().is_unspecified())
}

/// Whether `name` is `HOST:PORT`, so that resolving it may succeed some day.
pub(crate) fn is_name(name: &str) -> bool {
    name.parse::<SocketAddr>().is_ok()
        || name
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_peer_looks_the_same_from_sockets_of_both_families() {
        let peer = at("10.0.0.1:7000");
        for bound in [at("0.0.0.0:1"), at("[::]:1")] {
            assert_eq!(from_wire(to_wire(bound, peer)), peer);
        }
        assert_eq!(to_wire(at("[::]:1"), peer), at("[::ffff:10.0.0.1]:7000"));
        assert_eq!(to_wire(at("[::]:1"), at("[fe80::1]:2")), at("[fe80::1]:2"));
    }

    #[test]
    fn only_what_the_socket_reaches_is_a_seed() {
        assert!(reaches(at("127.0.0.1:1"), at("10.0.0.1:1")));
        assert!(!reaches(at("127.0.0.1:1"), at("[::1]:1")));
        assert!(!reaches(at("[::1]:1"), at("127.0.0.1:1")));
        assert!(reaches(at("[::]:1"), at("127.0.0.1:1")));
    }

    #[test]
    fn names_are_told_from_junk() {
        for name in ["127.0.0.1:1", "[::1]:1", "db-1:7000", "gossip.example.org:0"] {
            assert!(is_name(name), "{name}");
        }
        for junk in ["", ":1", "db-1", "db-1:", "db-1:65536", "::1", "a:b:1"] {
            assert!(!is_name(junk), "{junk}");
        }
    }
}
