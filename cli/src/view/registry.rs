//! The federation's directory.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use prost_types::Timestamp;
use proto::v1::{
    Capability, Configuration, Deployment, DeploymentState, Participant, ParticipantProgress,
    Place, Server,
};
use serde::Serialize;

use super::{key::KeyView, word::text};
use crate::words;

/// A participant.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ParticipantView {
    pub(crate) participant_id: String,
    pub(crate) display_name: String,
    pub(crate) invocation_system: Option<String>,
    pub(crate) excludes_own_servers: bool,
    /// What its invocation system can do; empty when that is not said.
    pub(crate) capabilities: Vec<CapabilityView>,
    /// What its adapter signs with; empty where it does not sign.
    pub(crate) signing_keys: Vec<KeyView>,
    /// How much one call to its provider holds, by unit, where that is said.
    pub(crate) native_limits: BTreeMap<String, u32>,
    /// Only in lists, and where the caller may see it.
    pub(crate) progress: Option<ProgressView>,
}

/// One operation of an invocation system, and with which selectors.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct CapabilityView {
    pub(crate) operation: String,
    pub(crate) selectors: Vec<String>,
}

/// How far a participant has come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProgressView {
    pub(crate) participant_id: String,
    /// By how many executions it is behind: `waiting` and `unreported`.
    pub(crate) behind: u64,
    /// Since the oldest of them was accepted, in whole seconds by this machine's clock.
    pub(crate) behind_seconds: Option<u64>,
    pub(crate) waiting: u64,
    pub(crate) unreported: u64,
    pub(crate) accepted_sequence: u64,
    pub(crate) read_sequence: u64,
    pub(crate) oldest_time: Option<String>,
    pub(crate) heard_time: Option<String>,
    /// Since its adapter was heard, in whole seconds by this machine's clock.
    pub(crate) heard_seconds: Option<u64>,
}

/// A server.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ServerView {
    pub(crate) server_id: String,
    pub(crate) participant_id: String,
    pub(crate) dialect: String,
    pub(crate) address: String,
    pub(crate) place: PlaceView,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlaceView {
    pub(crate) region: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) city: Option<String>,
}

/// A configuration.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ConfigurationView {
    pub(crate) configuration_id: String,
    pub(crate) customer_id: String,
    pub(crate) owner_id: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) wide_purges_need_approval: bool,
}

/// A deployment.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct DeploymentView {
    pub(crate) deployment_id: String,
    pub(crate) configuration_id: String,
    pub(crate) participant_id: String,
    /// Empty means all, also later ones.
    pub(crate) server_ids: Vec<String>,
    /// `wished`, `granted` or `revoked`; absent where the broker does not say.
    pub(crate) state: Option<String>,
}

impl From<Participant> for ParticipantView {
    fn from(participant: Participant) -> Self {
        Self {
            participant_id: participant.id,
            display_name: participant.display_name,
            invocation_system: text(participant.invocation_system),
            excludes_own_servers: participant.excludes_own_servers,
            capabilities: participant
                .capabilities
                .into_iter()
                .map(CapabilityView::from)
                .collect(),
            signing_keys: participant
                .signing_keys
                .into_iter()
                .map(KeyView::from)
                .collect(),
            native_limits: participant
                .native_limits
                .into_iter()
                .map(|one| (one.unit, one.amount))
                .collect(),
            progress: None,
        }
    }
}

impl From<Capability> for CapabilityView {
    fn from(capability: Capability) -> Self {
        Self {
            operation: capability.operation,
            selectors: capability.selectors,
        }
    }
}

impl ProgressView {
    /// As it was at `now`.
    pub(crate) fn new(progress: ParticipantProgress, now: SystemTime) -> Self {
        let seconds = |time: Option<&Timestamp>| {
            let since = time.map(|time| words::since(time, now).unwrap_or_default());
            since.map(|since| since.as_secs())
        };
        Self {
            behind: progress.waiting.saturating_add(progress.unreported),
            behind_seconds: seconds(progress.oldest_time.as_ref()),
            waiting: progress.waiting,
            unreported: progress.unreported,
            accepted_sequence: progress.accepted_sequence,
            read_sequence: progress.read_sequence,
            oldest_time: progress.oldest_time.as_ref().and_then(words::rfc3339),
            heard_time: progress.heard_time.as_ref().and_then(words::rfc3339),
            heard_seconds: seconds(progress.heard_time.as_ref()),
            participant_id: progress.participant_id,
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
            wide_purges_need_approval: configuration.wide_purges_need_approval.unwrap_or_default(),
        }
    }
}

impl From<Deployment> for DeploymentView {
    fn from(deployment: Deployment) -> Self {
        let state = match deployment.state() {
            DeploymentState::Unspecified => None,
            DeploymentState::Wished => Some("wished"),
            DeploymentState::Granted => Some("granted"),
            DeploymentState::Revoked => Some("revoked"),
        };
        Self {
            state: state.map(str::to_owned),
            deployment_id: deployment.id,
            configuration_id: deployment.configuration_id,
            participant_id: deployment.participant_id,
            server_ids: deployment.server_ids,
        }
    }
}
