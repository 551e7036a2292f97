//! Where the adapter may connect: an order's address is taken only where the adapter's own configuration allows it.
//!
//! Invariant: the address that was checked is the address that is called. A name is looked up once, what it resolved to is
//! checked, and the connection goes there and nowhere else. Of several addresses the one that took a connection is first.
//! A private or special address is called only where the operator names it: an entry that is wider than its network, or
//! a name that somebody else's DNS answers, does not.
//! Not here: whose server it is (the registry's matter).

pub(crate) mod lookup;
mod special;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    BrokenRule, Fault, HostName,
    fault::{Again, FaultCode},
    participant::ServerAddress,
};
use ipnet::IpNet;
use serde::Deserialize;
use tokio::time::timeout;

use self::{
    lookup::{Lookup, SystemLookup, not_listed},
    special::special,
};

/// The addresses of one name that are tried at most.
const ADDRESSES_LIMIT: usize = 8;

/// The most names that are remembered; when there are more, all are looked up again.
const NAMES_LIMIT: usize = 10_000;

/// Ports that may be called, first and last: `"443"`, `"1024-65535"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports(u16, u16);

impl TryFrom<String> for Ports {
    type Error = BrokenRule;

    fn try_from(text: String) -> Result<Self, BrokenRule> {
        let rule =
            || BrokenRule::new("must be a port or a range of ports: \"443\", \"1024-65535\"");
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(rule()),
        }
    }
}

/// Where the operator lets an adapter connect.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Addresses that orders may name.
    pub allowed: Vec<AllowedAddress>,
    /// Private and special networks that names may lead into.
    pub private: Vec<IpNet>,
    /// Ports, where an entry of `allowed` names none.
    pub ports: Vec<Ports>,
}

impl From<Vec<AllowedAddress>> for Reach {
    /// On every port.
    fn from(allowed: Vec<AllowedAddress>) -> Self {
        Self {
            allowed,
            private: Vec::new(),
            ports: vec![Ports(1, u16::MAX)],
        }
    }
}

/// One entry of the configuration's list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedAddress {
    host: Host,
    /// Every port of the list where none is given.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Network(IpNet),
    Name(HostName),
}

impl TryFrom<String> for AllowedAddress {
    type Error = BrokenRule;

    fn try_from(text: String) -> Result<Self, BrokenRule> {
        text.parse()
    }
}

impl FromStr for AllowedAddress {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let network = |network| Self {
            host: Host::Network(network),
            port: None,
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            let port = Some(address.port());
            return Ok(Self {
                port,
                ..network(address.ip().into())
            });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(network(address.into()));
        }
        if let Ok(whole) = text.parse::<IpNet>() {
            return Ok(network(whole));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| rule())?)),
            None => (text, None),
        };
        let name = name.parse().map_err(|_| rule())?;
        Ok(Self {
            host: Host::Name(name),
            port,
        })
    }
}

fn rule() -> BrokenRule {
    BrokenRule::new("must be a network, or an address or a host name with a port or without")
}

impl AllowedAddress {
    /// A special address counts as named only where the entry lies within the network that makes it special: `0.0.0.0/0` does
    /// not mean this machine.
    fn names_ip(&self, address: IpAddr) -> bool {
        match &self.host {
            Host::Network(network) => {
                let meant = special(address).is_none_or(|(around, _)| around.contains(network));
                meant && network.contains(&address)
            }
            Host::Name(_) => false,
        }
    }

    fn names_host(&self, name: &str) -> bool {
        match &self.host {
            Host::Network(_) => false,
            Host::Name(allowed) => allowed.as_str() == name,
        }
    }

    fn allows_port(&self, port: u16, listed: &[Ports]) -> bool {
        match self.port {
            Some(allowed) => allowed == port,
            None => listed
                .iter()
                .any(|Ports(first, last)| (*first..=*last).contains(&port)),
        }
    }
}

/// The list, and the names that were looked up.
#[derive(Debug)]
pub(crate) struct Addresses {
    reach: Reach,
    lookup: Arc<dyn Lookup>,
    lifetime: Duration,
    limit: Duration,
    names: Mutex<HashMap<ServerAddress, (Vec<SocketAddr>, Instant)>>,
}

impl Addresses {
    /// Names are remembered for `lifetime`, and looked up within `limit`.
    pub(crate) fn new(reach: impl Into<Reach>, lifetime: Duration, limit: Duration) -> Self {
        Self::with(Arc::new(SystemLookup), reach, lifetime, limit)
    }

