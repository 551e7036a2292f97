//! A customer's property, and where it is deployed.

use std::borrow::Cow;

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
    /// Whether a wide purge of it waits until a second person has approved it; not, where nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wide_purges_need_approval: Option<bool>,
}

impl Configuration {
    /// Whether a second person is asked for.
    pub fn needs_approval(&self) -> bool {
        self.wide_purges_need_approval.unwrap_or_default()
    }

    /// What those are told of it who carry it: not the rules that its owner has given itself.
    pub fn for_carriers(&self) -> Cow<'_, Self> {
        if self.wide_purges_need_approval.is_none() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            wide_purges_need_approval: None,
            ..self.clone()
        })
    }
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
    /// Whether both sides agree to it.
    #[serde(default)]
    pub agreement: Agreement,
}

/// How far a deployment is agreed. Only what is granted is a target of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The configuration's owner asks for it.
    Wished,
    /// The participant that runs the servers agrees. Also what was written before there were wishes: an operator made it.
    #[default]
    Granted,
    /// The participant has refused, or taken its grant back.
    Revoked,
}

impl Agreement {
    /// Whether commands mean its servers.
    pub const fn is_granted(self) -> bool {
        match self {
            Self::Granted => true,
            Self::Wished | Self::Revoked => false,
        }
    }
}
