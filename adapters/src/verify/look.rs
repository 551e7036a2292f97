//! One look at a URL, as a visitor.
//!
//! Invariant: it goes to an address that the adapter's configuration allows, pinned as a call is, and asks for the URL's host.

use std::net::SocketAddr;

use dialects::probe;
use domain::{Fault, HostName, participant::ServerAddress, proof::Sighting, selector::ContentUrl};

use crate::{
    address::Addresses,
    config,
    http::{CallError, CallLimits, Http, Target},
};

/// How one asks at an address for a host.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    http: Http,
    base: String,
    host: Option<&'a str>,
}

impl<'a> Way<'a> {
    /// By plain HTTP.
    pub(crate) fn plain(http: Http, address: SocketAddr, host: &'a HostName) -> Self {
        Self {
            http,
            base: format!("http://{address}"),
            host: Some(host.as_str()),
        }
    }

    /// By HTTPS, where the client is pinned to the address and the URL names the host that has to be proven. A host name
    /// of content is never read as an address, and without a port in the URL that of the address is meant.
    pub(crate) fn secure(http: Http, host: &HostName) -> Self {
        Self {
            http,
            base: format!("https://{host}"),
            host: None,
        }
    }
}

/// Asks once for a URL at a place that may be called: at each of its addresses, by its `way`, until one takes the connection.
pub(crate) async fn look_at<'a>(
    addresses: &Addresses,
    place: &ServerAddress,
    url: &'a ContentUrl,
    limits: config::Probes,
    way: impl Fn(SocketAddr) -> Result<Way<'a>, CallError>,
) -> Result<Sighting, Fault> {
    let limits = CallLimits {
        time: limits.timeout,
        read: limits.body_limit,
        kept: 0,
        whole: false,
    };
    let mut looked = Err(CallError::TimedOut(limits.time));
    for address in addresses.pin(place).await? {
        let way = way(address).map_err(|error| error.fault())?;
        let to = Target {
            base: &way.base,
            host: way.host,
            headers: &[],
        };
        looked = way.http.look(&to, url.path_and_query(), limits).await;
        match &looked {
            Err(CallError::NotConnected(_)) => addresses.put_last(place, address),
            Ok(_) | Err(_) => break,
        }
    }
    let look = looked.map_err(|error| error.fault())?;
    Ok(probe::sighting(&look.answer, look.at.into(), look.hash))
}
