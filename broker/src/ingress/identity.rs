//! Who is calling. The one place where that is found.
//!
//! Invariant: with TLS the identity is the one URI in the caller's certificate and nothing else; the metadata field counts
//! only where the configuration says `insecure = true`, which it may only say on a loopback address.

use std::fmt;

use domain::ParticipantId;
use tonic::Request;

use super::peer::Peer;
use crate::error::Error;

/// The metadata field of callers without TLS: `participant/<id>`, `participant/<id>/person/<name>` or `operator/<name>`.
pub const METADATA_KEY: &str = "x-federation-identity";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A participant's invocation system.
    Participant(ParticipantId),
    /// A person who acts for a participant: what it may do is what the participant may, and who it was is remembered.
    Person {
        /// For whom.
        participant: ParticipantId,
        /// Who, by a name that is the participant's to give.
        name: String,
    },
    /// An operator of the federation.
    Operator(String),
}

/// Where an identity comes from.
#[derive(Debug, Clone, Copy)]
pub enum IdentitySource {
    /// The URI in the client's certificate, which the connection was opened with.
    Certificate,
    /// The metadata field.
    Metadata,
}

impl IdentitySource {
    /// Who sent this request.
    pub fn identify<T>(&self, request: &Request<T>) -> Result<Identity, Error> {
        match self {
            Self::Certificate => {
                let peer = request.extensions().get::<Peer>();
                let identity = peer.and_then(Peer::identity);
                let identity =
                    identity.ok_or(Error::Unidentified("a client certificate is required"))?;
                Ok(identity.clone())
            }
            Self::Metadata => {
                let value = request.metadata().get(METADATA_KEY);
                let value = value.ok_or(Error::Unidentified(
                    "metadata field x-federation-identity is required",
                ))?;
                let path = value
                    .to_str()
                    .map_err(|_| Error::Unidentified("x-federation-identity must be ASCII"))?;
                Identity::from_path(path).map_err(Error::Unidentified)
            }
        }
    }
}

impl Identity {
    /// The participant in whose name it acts; an operator acts in its own.
    pub const fn participant(&self) -> Option<&ParticipantId> {
        match self {
            Self::Participant(participant) | Self::Person { participant, .. } => Some(participant),
            Self::Operator(_) => None,
        }
    }

    /// Whose rights and shares it has: a participant's people have those of the participant.
    #[must_use]
    pub fn acts_as(&self) -> Self {
        let participant = self.participant().cloned();
        participant.map_or_else(|| self.clone(), Self::Participant)
    }

    /// Whether it is one of many, and not a system.
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. } | Self::Operator(_))
    }

    /// Reads `participant/<id>`, `participant/<id>/person/<name>` or `operator/<name>`.
    pub(super) fn from_path(path: &str) -> Result<Self, &'static str> {
        let malformed = "an identity is `participant/<id>`, `participant/<id>/person/<name>` or `operator/<name>`";
        // A name has the form of any other id.
        let id = |text: &str| text.parse::<ParticipantId>().map_err(|_| malformed);
        match path.split('/').collect::<Vec<_>>()[..] {
            ["participant", participant] => Ok(Self::Participant(id(participant)?)),
            ["participant", participant, "person", name] => Ok(Self::Person {
                participant: id(participant)?,
                name: id(name)?.to_string(),
            }),
            ["operator", name] => Ok(Self::Operator(id(name)?.to_string())),
            _ => Err(malformed),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Participant(id) => write!(f, "participant/{id}"),
            Self::Person { participant, name } => {
                write!(f, "participant/{participant}/person/{name}")
            }
            Self::Operator(name) => write!(f, "operator/{name}"),
        }
    }
}
