//! Classification of addresses for the SSRF guard: which hosts a webhook may reach.
//!
//! It fails closed: in IPv6 only the global unicast block is public, minus everything that a registry reserves.
//! Check the host of a URL with [`classify_host`], and check every address with [`classify_ip`] right before a
//! socket connects to it, because a name may resolve differently each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Reachability class of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// A host on the internet.
    Public,
    /// This machine, its networks, or an address that nobody can have.
    Private,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_len)
}

const fn v6(first: u16, second: u16, prefix_len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix_len)
}

/// IPv4 networks that are not public. All other IPv4 addresses are.
const PRIVATE_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private use
    v4(100, 64, 0, 0, 10),    // shared by carriers; some clouds keep their metadata here
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // platform address of Azure, which looks public
    v4(169, 254, 0, 0, 16),   // link-local, cloud metadata
    v4(172, 16, 0, 0, 12),    // private use
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private use
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// Global unicast. It excludes loopback, IPv4-compatible, NAT64, discard, SRv6, unique local, link-local,
/// site-local and multicast addresses.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// Networks in [`PUBLIC_V6`] that are not public.
const PRIVATE_V6: [Ipv6Net; 5] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, benchmarks, both ORCHID blocks
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4, which carries any IPv4 address
    v6(0x3ffe, 0, 16),      // the former 6bone
    v6(0x3fff, 0, 20),      // documentation
];

/// Classifies an address. IPv4-mapped IPv6 addresses (`::ffff:127.0.0.1`) are classified as IPv4.
pub fn classify_ip(ip: IpAddr) -> AddressClass {
    match ip.to_canonical() {
        IpAddr::V4(ip) if PRIVATE_V4.iter().any(|net| net.contains(&ip)) => AddressClass::Private,
        IpAddr::V4(_) => AddressClass::Public,
        IpAddr::V6(ip) if !PUBLIC_V6.contains(&ip) || PRIVATE_V6.iter().any(|net| net.contains(&ip)) => {
            AddressClass::Private
        }
        IpAddr::V6(_) => AddressClass::Public,
    }
}

/// Classifies the host of a URL as far as that is possible without resolving it. Returns `None` for a name that
/// must be resolved. `localhost` and names below it are private regardless of what they resolve to.
pub fn classify_host(host: &str) -> Option<AddressClass> {
    if let Some(ip) = host_literal(host) {
        return Some(classify_ip(ip));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // A name has no colon or bracket, so an address literal that cannot be parsed is private.
    let is_invalid_name = name.is_empty() || name.contains(['[', ']', ':']);
    let is_localhost = name == "localhost" || name.ends_with(".localhost");
    (is_invalid_name || is_localhost).then_some(AddressClass::Private)
}

/// Parses a host that is an IP address, in every spelling that some resolver accepts: also with brackets, a
/// zone, a trailing dot, and the short, octal and hexadecimal forms of IPv4.
pub fn host_literal(host: &str) -> Option<IpAddr> {
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let (address, _zone) = unbracketed.split_once('%').unwrap_or((unbracketed, ""));
    if let Ok(ip) = address.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(ip));
    }
    ipv4_literal(host.strip_suffix('.').unwrap_or(host)).map(IpAddr::V4)
}

/// Parses IPv4 like `inet_aton`: one to four numbers, the last of which fills the remaining bytes.
fn ipv4_literal(text: &str) -> Option<Ipv4Addr> {
    let parts = text.split('.').map(ipv4_number).collect::<Option<Vec<u32>>>()?;
    let (last, bytes) = parts.split_last()?;
    if bytes.len() > 3 || bytes.iter().any(|byte| *byte > 255) {
        return None;
    }
    let mut address = 0_u32;
    for (byte, shift) in bytes.iter().zip([24, 16, 8]) {
        address |= byte << shift;
    }
    let free_bits = 32 - 8 * u32::try_from(bytes.len()).ok()?;
    (u64::from(*last) < 1_u64 << free_bits).then(|| Ipv4Addr::from(address | last))
}

