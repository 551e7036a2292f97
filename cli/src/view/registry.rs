//! The federation's directory.

use std::fmt;

use proto::v1::{Configuration, Deployment, Participant, Place, Server};
use serde::Serialize;

use super::word::text;

/// A participant.
#[derive(Debug, Serialize)]
pub(crate) struct ParticipantView {
    pub(crate) participant_id: String,
    pub(crate) display_name: String,
    pub(crate) invocation_system: Option<String>,
    pub(crate) excludes_own_servers: bool,
}

/// A server.
#[derive(Debug, Serialize)]
pub(crate) struct ServerView {
    pub(crate) server_id: String,
    pub(crate) participant_id: String,
    pub(crate) dialect: String,
    pub(crate) address: String,
    pub(crate) place: PlaceView,
}

/// A place.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlaceView {
    pub(crate) region: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) city: Option<String>,
}

/// A configuration.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigurationView {
    pub(crate) configuration_id: String,
    pub(crate) customer_id: String,
    pub(crate) owner_id: String,
    pub(crate) hosts: Vec<String>,
}

/// A deployment.
#[derive(Debug, Serialize)]
pub(crate) struct DeploymentView {
    pub(crate) deployment_id: String,
    pub(crate) configuration_id: String,
    pub(crate) participant_id: String,
    /// Empty means all, also later ones.
    pub(crate) server_ids: Vec<String>,
}

impl From<Participant> for ParticipantView {
    fn from(participant: Participant) -> Self {
        Self {
            participant_id: participant.id,
            display_name: participant.display_name,
            invocation_system: text(participant.invocation_system),
            excludes_own_servers: participant.excludes_own_servers,
        }
    }
}

impl From<Server> for ServerView {
    fn from(server: Server) -> Self {
        Self {
            server_id: server.id,
            participant_id: server.participant_id,
            dialect: server.dialect,
            address: server.address,
            place: server.place.unwrap_or_default().into(),
        }
    }
}

impl From<Place> for PlaceView {
    fn from(place: Place) -> Self {
        Self {
            region: text(place.region),
            country: text(place.country),
            city: text(place.city),
        }
    }
}

impl fmt::Display for PlaceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = [&self.region, &self.country, &self.city]
            .map(|level| level.as_deref().unwrap_or_default());
        f.pad(levels.join("/").trim_end_matches('/'))
    }
}

impl From<Configuration> for ConfigurationView {
    fn from(configuration: Configuration) -> Self {
        Self {
            configuration_id: configuration.id,
            customer_id: configuration.customer_id,
            owner_id: configuration.owner_id,
            hosts: configuration.hosts,
        }
    }
}

impl From<Deployment> for DeploymentView {
    fn from(deployment: Deployment) -> Self {
        Self {
            deployment_id: deployment.id,
            configuration_id: deployment.configuration_id,
            participant_id: deployment.participant_id,
            server_ids: deployment.server_ids,
        }
    }
}
