//! How well a dialect can say a command, and how far the originator lets it stray.
//!
//! Invariant: nothing is ever wider than the configuration; what the ceiling does not allow is impossible.

use serde::{Deserialize, Serialize};

/// How faithfully a command is carried out. Ordered: folding several takes the worst.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fidelity")]
pub enum Fidelity {
    /// Just what was asked.
    Exact,
    /// More than was asked.
    Widened {
        /// How far.
        to: Breadth,
        /// Why, as a sentence for people.
        why: String,
    },
    /// Less than was asked.
    Narrowed {
        /// What is missing and why, as a sentence for people.
        why: String,
    },
    /// Not at all.
    Impossible {
        /// Why, as a sentence for people.
        why: String,
    },
}

/// How far a command is widened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breadth {
    /// The same objects, but a stronger operation: deleted where invalidation was asked.
    Operation,
    /// Everything of the host name.
    Host,
    /// Everything of the configuration.
    Configuration,
}

/// What the originator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Ceiling {
    /// The widest that is allowed; `None` allows nothing but exact.
    pub widest: Option<Breadth>,
    /// Whether less than was asked is better than nothing.
    pub narrowed: bool,
}

impl Default for Ceiling {
    /// Never wider than the configuration, and never less than was asked.
    fn default() -> Self {
        Self {
            widest: Some(Breadth::Configuration),
            narrowed: false,
        }
    }
}

impl Ceiling {
    /// The fidelity as it stands under this ceiling: what is not allowed becomes impossible, with the reason.
    pub fn judge(&self, fidelity: Fidelity) -> Fidelity {
        match fidelity {
            Fidelity::Widened { to, ref why } if self.widest.is_none_or(|widest| to > widest) => {
                Fidelity::Impossible {
                    why: format!(
                        "only wider than the originator allows ({}): {why}",
                        to.as_str()
                    ),
                }
            }
            Fidelity::Narrowed { ref why } if !self.narrowed => Fidelity::Impossible {
                why: format!(
                    "only less than was asked, which the originator does not allow: {why}"
                ),
            },
            within => within,
        }
    }
}

impl Breadth {
    /// The word for people and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Host => "host",
            Self::Configuration => "configuration",
        }
    }
}

impl Fidelity {
    /// The worse of two; of two alike the wider, and of two equally wide the first. Two that are impossible for different
    /// reasons give both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Impossible { why }, Self::Impossible { why: other }) if why.contains(&other) => {
                Self::Impossible { why }
            }
            (Self::Impossible { why }, Self::Impossible { why: other }) => Self::Impossible {
                why: format!("{why}; {other}"),
            },
            (one, other) if other.rank() > one.rank() => other,
            (one, _) => one,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Exact => 0,
            Self::Widened {
                to: Breadth::Operation,
                ..
            } => 1,
            Self::Widened {
                to: Breadth::Host, ..
            } => 2,
            Self::Widened {
                to: Breadth::Configuration,
                ..
            } => 3,
            Self::Narrowed { .. } => 4,
            Self::Impossible { .. } => 5,
        }
    }

    /// The reason, where there is one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Exact => None,
            Self::Widened { why, .. } | Self::Narrowed { why } | Self::Impossible { why } => {
                Some(why)
            }
        }
    }

    /// The word for people and messages.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Widened { .. } => "widened",
            Self::Narrowed { .. } => "narrowed",
            Self::Impossible { .. } => "impossible",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default lets a cache that can only delete do so for an invalidation; `exact` does not.
    #[test]
    fn the_ceiling_turns_what_it_forbids_into_impossible() {
        let stronger = Fidelity::Widened {
            to: Breadth::Operation,
            why: "it can only delete".into(),
        };
        assert_eq!(Ceiling::default().judge(stronger.clone()), stronger);
        let exact = Ceiling {
            widest: None,
            narrowed: false,
        };
        assert!(matches!(exact.judge(stronger), Fidelity::Impossible { .. }));
        let less = Fidelity::Narrowed {
            why: "no query strings".into(),
        };
        assert!(matches!(
            Ceiling::default().judge(less.clone()),
            Fidelity::Impossible { .. }
        ));
        assert_eq!(
            Ceiling {
                narrowed: true,
                ..Ceiling::default()
            }
            .judge(less.clone()),
            less
        );
    }

    /// Whatever the order of the selectors, the answer for all of them is that of the worst.
    #[test]
    fn folding_takes_the_worst() {
        let wide = Fidelity::Widened {
            to: Breadth::Host,
            why: String::new(),
        };
        let never = Fidelity::Impossible { why: String::new() };
        assert_eq!(Fidelity::Exact.and(wide.clone()), wide);
        assert_eq!(wide.clone().and(Fidelity::Exact), wide);
        assert_eq!(never.clone().and(wide), never);
        let why = |why: &str| Fidelity::Impossible {
            why: why.to_owned(),
        };
        assert_eq!(
            why("no tags").and(why("no regex")).and(why("no tags")),
            why("no tags; no regex")
        );
    }
}