    /// The same, where somebody else knows the names.
    pub(crate) fn with(
        lookup: Arc<dyn Lookup>,
        reach: impl Into<Reach>,
        lifetime: Duration,
        limit: Duration,
    ) -> Self {
        let names = Mutex::new(HashMap::new());
        Self {
            reach: reach.into(),
            lookup,
            lifetime,
            limit,
            names,
        }
    }

    /// The addresses to connect to, the first one first; at least one.
    pub(crate) async fn pin(&self, address: &ServerAddress) -> Result<Vec<SocketAddr>, Fault> {
        let (host, port) = address.parts();
        if let Ok(ip) = host.parse::<IpAddr>() {
            // `::ffff:10.0.0.1` is 10.0.0.1 to whoever connects, so it is to the list.
            let address = SocketAddr::new(ip.to_canonical(), port);
            return self
                .allows_ip(address)
                .then(|| vec![address])
                .ok_or_else(|| not_allowed(host));
        }
        if is_number(host) {
            return Err(not_allowed(host));
        }
        if let Some(known) = self.remembered(address) {
            return Ok(known);
        }
        let found = self.look_up(host, port).await?;
        self.remember(address, found.clone());
        Ok(found)
    }

    /// This one took no connection: the others of its name are tried before it, for as long as the name is remembered.
    pub(crate) fn put_last(&self, address: &ServerAddress, failed: SocketAddr) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((found, _)) = names.get_mut(address) {
            // A stable sort: whoever is not this one stays where it is.
            found.sort_by_key(|one| *one == failed);
        }
    }

    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let unresolved = |why: &str| {
            let message = format!("the name {host} cannot be resolved: {why}");
            Fault::participant(FaultCode::Unreachable, Again::Soon, &message)
        };
        let resolved = timeout(self.limit, self.lookup.addresses(host, port))
            .await
            .map_err(|_| unresolved("no answer in time"))?
            .map_err(|error| unresolved(&error.to_string()))?;
        let trusted = self
            .reach
            .allowed
            .iter()
            .any(|entry| entry.names_host(host) && entry.allows_port(port, &self.reach.ports));
        let mut found = Vec::new();
        for address in resolved {
            let address = SocketAddr::new(address.ip().to_canonical(), port);
            let may_lead_there = trusted && not_listed(&self.reach.private, address).is_none();
            let is_allowed = may_lead_there || self.allows_ip(address);
            if is_allowed && !found.contains(&address) && found.len() < ADDRESSES_LIMIT {
                found.push(address);
            }
        }
        if found.is_empty() {
            return Err(not_allowed(host));
        }
        Ok(found)
    }

    fn allows_ip(&self, address: SocketAddr) -> bool {
        let Reach { allowed, ports, .. } = &self.reach;
        allowed
            .iter()
            .any(|entry| entry.names_ip(address.ip()) && entry.allows_port(address.port(), ports))
    }

    fn remembered(&self, address: &ServerAddress) -> Option<Vec<SocketAddr>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, since) = names.get(address)?;
        (since.elapsed() < self.lifetime).then(|| found.clone())
    }

    fn remember(&self, address: &ServerAddress, found: Vec<SocketAddr>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_LIMIT {
            names.clear();
        }
        names.insert(address.clone(), (found, Instant::now()));
    }
}

