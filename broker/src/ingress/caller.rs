//! Who may call, and how that is written.
//!
//! Invariant: an identity is one path in one spelling.
//! Not here: where it comes from (`identity`).

use std::fmt;

use domain::ParticipantId;

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
