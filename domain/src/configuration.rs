//! A customer's property, and where it is deployed.

use serde::{Deserialize, Serialize};

use crate::{
    host::HostName,
    id::{ConfigurationId, CustomerId, DeploymentId, ParticipantId, ServerId},
};

/// One property of a customer: its host names, and the participant who owns and commands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Its id.
    pub id: ConfigurationId,
    /// Whose content it is.
    pub customer: CustomerId,
    /// The participant that sold it and commands it.
    pub owner: ParticipantId,
    /// Its host names; a host name belongs to one configuration.
    pub hosts: Vec<HostName>,
}

/// A configuration placed at a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// What is placed.
    pub configuration: ConfigurationId,
    /// At whom.
    pub participant: ParticipantId,
    /// On which of its servers; empty means all, also those that come later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerId>,
}
