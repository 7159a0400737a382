//! What counts as one client, where something is bounded for each.

use std::net::{IpAddr, Ipv6Addr};

/// The address of version 4, or the network of 64 bits that an address of version 6 is in: whoever has one such address
/// has 2^64 of them. An address of version 4 that is written as one of version 6 is one of version 4.
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
    fn addresses_of_one_network_of_version_6_are_one_client() {
        assert_eq!(client("2001:db8:1:2:3:4:5:6"), client("2001:db8:1:2::"));
        assert_ne!(client("2001:db8:1:2::"), client("2001:db8:1:3::"));
    }

    #[test]
    fn addresses_of_version_4_are_each_a_client_however_they_are_written() {
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