fn ipv4_number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(""), _) | (None, Some("")) => return Some(0),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (text, 10),
    };
    // from_str_radix alone would accept a sign.
    digits.chars().all(|digit| digit.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRIVATE: [&str; 72] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:168.63.129.16",
        "::ffff:0:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "100:0:0:1::1",
        "1fff:ffff::1",
        "2001::",
        "2001:0:7f00:1::",
        "2001:1::1",
        "2001:2::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:10::1",
        "2001:1f:ffff::1",
        "2001:20::1",
        "2001:2f:ffff::1",
        "2001:30::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "2002::",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3ffe::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];

    #[test]
    fn special_addresses_are_private() {
        for text in PRIVATE {
            assert_eq!(classify_ip(text.parse().unwrap()), AddressClass::Private, "{text}");
        }
    }

    #[test]
    fn addresses_just_outside_the_special_ranges_are_public() {
        for text in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffd::1",
            "3fff:1000::1",
        ] {
            assert_eq!(classify_ip(text.parse().unwrap()), AddressClass::Public, "{text}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_parsed() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("127.258", "127.0.1.2"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0X7F.1", "127.0.0.1"),
            ("0x7f.0x0.0x0.0x1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("00000177.1", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("0x", "0.0.0.0"),
            ("4294967295", "255.255.255.255"),
            ("8.8.8.8", "8.8.8.8"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::]", "::"),
            ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]", "fe80::1"),
        ] {
            assert_eq!(host_literal(host), Some(address.parse().unwrap()), "{host}");
        }
    }

    #[test]
    fn names_are_not_addresses() {
        for host in [
            "example.com",
            "localhost",
            "",
            ".",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "4294967296",
            "127..1",
            "+1",
            "-1",
            "0x+1",
            "08.0.0.1",
            "1.2.3.4..",
            "[127.0.0.1]",
            "[]",
            "a1",
            "0xg",
        ] {
            assert_eq!(host_literal(host), None, "{host}");
        }
    }

    #[test]
    fn hosts_are_classified_before_they_are_resolved() {
        for (host, expected) in [
            ("localhost", Some(AddressClass::Private)),
            ("LocalHost", Some(AddressClass::Private)),
            ("localhost.", Some(AddressClass::Private)),
            ("api.localhost", Some(AddressClass::Private)),
            ("a.b.LOCALHOST.", Some(AddressClass::Private)),
            ("", Some(AddressClass::Private)),
            (".", Some(AddressClass::Private)),
            ("[]", Some(AddressClass::Private)),
            ("[v1.x]", Some(AddressClass::Private)),
            ("[127.0.0.1]", Some(AddressClass::Private)),
            ("::g", Some(AddressClass::Private)),
            ("[::1]", Some(AddressClass::Private)),
            ("[::ffff:a00:1]", Some(AddressClass::Private)),
            ("127.1", Some(AddressClass::Private)),
            ("2130706433", Some(AddressClass::Private)),
            ("169.254.169.254", Some(AddressClass::Private)),
            ("8.8.8.8", Some(AddressClass::Public)),
            ("[2606:4700:4700::1111]", Some(AddressClass::Public)),
            ("example.com", None),
            ("example.com.", None),
            ("notlocalhost", None),
            ("localhost.example.com", None),
            ("127.0.0.1.example.com", None),
        ] {
            assert_eq!(classify_host(host), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn mapped_addresses_are_classified_as_ipv4(ip: Ipv4Addr) {
            prop_assert_eq!(classify_ip(IpAddr::V6(ip.to_ipv6_mapped())), classify_ip(IpAddr::V4(ip)));
        }

        #[test]
        fn compatible_addresses_are_private(ip: Ipv4Addr) {
            let [a, b, c, d] = ip.octets().map(u16::from);
            let compatible = Ipv6Addr::new(0, 0, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
            prop_assert_eq!(classify_ip(IpAddr::V6(compatible)), AddressClass::Private);
        }

        #[test]
        fn only_global_unicast_is_public(ip: Ipv6Addr) {
            if ip.to_ipv4_mapped().is_none() && ip.segments()[0] >> 13 != 1 {
                prop_assert_eq!(classify_ip(IpAddr::V6(ip)), AddressClass::Private);
            }
        }

        #[test]
        fn all_spellings_of_an_address_parse_to_it(ip: Ipv4Addr) {
            let [a, b, c, d] = ip.octets();
            let number = u32::from(ip);
            for host in [
                format!("{ip}"), format!("{number}"), format!("{number:#x}"), format!("0{number:o}"),
                format!("{a:#x}.0{b:o}.{c}.{d:#X}"), format!("{a}.{}", number & 0x00ff_ffff),
                format!("{a}.{b}.{}", number & 0xffff), format!("{ip}."),
            ] {
                prop_assert_eq!(host_literal(&host), Some(IpAddr::V4(ip)), "{}", host);
            }
        }

        #[test]
        fn ipv6_round_trips_through_a_url_host(ip: Ipv6Addr) {
            let host = format!("[{ip}]");
            prop_assert_eq!(host_literal(&host), Some(IpAddr::V6(ip)));
        }

        #[test]
        fn no_text_panics(host in any::<String>()) {
            let _ = classify_host(&host);
        }
    }
}
