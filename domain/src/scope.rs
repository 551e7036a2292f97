//! Which of the servers that carry a configuration a command is for.
//!
//! Invariant: a scope only ever takes away; it never adds a server that does not carry the configuration.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ParticipantId, ServerId},
    participant::Server,
    place::Place,
};

/// A choice among the servers of a configuration's deployments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them, the originator's own included.
    #[default]
    Everywhere,
    /// Only those of other participants than the originator.
    Foreign,
    /// Only those of the named participants.
    Participants(BTreeSet<ParticipantId>),
    /// Only the named ones.
    Servers(BTreeSet<ServerId>),
    /// Only those that stand in one of the named places.
    Places(Vec<Place>),
}

impl Scope {
    /// Whether `server` is meant by a command of `originator`.
    pub fn includes(&self, originator: &ParticipantId, server: &Server) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Foreign => server.participant != *originator,
            Self::Participants(participants) => participants.contains(&server.participant),
            Self::Servers(servers) => servers.contains(&server.id),
            Self::Places(places) => places.iter().any(|place| server.place.is_inside(place)),
        }
    }
}