/// Whether a host that is no address in its usual form would still be read as one: `0x7f000001`, `0177.0.0.1`, `2130706433`.
fn is_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match digits {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn not_allowed(host: &str) -> Fault {
    let message = format!("this adapter's configuration does not allow connecting to {host}");
    Fault::participant(FaultCode::AddressNotAllowed, Again::Never, &message)
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    fn addresses(allowed: &[&str]) -> Addresses {
        let allowed: Vec<AllowedAddress> = allowed.iter().map(|one| one.parse().unwrap()).collect();
        Addresses::new(allowed, Duration::from_mins(1), Duration::from_secs(5))
    }

    async fn pin(allowed: &[&str], address: &str) -> Result<SocketAddr, FaultCode> {
        let pinned = addresses(allowed).pin(&address.parse().unwrap()).await;
        pinned
            .map(|addresses| addresses[0])
            .map_err(|fault| fault.code)
    }

    /// An order may name any address; only what the operator listed is called, on the ports that he listed.
    #[tokio::test]
    async fn only_listed_addresses_are_called() {
        let not_allowed = Err(FaultCode::AddressNotAllowed);
        let allowed = [
            "10.1.0.0/16",
            "192.0.2.7:6081",
            "[2001:db8::]:80",
            "2001:db8:1::/48",
        ];
        for inside in [
            "10.1.2.3:80",
            "192.0.2.7:6081",
            "[2001:db8::]:80",
            "[2001:db8:1::9]:1",
        ] {
            assert_eq!(pin(&allowed, inside).await, Ok(inside.parse().unwrap()));
        }
        for outside in [
            "10.2.0.1:80",
            "192.0.2.7:22",
            "127.0.0.1:6081",
            "169.254.169.254:80",
            "[::1]:80",
            "[2001:db8::]:81",
        ] {
            assert_eq!(pin(&allowed, outside).await, not_allowed, "{outside}");
        }
    }

    /// A v4 address in v6 clothes is still that v4 address.
    #[tokio::test]
    async fn a_mapped_address_is_judged_as_what_it_is() {
        assert_eq!(
            pin(&["::/0"], "[::ffff:10.0.0.1]:80").await,
            Err(FaultCode::AddressNotAllowed)
        );
        let pinned = pin(&["10.0.0.0/8"], "[::ffff:10.0.0.1]:80").await;
        assert_eq!(pinned, Ok("10.0.0.1:80".parse().unwrap()));
    }

    /// Whoever controls a name's DNS must not lead the adapter into its own network.
    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        assert_eq!(
            pin(&["10.0.0.0/8"], "localhost:80").await,
            Err(FaultCode::AddressNotAllowed)
        );
        assert!(pin(&["127.0.0.0/8", "::1"], "localhost:80").await.is_ok());
        assert_eq!(
            pin(&["localhost:81"], "localhost:80").await,
            Err(FaultCode::AddressNotAllowed)
        );
    }

    /// A name in the list is the operator's word for a public server, or for one in the private networks that he lists.
    #[tokio::test]
    async fn a_listed_name_leads_into_listed_networks_only() {
        let name: ServerAddress = "localhost:80".parse().unwrap();
        let reach = |private: &[&str]| Reach {
            private: private.iter().map(|net| net.parse().unwrap()).collect(),
            ..Reach::from(vec!["localhost".parse().unwrap()])
        };
        let times = (Duration::from_mins(1), Duration::from_secs(5));
        let pinned = Addresses::new(reach(&[]), times.0, times.1)
            .pin(&name)
            .await;
        assert_eq!(pinned.unwrap_err().code, FaultCode::AddressNotAllowed);
        let listed = reach(&["127.0.0.0/8", "::1/128"]);
        let pinned = Addresses::new(listed, times.0, times.1).pin(&name).await;
        assert!(pinned.is_ok());
    }

    /// Who lists the whole world does not list this machine, its neighbours, or the metadata of its cloud, however spelt.
    #[tokio::test]
    async fn a_wide_entry_does_not_reach_special_addresses() {
        let everything = ["0.0.0.0/0", "::/0"];
        assert!(pin(&everything, "1.1.1.1:80").await.is_ok());
        assert!(pin(&everything, "[2a00:1450:4001::1]:80").await.is_ok());
        for address in [
            "127.0.0.1:80",
            "10.0.0.1:80",
            "100.64.0.1:80",
            "169.254.169.254:80",
            "192.0.0.170:80",
            "198.18.0.1:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::]:80",
            "[::1]:80",
            "[::127.0.0.1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:a9fe:a9fe]:80",
            "[::ffff:0:127.0.0.1]:80",
            "[64:ff9b::169.254.169.254]:80",
            "[64:ff9b:1::1]:80",
            "[2001:0:7f00:1::1]:80",
            "[2002:7f00:1::]:80",
            "[2a00::5efe:127.0.0.1]:80",
            "[fe80::1]:80",
            "[fec0::1]:80",
            "[fd00::1]:80",
            "[ff02::1]:80",
        ] {
            let pinned = pin(&everything, address).await;
            assert_eq!(pinned, Err(FaultCode::AddressNotAllowed), "{address}");
        }
    }

    /// What C libraries read as an address and nobody else does: octal, hexadecimal, one number, parts left out.
    #[tokio::test]
    async fn an_address_in_other_spellings_is_no_name() {
        let lookup = Arc::new(Script::new(&["1.1.1.1"]));
        let addresses = scripted(&lookup, &["0.0.0.0/0", "127.0.0.0/8"]);
        for host in ["0x7f000001", "0x7f.0x1", "a.0x7f"] {
            let address: ServerAddress = format!("{host}:80").parse().unwrap();
            let fault = addresses.pin(&address).await.unwrap_err();
            assert_eq!(fault.code, FaultCode::AddressNotAllowed, "{host}");
        }
        assert_eq!(lookup.asked(), 0, "nobody was asked for a number");
        for host in [
            "0177.0.0.1",
            "2130706433",
            "127.1",
            "017700000001",
            "0x7f.1",
        ] {
            let address = format!("{host}:80").parse::<ServerAddress>();
            assert!(address.is_err(), "{host}");
        }
    }

    /// Whoever controls the DNS of a name answers the check with one address and the connection with another. Here there is one
    /// answer for both, and the next one is checked too.
    #[tokio::test]
    async fn a_name_that_is_rebound_leads_nowhere() {
        let lookup = Arc::new(Script::new(&["1.1.1.1", "127.0.0.1", "169.254.169.254"]));
        let addresses = scripted(&lookup, &["rebound.example", "0.0.0.0/0"]);
        let name: ServerAddress = "rebound.example:80".parse().unwrap();
        let first = addresses.pin(&name).await.unwrap();
        assert_eq!(first, ["1.1.1.1:80".parse().unwrap()]);
        assert_eq!(addresses.pin(&name).await.unwrap(), first);
        assert_eq!(lookup.asked(), 1, "it is remembered");
        for _ in 0..2 {
            addresses.names.lock().unwrap().clear();
            let fault = addresses.pin(&name).await.unwrap_err();
            assert_eq!(fault.code, FaultCode::AddressNotAllowed);
        }
        assert_eq!(lookup.asked(), 3);
    }

    /// Ports are on a list, unless an entry names its own.
    #[tokio::test]
    async fn a_port_is_on_the_list() {
        let ports = ["443".to_owned(), "8000-8999".to_owned()];
        let ports = ports.map(|ports| Ports::try_from(ports).unwrap());
        let allowed = ["10.0.0.0/8", "192.0.2.7:22"].map(|entry| entry.parse().unwrap());
        let reach = Reach {
            ports: ports.to_vec(),
            ..Reach::from(allowed.to_vec())
        };
        let limit = Duration::from_secs(5);
        let addresses = Addresses::new(reach, limit, limit);
        for (address, allowed) in [
            ("10.0.0.1:443", true),
            ("10.0.0.1:8080", true),
            ("10.0.0.1:6379", false),
            ("192.0.2.7:22", true),
            ("192.0.2.7:443", false),
        ] {
            let pinned = addresses.pin(&address.parse().unwrap()).await;
            assert_eq!(pinned.is_ok(), allowed, "{address}");
        }
        for wrong in ["", "0", "a", "9-8", "1-99999", "1-2-3"] {
            assert!(Ports::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    fn scripted(lookup: &Arc<Script>, allowed: &[&str]) -> Addresses {
        let allowed: Vec<AllowedAddress> = allowed.iter().map(|one| one.parse().unwrap()).collect();
        let (lifetime, limit) = (Duration::from_mins(1), Duration::from_secs(5));
        Addresses::with(Arc::<Script>::clone(lookup), allowed, lifetime, limit)
    }

    /// Answers with one address after the other.
    #[derive(Debug)]
    struct Script {
        answers: Vec<IpAddr>,
        asked: Mutex<usize>,
    }

    impl Script {
        fn new(answers: &[&str]) -> Self {
            Self {
                answers: answers.iter().map(|one| one.parse().unwrap()).collect(),
                asked: Mutex::new(0),
            }
        }

        fn asked(&self) -> usize {
            *self.asked.lock().unwrap()
        }
    }

    impl Lookup for Script {
        fn addresses<'a>(
            &'a self,
            _: &'a str,
            port: u16,
        ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
            let mut asked = self.asked.lock().unwrap();
            let answer = self.answers[*asked % self.answers.len()];
            *asked += 1;
            Box::pin(std::future::ready(Ok(vec![SocketAddr::new(answer, port)])))
        }
    }

    /// A name that is gone is a reason to try again, not a verdict.
    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_tried_again() {
        let addresses = addresses(&["10.0.0.0/8"]);
        let fault = addresses
            .pin(&"no-such-name.invalid:80".parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(
            (fault.code, fault.again),
            (FaultCode::Unreachable, Again::Soon)
        );
    }

    /// One dead address of a name does not cost every call the time to find that out.
    #[tokio::test]
    async fn an_address_that_took_no_connection_is_tried_last() {
        let addresses = addresses(&["127.0.0.0/8"]);
        let name: ServerAddress = "cache.example:80".parse().unwrap();
        let all = ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"];
        let all = all.map(|address| address.parse().unwrap());
        addresses.remember(&name, all.to_vec());
        addresses.put_last(&name, all[0]);
        assert_eq!(addresses.pin(&name).await, Ok(vec![all[1], all[2], all[0]]));
    }

    /// What a list may hold.
    #[test]
    fn an_entry_is_a_network_an_address_or_a_name() {
        for wrong in [
            "",
            "a b",
            "10.0.0.0/33",
            "10.0.0.0/8:80",
            "http://a",
            "a:b",
            "a:99999",
            "*",
        ] {
            assert!(wrong.parse::<AllowedAddress>().is_err(), "{wrong}");
        }
    }
}
