//! What a participant's own invocation system can do, by the participant's own word.
//!
//! Invariant: a capability names at least one kind of selector, by words that the federation knows.
//! Not here: whether an operation is registered (`broker::registry`), and what a dialect can say (`dialects`).

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{OperationName, text_form},
    operation::Operation,
    rule::BrokenRule,
    selector::Selector,
};

/// One operation, and with which selectors it can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// `purge` in any mode, `load`, or the name of a custom operation.
    pub operation: OperationName,
    /// The kinds of selectors; never empty.
    pub selectors: BTreeSet<SelectorKind>,
}

/// A kind of selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SelectorKind {
    /// One URL.
    Url,
    /// The beginning of a path.
    Prefix,
    /// A pattern of `*`.
    Wildcard,
    /// A regular expression.
    Regex,
    /// A tag of the origin's.
    Tag,
    /// One host name.
    Host,
    /// The whole configuration.
    Everything,
}

impl Capability {
    /// Whether this is about `operation` with such a `selector`.
    pub fn covers(&self, operation: &Operation, selector: &Selector) -> bool {
        self.operation.as_str() == operation.name()
            && self.selectors.contains(&SelectorKind::of(selector))
    }
}

impl SelectorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Url,
        Self::Prefix,
        Self::Wildcard,
        Self::Regex,
        Self::Tag,
        Self::Host,
        Self::Everything,
    ];

    /// The kind of a selector.
    pub const fn of(selector: &Selector) -> Self {
        match selector {
            Selector::Url(_) => Self::Url,
            Selector::Prefix(_) => Self::Prefix,
            Selector::Wildcard(_) => Self::Wildcard,
            Selector::Regex(_) => Self::Regex,
            Selector::Tag(_) => Self::Tag,
            Selector::Host(_) => Self::Host,
            Selector::Everything => Self::Everything,
        }
    }

    /// The word for people and messages: that of [`Selector::kind`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Wildcard => "wildcard",
            Self::Regex => "regex",
            Self::Tag => "tag",
            Self::Host => "host",
            Self::Everything => "everything",
        }
    }
}

impl FromStr for SelectorKind {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            BrokenRule::new(format!("must be a kind of selector: {words}"))
        })
    }
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

text_form!(SelectorKind);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::PurgeMode;

    /// The words of a selector and of its kind are one and the same.
    #[test]
    fn a_kind_has_the_word_of_its_selectors() {
        let selectors = [
            Selector::Url("http://a.example/".parse().unwrap()),
            Selector::Prefix("a.example/".parse().unwrap()),
            Selector::Tag("red".parse().unwrap()),
            Selector::Host("a.example".parse().unwrap()),
            Selector::Everything,
        ];
        for selector in selectors {
            assert_eq!(SelectorKind::of(&selector).as_str(), selector.kind());
        }
        for kind in SelectorKind::ALL {
            assert_eq!(kind.as_str().parse::<SelectorKind>().unwrap(), kind);
        }
        assert!("urls".parse::<SelectorKind>().is_err());
    }

    /// What is not declared is not covered: neither another selector nor another operation.
    #[test]
    fn a_capability_covers_what_it_names() {
        let capability = Capability {
            operation: "purge".parse().unwrap(),
            selectors: [SelectorKind::Url, SelectorKind::Everything].into(),
        };
        let purge = Operation::Purge(PurgeMode::Deferred);
        assert!(capability.covers(&purge, &Selector::Everything));
        assert!(!capability.covers(&purge, &Selector::Tag("red".parse().unwrap())));
        assert!(!capability.covers(&Operation::Load, &Selector::Everything));
    }
}
