//! The network that identifies a client where something is limited per client.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the IPv4 address, or the /64 network of an IPv6 address: a client with one IPv6 address usually
/// controls the 2^64 addresses of its network. IPv4-mapped IPv6 addresses are treated as IPv4.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> IpAddr {
        client_network(text.parse().unwrap())
    }

    #[test]
    fn ipv6_addresses_of_one_network_are_one_client() {
        assert_eq!(client("2001:db8:1:2:3:4:5:6"), client("2001:db8:1:2::"));
        assert_ne!(client("2001:db8:1:2::"), client("2001:db8:1:3::"));
    }

    #[test]
    fn every_ipv4_address_is_one_client_in_any_spelling() {
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
