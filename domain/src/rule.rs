//! The one error of everything that is parsed here: which rule the text broke.
//!
//! Invariant: the text itself is never part of the message, so hostile input cannot reach a log by this road.
//! Not here: which field held the text; the caller knows that and says it.

use thiserror::Error;

/// A rule of the federation's formats that an input broke, as a sentence without a subject: "must not be empty".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BrokenRule(pub String);

impl BrokenRule {
    /// A rule from its words.
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}
