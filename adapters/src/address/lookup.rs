//! Looking names up: once for a connection, which then goes to an address that was checked.

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{net::lookup_host, time::timeout};

use super::special::special;

/// Whoever knows the addresses of names.
pub(crate) trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of a host, as they are now.
    fn addresses<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// This machine's own.
#[derive(Debug)]
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }
}

/// A name leads to an address that the operator did not allow.
#[derive(Debug)]
pub(crate) struct NotAllowed {
    host: String,
    address: SocketAddr,
    kind: &'static str,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, address, kind) = (&self.host, self.address.ip(), self.kind);
        write!(
            f,
            "{host} leads to {address} ({kind}), which `private_networks` does not list"
        )
    }
}

impl Error for NotAllowed {}

/// For hosts that the operator's own configuration names: they may stand anywhere in public, and in the private networks that
/// he lists. It is asked at each new connection, which goes to what it answers, so nothing is looked up twice.
#[derive(Debug, Clone)]
pub(crate) struct GuardedLookup {
    lookup: Arc<dyn Lookup>,
    private: Arc<[IpNet]>,
    limit: Duration,
}

impl GuardedLookup {
    pub(crate) fn new(private: &[IpNet], limit: Duration) -> Self {
        Self::with(Arc::new(SystemLookup), private, limit)
    }

    pub(crate) fn with(lookup: Arc<dyn Lookup>, private: &[IpNet], limit: Duration) -> Self {
        Self {
            lookup,
            private: private.into(),
            limit,
        }
    }

    async fn look_up(self, host: String) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
        // The client puts the URL's own port there.
        let found = timeout(self.limit, self.lookup.addresses(&host, 0)).await??;
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            let address = SocketAddr::new(address.ip().to_canonical(), 0);
            match not_listed(&self.private, address) {
                None => allowed.push(address),
                Some(kind) => {
                    refused = Some(NotAllowed {
                        host: host.clone(),
                        address,
                        kind,
                    });
                }
            }
        }
        match (allowed.is_empty(), refused) {
            (true, Some(refused)) => Err(Box::new(refused)),
            _ => Ok(Box::new(allowed.into_iter())),
        }
    }
}

impl Resolve for GuardedLookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().look_up(name.as_str().to_owned()))
    }
}

/// For an address that was checked already: every name is there. Its port stands where a URL names none.
#[derive(Debug)]
pub(crate) struct PinnedLookup(pub(crate) SocketAddr);

impl Resolve for PinnedLookup {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async { Ok(addresses) })
    }
}

/// What kind of special address it is; `None` where it is public or in one of these networks.
pub(super) fn not_listed(private: &[IpNet], address: SocketAddr) -> Option<&'static str> {
    let (_, kind) = special(address.ip())?;
    let listed = private
        .iter()
        .any(|network| network.contains(&address.ip()));
    (!listed).then_some(kind)
}
