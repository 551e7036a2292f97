//! The records of the registry, as they stand in Redis and in its log of changes.

use std::borrow::Cow;

use domain::{Configuration, Deployment, DialectName, Participant, Server, Timestamp};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// The five kinds of records.
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
    /// A version of a mapping.
    Mapping,
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
    /// A version of a mapping.
    Mapping(MappingVersion),
}

/// One version of a mapping; the highest is the current one, or says that there is none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingVersion {
    /// The mapping's name.
    pub name: DialectName,
    /// Counted from 1.
    pub version: u32,
    /// When it was put.
    pub put_at: Timestamp,
    /// The document; `None` where the mapping was deleted with this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

impl MappingVersion {
    /// The id of a version's record; a name has no `.`.
    pub fn id_of(name: &DialectName, version: u32) -> String {
        format!("{name}.{version}")
    }

    /// Name and version of a record's id.
    pub fn parts(id: &str) -> Option<(DialectName, u32)> {
        let (name, version) = id.split_once('.')?;
        Some((name.parse().ok()?, version.parse().ok()?))
    }
}

impl RecordKind {
    /// All kinds, so that what is referred to comes before what refers to it.
    pub const ALL: [Self; 5] = [
        Self::Mapping,
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
            Self::Mapping => "mappings",
        }
    }

    /// The word for people.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Server => "server",
            Self::Configuration => "configuration",
            Self::Deployment => "deployment",
            Self::Mapping => "mapping",
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
            Self::Mapping => serde_json::from_str(text).map(Record::Mapping),
        };
        record.map_err(|error| StoreError::unreadable(format!("a {}", self.singular()), error))
    }
}

/// Each kind of record as a record.
macro_rules! records {
    ($($kind:ident),+) => {$(
        impl From<$kind> for Record {
            fn from(record: $kind) -> Self {
                Self::$kind(record)
            }
        }
    )+};
}

records!(Participant, Server, Configuration, Deployment);

impl Record {
    /// Its kind.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Participant(_) => RecordKind::Participant,
            Self::Server(_) => RecordKind::Server,
            Self::Configuration(_) => RecordKind::Configuration,
            Self::Deployment(_) => RecordKind::Deployment,
            Self::Mapping(_) => RecordKind::Mapping,
        }
    }

    /// Its id as text.
    pub fn id(&self) -> Cow<'_, str> {
        match self {
            Self::Participant(record) => record.id.as_str().into(),
            Self::Server(record) => record.id.as_str().into(),
            Self::Configuration(record) => record.id.as_str().into(),
            Self::Deployment(record) => record.id.as_str().into(),
            Self::Mapping(record) => MappingVersion::id_of(&record.name, record.version).into(),
        }
    }

    pub(super) fn text(&self) -> Result<String, StoreError> {
        let text = match self {
            Self::Participant(record) => serde_json::to_string(record),
            Self::Server(record) => serde_json::to_string(record),
            Self::Configuration(record) => serde_json::to_string(record),
            Self::Deployment(record) => serde_json::to_string(record),
            Self::Mapping(record) => serde_json::to_string(record),
        };
        text.map_err(|error| StoreError::unreadable(format!("a {}", self.kind().singular()), error))
    }
}
