//! The executions of a command folded into one answer for the originator.
//!
//! Invariant: folding is order-independent, and an answer is never better than its worst part: `complete` means that
//! every server said so.

use serde::{Deserialize, Serialize};

use crate::{evidence::Evidence, execution::State};

/// How many executions are in which state, and the weakest evidence among those that are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// In the outbox.
    pub accepted: u32,
    /// Sent.
    pub dispatched: u32,
    /// Under way.
    pub running: u32,
    /// Done.
    pub done: u32,
    /// Failed.
    pub failed: u32,
    /// Could not be said.
    pub unsupported: u32,
    /// Taken back.
    pub cancelled: u32,
    /// Too late.
    pub expired: u32,
    /// Nobody reported in time.
    pub unanswered: u32,
    /// Interrupted, and not to be repeated.
    pub unknown: u32,
    /// The weakest evidence of those that are done.
    pub evidence: Option<Evidence>,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Nothing has been sent yet.
    Pending,
    /// Under way.
    Active,
    /// All done, and each was reported or verified.
    Complete,
    /// All done as far as anybody can know: at least one native system only acknowledges or estimates.
    Processed,
    /// All settled, some done and some not.
    Partial,
    /// All settled and none done.
    Failed,
    /// All taken back.
    Cancelled,
}

impl Standing {
    /// The standing of one execution.
    pub fn of(state: &State) -> Self {
        let mut one = Self::default();
        match state {
            State::Accepted => one.accepted = 1,
            State::Dispatched => one.dispatched = 1,
            State::Running => one.running = 1,
            State::Done(evidence) => (one.done, one.evidence) = (1, Some(*evidence)),
            State::Failed(_) => one.failed = 1,
            State::Unsupported => one.unsupported = 1,
            State::Cancelled => one.cancelled = 1,
            State::Expired => one.expired = 1,
            State::Unanswered => one.unanswered = 1,
            State::Unknown => one.unknown = 1,
        }
        one
    }

    /// Two standings as one. Associative and commutative, with the default as its neutral element.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            dispatched: self.dispatched + other.dispatched,
            running: self.running + other.running,
            done: self.done + other.done,
            failed: self.failed + other.failed,
            unsupported: self.unsupported + other.unsupported,
            cancelled: self.cancelled + other.cancelled,
            expired: self.expired + other.expired,
            unanswered: self.unanswered + other.unanswered,
            unknown: self.unknown + other.unknown,
            evidence: match (self.evidence, other.evidence) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
        }
    }

    /// Folds the states of all executions.
    pub fn fold<'a>(states: impl IntoIterator<Item = &'a State>) -> Self {
        states
            .into_iter()
            .map(Self::of)
            .fold(Self::default(), Self::and)
    }

    /// Executions that have not ended.
    pub const fn open(&self) -> u32 {
        self.accepted + self.dispatched + self.running
    }

    /// Executions that ended otherwise than done.
    pub const fn not_done(&self) -> u32 {
        self.failed
            + self.unsupported
            + self.cancelled
            + self.expired
            + self.unanswered
            + self.unknown
    }

    /// All executions.
    pub const fn total(&self) -> u32 {
        self.open() + self.done + self.not_done()
    }

    /// The answer in one word.
    pub fn overall(&self) -> Overall {
        if self.open() > 0 {
            let untouched = self.accepted + self.unsupported == self.total();
            return if untouched {
                Overall::Pending
            } else {
                Overall::Active
            };
        }
        match (self.done, self.not_done()) {
            (_, 0) if self.evidence >= Some(Evidence::Reported) => Overall::Complete,
            (1.., 0) => Overall::Processed,
            (1.., _) => Overall::Partial,
            (0, _) if self.cancelled > 0 && self.cancelled + self.unsupported == self.total() => {
                Overall::Cancelled
            }
            (0, _) => Overall::Failed,
        }
    }
}

impl Overall {
    /// The word for people, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Complete => "complete",
            Self::Processed => "processed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::strategy::state;

    proptest! {
        /// Reports come from many replicas in any order; the answer is the same.
        #[test]
        fn folding_is_order_independent(
            (states, shuffled) in prop::collection::vec(state(), 0..12)
                .prop_flat_map(|states| (Just(states.clone()), Just(states).prop_shuffle())),
            cut in 0_usize..12,
        ) {
            let whole = Standing::fold(&states);
            prop_assert_eq!(whole, Standing::fold(&shuffled));
            let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
            prop_assert_eq!(whole, Standing::fold(left).and(Standing::fold(right)));
            prop_assert_eq!(whole.overall(), Standing::fold(&shuffled).overall());
        }

        /// Never `complete` before every execution is done with somebody's word for it.
        #[test]
        fn complete_means_every_one(states in prop::collection::vec(state(), 1..12)) {
            let sure = |state: &State| matches!(state, State::Done(evidence) if *evidence >= Evidence::Reported);
            let complete = Standing::fold(&states).overall() == Overall::Complete;
            prop_assert_eq!(complete, states.iter().all(sure));
        }
    }
}
