//! Where the adapter may connect: an order's address is taken only where the adapter's own configuration allows it.
//!
//! Invariant: the address that was checked is the address that is called. A name is looked up once, what it resolved to is
//! checked, and the connection goes there and nowhere else. Of several addresses the one that took a connection is first.
//! Not here: whose server it is (the registry's matter).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    BrokenRule, Fault, HostName,
    fault::{Again, FaultCode},
    participant::ServerAddress,
};
use ipnet::IpNet;
use serde::Deserialize;
use tokio::{net::lookup_host, time::timeout};

/// The addresses of one name that are tried at most.
const ADDRESSES_LIMIT: usize = 8;

/// The most names that are remembered; when there are more, all are looked up again.
const NAMES_LIMIT: usize = 10_000;

/// One entry of the configuration's list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedAddress {
    host: Host,
    /// Every port where none is given.
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
    fn allows_ip(&self, address: SocketAddr) -> bool {
        let inside = match &self.host {
            Host::Network(network) => network.contains(&address.ip()),
            Host::Name(_) => false,
        };
        inside && self.port.is_none_or(|port| port == address.port())
    }

    fn allows_name(&self, name: &str, port: u16) -> bool {
        let same = match &self.host {
            Host::Network(_) => false,
            Host::Name(allowed) => allowed.as_str() == name,
        };
        same && self.port.is_none_or(|allowed| allowed == port)
    }
}

/// The list, and the names that were looked up.
#[derive(Debug)]
pub(crate) struct Addresses {
    allowed: Vec<AllowedAddress>,
    lifetime: Duration,
    limit: Duration,
    names: Mutex<HashMap<ServerAddress, (Vec<SocketAddr>, Instant)>>,
}

impl Addresses {
    /// Names are remembered for `lifetime`, and looked up within `limit`.
    pub(crate) fn new(allowed: Vec<AllowedAddress>, lifetime: Duration, limit: Duration) -> Self {
        let names = Mutex::new(HashMap::new());
        Self {
            allowed,
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
        let resolved = timeout(self.limit, lookup_host((host, port)))
            .await
            .map_err(|_| unresolved("no answer in time"))?
            .map_err(|error| unresolved(&error.to_string()))?;
        let trusted = self
            .allowed
            .iter()
            .any(|entry| entry.allows_name(host, port));
        let mut found = Vec::new();
        for address in resolved {
            let address = SocketAddr::new(address.ip().to_canonical(), port);
            let is_allowed = trusted || self.allows_ip(address);
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
        self.allowed.iter().any(|entry| entry.allows_ip(address))
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

fn not_allowed(host: &str) -> Fault {
    let message = format!("this adapter's configuration does not allow connecting to {host}");
    Fault::participant(FaultCode::AddressNotAllowed, Again::Never, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(allowed: &[&str]) -> Addresses {
        let allowed = allowed.iter().map(|entry| entry.parse().unwrap()).collect();
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
        assert!(pin(&["localhost"], "localhost:80").await.is_ok());
        assert_eq!(
            pin(&["localhost:81"], "localhost:80").await,
            Err(FaultCode::AddressNotAllowed)
        );
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
