//! Looking at edges of providers, by HTTP or HTTPS.
//!
//! Invariant: a look connects to an address that the adapter's configuration allows and that was looked up for the edge, and
//! to no other, whatever host name is asked for. By HTTPS the edge proves that it is that host, to an authority of the
//! system's or of the operator's own.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{Fault, proof::Sighting, selector::ContentUrl};
use reqwest::Certificate;

use crate::{
    address::Addresses,
    app::StartError,
    config,
    http::{CallError, Http},
    verify::{Edge, Way, look_at},
};

/// Addresses for which a client is kept; when there are more, each is made anew.
const CLIENTS_LIMIT: usize = 64;

/// How edges are reached.
#[derive(Debug)]
pub(super) struct Edges {
    http: Http,
    addresses: Addresses,
    limits: config::Probes,
    connect_timeout: Duration,
    authorities: Vec<Certificate>,
    /// By HTTPS: a client for each address, which connects nowhere else.
    clients: Mutex<HashMap<SocketAddr, Http>>,
}

impl Edges {
    /// `http` asks those without HTTPS.
    pub(super) fn new(
        configuration: &config::Configuration,
        http: Http,
    ) -> Result<Self, StartError> {
        let calls = &configuration.calls;
        let authority = configuration.api.probe_certificate_authority.as_ref();
        let authorities =
            authority.map(|pem| Certificate::from_pem_bundle(pem.expose().as_bytes()));
        Ok(Self {
            http,
            addresses: Addresses::new(
                configuration.reach(),
                calls.name_lifetime,
                calls.name_timeout,
            ),
            limits: configuration.probes,
            connect_timeout: calls.connect_timeout,
            authorities: authorities
                .transpose()
                .map_err(StartError::of)?
                .unwrap_or_default(),
            clients: Mutex::default(),
        })
    }

    /// How one looks.
    pub(super) fn limits(&self) -> config::Probes {
        self.limits
    }

    /// Asks once for a URL, as a visitor.
    pub(super) async fn look(&self, edge: &Edge, url: &ContentUrl) -> Result<Sighting, Fault> {
        let way = |address| {
            if edge.is_secure {
                let http = self.secure(address).map_err(CallError::NotConnected)?;
                Ok(Way::secure(http, url.host()))
            } else {
                Ok(Way::plain(self.http.clone(), address, url.host()))
            }
        };
        look_at(&self.addresses, &edge.address, url, self.limits, way).await
    }

    fn secure(&self, address: SocketAddr) -> Result<Http, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&address) {
            return Ok(client.clone());
        }
        if clients.len() >= CLIENTS_LIMIT {
            clients.clear();
        }
        let client = Http::pinned(self.connect_timeout, address, &self.authorities)?;
        clients.insert(address, client.clone());
        Ok(client)
    }
}
