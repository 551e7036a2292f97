//! How much one call to a participant's provider may hold, where its account has another number than most.
//!
//! Not here: which units there are and what is too much (`dialects::Limits`), and what such an account may be called how often
//! (the adapter's configuration).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Numbers by unit: `urls`, `tags`, …, and `bytes` of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NativeLimits(BTreeMap<String, u32>);

impl NativeLimits {
    /// Of somebody who says none.
    pub const NONE: Self = Self(BTreeMap::new());

    /// What is said of a unit.
    pub fn get(&self, unit: &str) -> Option<u32> {
        self.0.get(unit).copied()
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is said, by unit.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.0.iter().map(|(unit, amount)| (unit.as_str(), *amount))
    }
}

impl FromIterator<(String, u32)> for NativeLimits {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}
