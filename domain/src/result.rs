//! What one server made of an execution.
//!
//! Invariant: "nothing was held" is a success of a purge, and told apart from "removed": neither is guessed.

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Evidence, fault::Fault, id::ServerId, limits, proof::Proof, time::Timestamp,
};

/// One server's part of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerResult {
    /// Which server.
    pub server: ServerId,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found for each selector, in the order of the calls; at most [`limits::FINDINGS_PER_RESULT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SelectorFinding>,
    /// How many calls were made, repeated ones included.
    #[serde(default)]
    pub attempts: u32,
    /// From the first call to the last answer, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// Tries that did not end it, the latest [`limits::TRIES_PER_RESULT`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// With [`Evidence::Estimated`]: when the native system believes to be done, by the adapter's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
    /// What looking afterwards showed, where the command asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// A try that was followed by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it ended, by the adapter's clock.
    pub at: Timestamp,
    /// Why it was not the last.
    pub fault: Fault,
    /// The pause that followed, in milliseconds.
    pub pause_ms: u64,
}

/// How a server's part ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it was told.
    Done(Evidence),
    /// It did not.
    Failed(Fault),
    /// It was interrupted and may not be repeated, so nobody knows.
    Unknown,
}

/// What was found for one selector of the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectorFinding {
    /// Which selector, counted from 0 in the command's list.
    pub selector: u32,
    /// What was found.
    pub finding: Finding,
}

/// What a server found when it carried out one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The native system took it and says no more.
    Accepted,
    /// Removed; how many objects, where the server counts them.
    Removed(Option<u64>),
    /// Marked stale; how many objects, where the server counts them.
    Invalidated(Option<u64>),
    /// A rule now hides all matching objects; the server removes them as it meets them.
    Banned,
    /// There was nothing to remove.
    NothingHeld,
    /// Fetched and stored.
    Stored,
    /// Was there already, and fresh.
    AlreadyThere,
    /// Fetched, but larger than the server stores.
    TooLarge,
    /// Fetched, but the server's rules do not store it.
    RefusedByRules,
    /// The origin answered with this status, so there was nothing to store.
    OriginStatus(u16),
}

impl Finding {
    /// Whether the operation reached its aim for this selector.
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Accepted
            | Self::Removed(_)
            | Self::Invalidated(_)
            | Self::Banned
            | Self::NothingHeld
            | Self::Stored
            | Self::AlreadyThere => true,
            Self::TooLarge | Self::RefusedByRules | Self::OriginStatus(_) => false,
        }
    }
}

impl ServerResult {
    /// Nothing is known yet.
    pub const fn unknown(server: ServerId) -> Self {
        Self {
            server,
            outcome: Outcome::Unknown,
            findings: Vec::new(),
            attempts: 0,
            took_ms: 0,
            tries: Vec::new(),
            estimated_at: None,
            proof: None,
        }
    }

    /// Keeps a try, and forgets the oldest past the limit.
    pub fn tried(&mut self, again: Try) {
        if self.tries.len() >= limits::TRIES_PER_RESULT {
            self.tries.remove(0);
        }
        self.tries.push(again);
    }

    /// Adds a finding for each selector that a call carried out, up to the limit.
    pub fn found(&mut self, selectors: &[u32], finding: &Finding) {
        let room = limits::FINDINGS_PER_RESULT.saturating_sub(self.findings.len());
        let added = selectors.iter().take(room);
        self.findings.extend(added.map(|selector| SelectorFinding {
            selector: *selector,
            finding: finding.clone(),
        }));
    }
}
