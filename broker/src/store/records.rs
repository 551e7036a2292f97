//! The records of the registry, as they stand in Redis and in its log of changes.

use domain::{Configuration, Deployment, Participant, Server};

use super::StoreError;

/// The four kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A participant.
    Participant,
    /// A server.
    Server,
    /// A configuration.
    Configuration,
    /// A deployment.
    Deployment,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A participant.
    Participant(Participant),
    /// A server.
    Server(Server),
    /// A configuration.
    Configuration(Configuration),
    /// A deployment.
    Deployment(Deployment),
}

impl RecordKind {
    /// All kinds, so that what is referred to comes before what refers to it.
    pub const ALL: [Self; 4] = [
        Self::Participant,
        Self::Server,
        Self::Configuration,
        Self::Deployment,
    ];

    /// The last part of the kind's key, and the word in the log.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Participant => "participants",
            Self::Server => "servers",
            Self::Configuration => "configurations",
            Self::Deployment => "deployments",
        }
    }

    /// The word for people.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Server => "server",
            Self::Configuration => "configuration",
            Self::Deployment => "deployment",
        }
    }

    pub(super) fn from_plural(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == word)
    }

    pub(super) fn read(self, text: &str) -> Result<Record, StoreError> {
        let record = match self {
            Self::Participant => serde_json::from_str(text).map(Record::Participant),
            Self::Server => serde_json::from_str(text).map(Record::Server),
            Self::Configuration => serde_json::from_str(text).map(Record::Configuration),
            Self::Deployment => serde_json::from_str(text).map(Record::Deployment),
        };
        record.map_err(|error| StoreError::unreadable(format!("a {}", self.singular()), error))
    }
}

impl Record {
    /// Its kind.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Participant(_) => RecordKind::Participant,
            Self::Server(_) => RecordKind::Server,
            Self::Configuration(_) => RecordKind::Configuration,
            Self::Deployment(_) => RecordKind::Deployment,
        }
    }

    /// Its id as text.
    pub fn id(&self) -> &str {
        match self {
            Self::Participant(record) => record.id.as_str(),
            Self::Server(record) => record.id.as_str(),
            Self::Configuration(record) => record.id.as_str(),
            Self::Deployment(record) => record.id.as_str(),
        }
    }

    pub(super) fn text(&self) -> Result<String, StoreError> {
        let text = match self {
            Self::Participant(record) => serde_json::to_string(record),
            Self::Server(record) => serde_json::to_string(record),
            Self::Configuration(record) => serde_json::to_string(record),
            Self::Deployment(record) => serde_json::to_string(record),
        };
        text.map_err(|error| StoreError::unreadable(format!("a {}", self.kind().singular()), error))
    }
}
