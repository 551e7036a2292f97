//! A command as its originator submitted it and the broker accepted it.
//!
//! Invariant: it never changes after acceptance; what happens to it is told by its executions.

use serde::{Deserialize, Serialize};

use crate::{
    fidelity::Ceiling,
    id::{CommandId, ConfigurationId, ParticipantId, RequestId},
    operation::Operation,
    scope::Scope,
    selector::Selector,
    time::Timestamp,
    verification::Verification,
};

/// Operation and target, in the federation's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Named by the broker.
    pub id: CommandId,
    /// Who submitted it.
    pub originator: ParticipantId,
    /// Of which configuration.
    pub configuration: ConfigurationId,
    /// What is to be done.
    pub operation: Operation,
    /// With which of its content; never empty.
    pub selectors: Vec<Selector>,
    /// On which of its servers.
    #[serde(default)]
    pub scope: Scope,
    /// How far a dialect may stray.
    #[serde(default)]
    pub ceiling: Ceiling,
    /// What happens when a participant cannot say it.
    #[serde(default)]
    pub when_impossible: WhenImpossible,
    /// That somebody shall look afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// The originator's name for this attempt, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// When the broker accepted it, by the broker's clock.
    pub accepted_at: Timestamp,
    /// Nobody is told before this moment; its place in the order is the one that it has then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What has not begun by then is never begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The W3C `traceparent` that it came with or was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The W3C `tracestate` that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// What happens to a command that one of its participants cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenImpossible {
    /// It goes to the others; that participant's execution is `unsupported`.
    #[default]
    Skip,
    /// It is refused whole, before anything is sent.
    Refuse,
}
