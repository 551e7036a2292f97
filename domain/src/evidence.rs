//! How sure we are that something happened.
//!
//! Invariant: evidence is ordered, and folding takes the weakest: a chain of proof is as strong as its weakest link.

use serde::{Deserialize, Serialize};

/// From the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The native system took the command; nobody can say when or whether it acted (Fastly's 200).
    Acknowledged,
    /// The native system took it and said when it should be done (Akamai's `estimatedSeconds`); the time is with the server's
    /// result ([`crate::ServerResult::estimated_at`]).
    Estimated,
    /// The native system, or the cache itself, says that it is done.
    Reported,
    /// Somebody looked afterwards and saw it.
    Verified,
}

impl Evidence {
    /// Every value, weakest first.
    pub const ALL: [Self; 4] = [
        Self::Acknowledged,
        Self::Estimated,
        Self::Reported,
        Self::Verified,
    ];

    /// The word for people and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Estimated => "estimated",
            Self::Reported => "reported",
            Self::Verified => "verified",
        }
    }
}
