//! Addresses that are nobody's public server: private networks, this machine, and IPv6 that is IPv4 in other clothes.
//!
//! Invariant: an address of the second kind is judged as what it is written as, never as the public one inside it: who
//! translates it, and whereto, is not ours to know.
//! Source: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and its updates).

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv6Net};

/// Networks and what they are, a narrower one before the one around it.
const SPECIAL: [(&str, &str); 31] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "a carrier's"),
    ("127.0.0.0/8", "this machine"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocols'"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarks'"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "this machine"),
    ("::ffff:0:0:0/96", "IPv4 in IPv6"),
    ("::/96", "IPv4 in IPv6"),
    ("64:ff9b::/96", "IPv4 behind NAT64"),
    ("64:ff9b:1::/48", "IPv4 behind NAT64"),
    ("100::/64", "discarded"),
    ("2001::/32", "IPv4 in Teredo"),
    ("2001::/23", "protocols'"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "IPv4 in 6to4"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

/// All that is public in IPv6. The rest is reserved.
const GLOBAL: &str = "2000::/3";
/// The middle of an interface's id that is IPv4 (RFC 5214, 6.1), with the bit that may differ left out.
const ISATAP: u32 = 0x0000_5efe;
const ISATAP_MASK: u32 = 0xfdff_ffff;

static NETWORKS: LazyLock<Vec<(IpNet, &'static str)>> = LazyLock::new(|| {
    let read = |(network, kind): (&str, &'static str)| Some((network.parse().ok()?, kind));
    SPECIAL.into_iter().filter_map(read).collect()
});

/// The special network that an address lies in, and what it is. `None` for a public address.
pub(super) fn special(address: IpAddr) -> Option<(IpNet, &'static str)> {
    let listed = NETWORKS
        .iter()
        .find(|(network, _)| network.contains(&address));
    if let Some(found) = listed {
        return Some(*found);
    }
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => special_v6(address).map(|kind| {
            let alone = Ipv6Net::from(address);
            (alone.into(), kind)
        }),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [.., a, b, _, _] = address.segments();
    let middle = (u32::from(a) << 16) | u32::from(b);
    let is_global = GLOBAL
        .parse::<Ipv6Net>()
        .is_ok_and(|global| global.contains(&address));
    match (middle & ISATAP_MASK == ISATAP, is_global) {
        (true, _) => Some("IPv4 in ISATAP"),
        (false, false) => Some("reserved"),
        (false, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every network of the table can be read, or its addresses would count as public.
    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(NETWORKS.len(), SPECIAL.len());
    }

    /// The first and the last address of each, the ones beside it, and the same IPv4 in all its clothes.
    #[test]
    fn special_addresses_are_known_in_every_spelling() {
        for (address, kind) in [
            ("0.0.0.0", "this network"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "a carrier's"),
            ("100.127.255.255", "a carrier's"),
            ("127.0.0.1", "this machine"),
            ("127.255.255.254", "this machine"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.170", "protocols'"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "benchmarks'"),
            ("198.19.255.255", "benchmarks'"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "this machine"),
            ("::7f00:1", "IPv4 in IPv6"),
            ("::ffff:0:7f00:1", "IPv4 in IPv6"),
            ("64:ff9b::a9fe:a9fe", "IPv4 behind NAT64"),
            ("64:ff9b:1::1", "IPv4 behind NAT64"),
            ("2001:0:a00:1::1", "IPv4 in Teredo"),
            ("2001:20::1", "protocols'"),
            ("2002:7f00:1::", "IPv4 in 6to4"),
            ("2a00:1450::5efe:7f00:1", "IPv4 in ISATAP"),
            ("2a00:1450::200:5efe:7f00:1", "IPv4 in ISATAP"),
            ("fc00::1", "private"),
            ("fdff::1", "private"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("100::1", "discarded"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
        ] {
            let found = special(address.parse().unwrap()).map(|(_, kind)| kind);
            assert_eq!(found, Some(kind), "{address}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2a00:1450:4001::1",
            "2600::1",
        ] {
            assert_eq!(special(public.parse().unwrap()), None, "{public}");
        }
    }
}
