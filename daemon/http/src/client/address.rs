//! The addresses that may be dialled.
//!
//! A granted name does not bound the addresses behind it: its DNS operator chooses those, and may
//! choose a database on this machine's loopback interface. So every address is checked, each time,
//! right before it is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses that a destination may have: public ones, and those of the networks granted here.
/// The default grants none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    /// Networks beyond the public ones: `127.0.0.0/8`, `10.1.2.3/32`.
    pub allow: Vec<IpNet>,
}

impl AddressPolicy {
    /// Permits public addresses and those of `allow`.
    pub const fn allowing(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether `address` may be dialled. An IPv6 address that leads to an IPv4 one (mapped,
    /// translated, tunnelled) has to be granted itself, and the address it leads to has to be
    /// permitted too.
    pub fn permits(&self, address: IpAddr) -> bool {
        let granted = self.allow.iter().any(|network| network.contains(&address));
        match address {
            IpAddr::V4(address) => granted || is_public_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => granted && self.permits(IpAddr::V4(inner)),
                None => granted || is_public_v6(address),
            },
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 6], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, 0, 0), prefix)
}

/// The networks of IPv4 that are not public: the IANA special-purpose registry (RFC 6890 and its
/// successors), multicast and the reserved rest.
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),       // this network; 0.0.0.0 reaches the loopback interface
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared by carriers (RFC 6598); metadata services live there too
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, with the metadata services
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // automatic multicast tunnelling
    v4(192, 88, 99, 0, 24),  // relays of 6to4
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 3),     // multicast, reserved, broadcast
];

/// The only part of IPv6 that is allocated for public use.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0], 3);

/// The networks of it that are not public: IANA special-purpose registry.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0], 23), // protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0xdb8, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0], 16), // 6to4
    v6([0x3fff, 0, 0, 0, 0, 0], 20), // documentation
];

const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0], 96);
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff], 96);
const TRANSLATED: Ipv6Net = v6([0, 0, 0, 0, 0xffff, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0], 96);
const NAT64_LOCAL: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0], 48);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0, 0, 0], 32);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0], 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that packets to `address` are delivered to, if `address` embeds one.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    // `::` and `::1` lie in the IPv4-compatible network, but embed no IPv4 address.
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    let bits = address.to_bits();
    let low = |shift: u32| Some(Ipv4Addr::from_bits((bits >> shift) as u32));
    if [COMPATIBLE, MAPPED, TRANSLATED, NAT64].iter().any(|network| network.contains(&address)) {
        low(0)
    } else if NAT64_LOCAL.contains(&address) {
        // RFC 6052, 2.2, prefix length 96 as RFC 8215 recommends; other lengths place it elsewhere.
        low(0)
    } else if SIX_TO_FOUR.contains(&address) {
        low(80)
    } else if TEREDO.contains(&address) {
        // RFC 4380, 4: the client's address, every bit of it flipped.
        low(0).map(|flipped| Ipv4Addr::from_bits(!flipped.to_bits()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn allowing(networks: &[&str]) -> AddressPolicy {
        AddressPolicy::allowing(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn public_addresses_are_permitted() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80b::200e",
            "2001:4860:4860::8888",
            "2620:4f:8000::1",
        ] {
            assert!(AddressPolicy::default().permits(address(text)), "{text}");
        }
    }

    #[test]
    fn every_other_family_is_refused() {
        for text in [
            // unspecified, this network
            "0.0.0.0",
            "0.1.2.3",
            "::",
            // loopback
            "127.0.0.1",
            "127.255.255.255",
            "::1",
            // private, unique local, site-local
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            // link-local and metadata
            "169.254.0.1",
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            // carriers
            "100.64.0.1",
            "100.127.255.255",
            // multicast, reserved, broadcast
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "ff0e::1",
            // documentation, benchmarks, protocol assignments
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "3fff::1",
            "198.18.0.1",
            "198.19.255.255",
            "2001:2::1",
            "192.0.0.1",
            "192.0.0.170",
            "192.88.99.1",
            "5f00::1",
            "100::1",
            // IPv4 embedded in IPv6, public or not
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ] {
            assert!(!AddressPolicy::default().permits(address(text)), "{text}");
        }
    }

    #[test]
    fn a_grant_opens_its_network_alone() {
        let policy = allowing(&["127.0.0.1/32", "fd00:1::/32"]);
        for (text, permitted) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::1", false),
            ("fd00:1::5", true),
            ("fd00:2::5", false),
            ("::ffff:127.0.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(policy.permits(address(text)), permitted, "{text}");
        }
    }

    #[test]
    fn a_granted_translator_does_not_open_what_is_behind_it() {
        let policy =
            allowing(&["64:ff9b::/96", "2002::/16", "2001::/32", "10.0.0.0/8", "::ffff:0:0/96"]);
        for (text, permitted) in [
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", true),
            ("64:ff9b::127.0.0.1", false),
            ("64:ff9b::169.254.169.254", false),
            ("2002:0808:0808::1", true),
            ("2002:7f00:0001::1", false),
            // Teredo of 192.0.2.45 and of 8.8.8.8
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(policy.permits(address(text)), permitted, "{text}");
        }
    }
}
