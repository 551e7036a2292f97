//! Who takes part in the demo: the participants, their servers, and whose content runs on them.
//!
//! Invariant: everything is said to the broker through its registry, as an operator of the federation says it.

use anyhow::Result;
use proto::v1;

use super::content::HOST;
use crate::{
    caches::{Cache, Kind},
    federation::{Client, Federation},
};

/// Who owns the configuration.
pub(super) const OWNER: &str = "alder";
/// The customer's property.
pub(super) const CONFIGURATION: &str = "shop";

/// A participant, and whether an invocation system of its own stands before its servers.
pub(super) const PARTICIPANTS: [(&str, &str, bool); 3] = [
    ("alder", "Alder CDN", false),
    ("birch", "Birch Networks", false),
    ("cedar", "Cedar Edge", true),
];

/// A server's id, its participant, what it is, and its region, country and city.
pub(super) const SERVERS: [(&str, &str, Kind, [&str; 3]); 5] = [
    (
        "alder-varnish-1",
        "alder",
        Kind::Varnish,
        ["eu", "de", "berlin"],
    ),
    (
        "alder-varnish-2",
        "alder",
        Kind::Varnish,
        ["eu", "fr", "paris"],
    ),
    ("birch-nginx", "birch", Kind::Nginx, ["us", "us", "boston"]),
    ("birch-squid", "birch", Kind::Squid, ["us", "us", "denver"]),
    (
        "cedar-trafficserver",
        "cedar",
        Kind::TrafficServer,
        ["asia", "jp", "tokyo"],
    ),
];

/// One cache of the demo.
#[derive(Debug)]
pub(super) struct Server {
    /// Its id in the registry.
    pub(super) id: &'static str,
    /// Whose it is.
    pub(super) participant: &'static str,
    /// The cache itself.
    pub(super) cache: Cache,
    /// Its region, country and city.
    pub(super) place: [&'static str; 3],
}

/// Says who takes part, with which servers, and whose content runs on all of them.
pub(super) async fn register(
    federation: &Federation,
    mut operator: Client,
    servers: &[Server],
) -> Result<()> {
    for (id, name, has_system) in PARTICIPANTS {
        let (system, capabilities) = if has_system {
            ("canonical", urls_only())
        } else {
            ("", Vec::new())
        };
        let participant = v1::Participant {
            id: id.to_owned(),
            display_name: name.to_owned(),
            invocation_system: system.to_owned(),
            capabilities,
            signing_keys: vec![federation.registered_key(id)?],
            ..v1::Participant::default()
        };
        operator.put_participant(participant).await?;
    }
    for server in servers {
        let request = v1::CreateServerRequest {
            server: Some(record(server)),
        };
        operator.registry.create_server(request).await?;
    }
    operator
        .create_configuration(CONFIGURATION, OWNER, &[HOST])
        .await?;
    for (id, ..) in PARTICIPANTS {
        operator.deploy(CONFIGURATION, id).await?;
    }
    Ok(())
}

/// What a system whose caches know exact URLs only says of itself.
fn urls_only() -> Vec<v1::Capability> {
    let of = |operation: &str| v1::Capability {
        operation: operation.to_owned(),
        selectors: vec!["url".to_owned()],
    };
    ["purge", "load"].map(of).into()
}

fn record(server: &Server) -> v1::Server {
    let [region, country, city] = server.place.map(str::to_owned);
    v1::Server {
        id: server.id.to_owned(),
        participant_id: server.participant.to_owned(),
        dialect: server.cache.kind().dialect().to_owned(),
        address: server.cache.address().to_string(),
        place: Some(v1::Place {
            region,
            country,
            city,
        }),
    }
}
