//! Networks whose nodes are heard: `10.0.0.0/8`, `fd00::/8`, or a single address. Knows addresses; must not know nodes.

use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that begin with the same bits.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: IpAddr,
    bits: u32,
}

/// All bits of an address, and how many it has.
fn bits_of(ip: IpAddr) -> (u128, u32) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    }
}

impl Cidr {
    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        let ((own, length), (other, other_length)) = (bits_of(self.first), bits_of(ip));
        length == other_length && (own ^ other).checked_shr(length - self.bits).unwrap_or(0) == 0
    }
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first = address.parse::<IpAddr>().map_err(drop)?;
        let longest = bits_of(first).1;
        let bits = bits.map_or(Ok(longest), |bits| bits.parse().map_err(drop))?;
        if bits <= longest { Ok(Self { first, bits }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
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
            assert_eq!(junk.parse::<Cidr>(), Err(()), "{junk}");
        }
    }
}
