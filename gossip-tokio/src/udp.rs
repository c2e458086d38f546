//! UDP addresses in every runtime: families, networks, and the syntax of a seed's name. Knows no socket.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use ipnet::IpNet;

use crate::error::SpawnError;

/// Largest datagram that UDP over IPv4 carries, in bytes.
pub(crate) const MAX_DATAGRAM: usize = 65_507;

/// Translates `to` for a socket bound to `bound`: an IPv6 socket takes IPv4 addresses in mapped form.
pub(crate) fn to_wire(bound: SocketAddr, to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) if bound.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}

/// Inverse of [`to_wire`]: a node has one address, whichever socket receives from it.
pub(crate) fn from_wire(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// Returns true if a socket bound to `bound` can send to `to`. A socket bound to `::` reaches both families if the
/// system's IPv6 sockets do.
pub(crate) fn reaches(bound: SocketAddr, to: SocketAddr) -> bool {
    bound.is_ipv4() == to.is_ipv4() || (bound.is_ipv6() && bound.ip().is_unspecified())
}

/// Returns why a socket bound to `bound` can never send to `to`, if that is so. What is not reached just now may be later,
/// and is no reason.
pub(crate) fn obstacle(bound: SocketAddr, to: SocketAddr) -> Option<String> {
    if !reaches(bound, to) {
        let family = |address: SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
        return Some(format!("{to} is an {} address, {bound} is bound to {}", family(to), family(bound)));
    }
    if bound.ip().is_loopback() && !to.ip().to_canonical().is_loopback() {
        // The machine's own addresses are reached from its loopback: the system knows them.
        let socket = UdpSocket::bind(SocketAddr::new(bound.ip(), 0));
        let failed = socket.and_then(|socket| socket.connect(to)).is_err();
        return failed.then(|| format!("{to} is on another machine, {bound} is bound to loopback only"));
    }
    None
}

/// Checks that `name` is `HOST:PORT`, so that it may be resolved some day.
pub(crate) fn check_name(name: &str) -> Result<(), SpawnError> {
    if name.contains('%') {
        return Err(SpawnError::Zone(name.to_owned()));
    }
    let is_host = |host: &str| !host.is_empty() && !host.contains(':');
    let is_named = name.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    let is_name = is_named || name.parse::<SocketAddr>().is_ok();
    if is_name { Ok(()) } else { Err(SpawnError::Address(name.to_owned())) }
}

/// Parses a network such as `10.0.0.0/8` or `fd00::/8`, or a single address.
pub(crate) fn network(given: String) -> Result<IpNet, SpawnError> {
    let network = given.parse().or_else(|_| given.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical())));
    network.map_err(|_| SpawnError::Network(given))
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
    fn who_can_never_be_reached_is_told_with_the_reason() {
        assert_eq!(obstacle(at("127.0.0.1:1"), at("127.0.0.2:1")), None);
        assert_eq!(obstacle(at("0.0.0.0:1"), at("192.0.2.1:1")), None, "perhaps there is a way later");
        let family = obstacle(at("127.0.0.1:1"), at("[::1]:2")).unwrap();
        assert_eq!(family, "[::1]:2 is an IPv6 address, 127.0.0.1:1 is bound to IPv4");
        #[cfg(target_os = "linux")]
        assert_eq!(
            obstacle(at("127.0.0.1:1"), at("192.0.2.1:2")).unwrap(),
            "192.0.2.1:2 is on another machine, 127.0.0.1:1 is bound to loopback only"
        );
        let zone = check_name("[fe80::1%eth0]:7000").unwrap_err();
        assert!(matches!(zone, SpawnError::Zone(_)) && zone.to_string().contains("fe80::1%eth0"), "{zone}");
    }

    #[test]
    fn names_are_told_from_junk() {
        for name in ["127.0.0.1:1", "[::1]:1", "db-1:7000", "gossip.example.org:0"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for junk in ["", ":1", "db-1", "db-1:", "db-1:65536", "::1", "a:b:1"] {
            assert!(check_name(junk).is_err(), "{junk}");
        }
        let error = check_name("db-1").unwrap_err();
        assert_eq!(error.to_string(), "\"db-1\" is no address: it must be HOST:PORT with a port from 0 to 65535");
    }

    fn contains(given: &str, address: &str) -> bool {
        network(given.into()).unwrap().contains(&from_wire(SocketAddr::new(address.parse().unwrap(), 1)).ip())
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.168.1.77/31", "192.168.1.76") && !contains("192.168.1.77/31", "192.168.1.78"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1"), "each family by itself");
        assert!(contains("::/0", "fe80::1") && contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"), "as a socket of IPv6 shows it");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for junk in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "localhost", "10.0.0.1:80"] {
            assert!(matches!(network(junk.into()), Err(SpawnError::Network(given)) if given == junk), "{junk}");
        }
    }
}
