//! What is to be done with the selected content.
//!
//! Invariant: whether an operation may be repeated is known before it is sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{id::OperationName, limits, rule::BrokenRule};

/// An operation of the federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Make what is cached unusable.
    Purge(PurgeMode),
    /// Fetch into the cache.
    Load,
    /// What the operator of the federation registered.
    Custom(CustomOperation),
}

/// How a purge treats what is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeMode {
    /// Gone: the next request goes to the origin.
    Delete,
    /// Stale: it may serve while the origin is asked again.
    Invalidate,
    /// Renamed now, so nobody finds it, and deleted when the server is idle.
    Deferred,
}

/// A custom operation with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomOperation {
    /// As the operator registered it.
    pub name: OperationName,
    /// Whether doing it twice does the same as doing it once; from the registration.
    pub repeatable: bool,
    /// Passed on as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

impl Operation {
    /// Whether it may be told twice to the same server.
    pub const fn is_repeatable(&self) -> bool {
        match self {
            Self::Purge(_) | Self::Load => true,
            Self::Custom(custom) => custom.repeatable,
        }
    }

    /// The word for people, messages and metrics: `purge`, `load`, or the custom operation's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Purge(_) => "purge",
            Self::Load => "load",
            Self::Custom(custom) => custom.name.as_str(),
        }
    }
}

impl CustomOperation {
    /// Checks the number and the length of the parameters.
    pub fn check(&self) -> Result<(), BrokenRule> {
        if self.parameters.len() > limits::PARAMETERS_PER_OPERATION {
            return Err(BrokenRule::new(format!(
                "must have at most {} parameters (PARAMETERS_PER_OPERATION)",
                limits::PARAMETERS_PER_OPERATION
            )));
        }
        let fits = |text: &String| text.chars().count() <= limits::URL_LENGTH;
        if !self
            .parameters
            .iter()
            .all(|(name, value)| fits(name) && fits(value))
        {
            return Err(BrokenRule::new(format!(
                "parameter names and values must be at most {} characters (URL_LENGTH)",
                limits::URL_LENGTH
            )));
        }
        Ok(())
    }
}
