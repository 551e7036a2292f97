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
mod tests;
