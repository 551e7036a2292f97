//! The part of a command that one participant carries out, and the state machine that decides what a report changes.
//!
//! ```text
//!                    ┌────────────────────────── cancelled, expired
//!  accepted ──► dispatched ──► running ──► done(evidence ↑)
//!      │             │            ├──────► failed(fault)
//!      │             │            ├──────► unknown        interrupted, and may not be repeated
//!      │             └────────────┴──────► unanswered ──► done, failed, cancelled, expired, unknown
//!      └ unsupported (from the start)                     (a late report replaces silence)
//! ```
//!
//! Invariant: a settled execution never moves, but for two named exceptions: evidence may rise, and a late report
//! replaces `unanswered`. [`State::next`] is total: every state has an answer to every event.

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Evidence,
    fault::Fault,
    fidelity::Fidelity,
    id::{CommandId, ExecutionId, ServerId},
    result::ServerResult,
    time::Timestamp,
};

/// Where an execution stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On disk, in the outbox; a cancel is certain.
    Accepted,
    /// Handed to RabbitMQ, or about to be.
    Dispatched,
    /// The adapter says that a native job is under way.
    Running,
    /// Every server did it; how sure we are.
    Done(Evidence),
    /// At least one server did not.
    Failed(Fault),
    /// The participant's dialect cannot say it; never sent.
    Unsupported,
    /// Taken back before it was carried out.
    Cancelled,
    /// Its time was over before it began.
    Expired,
    /// No report came in time; not the same as failed.
    Unanswered,
    /// Interrupted, and it may not be repeated.
    Unknown,
}

/// What can happen to an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The dispatcher took it from the outbox.
    Dispatched,
    /// The adapter started a native job.
    Running,
    /// The adapter reports success.
    Done(Evidence),
    /// The adapter reports failure, and will not try again.
    Failed(Fault),
    /// Taken back in the outbox, or by the adapter before it began.
    Cancelled,
    /// Its time was over.
    Expired,
    /// The deadline passed without a report.
    Silence,
    /// The adapter was interrupted and may not repeat it.
    Interrupted,
}

impl State {
    /// The state after `event`.
    #[must_use]
    pub fn next(self, event: Event) -> Self {
        match (self, event) {
            (Self::Running, Event::Dispatched | Event::Running) => Self::Running,
            // Silence was only that: what the adapter says at last takes its place, once.
            (Self::Unanswered, Event::Dispatched | Event::Running | Event::Silence) => {
                Self::Unanswered
            }
            (Self::Accepted | Self::Dispatched | Self::Running | Self::Unanswered, event) => {
                event.result()
            }
            (Self::Done(before), Event::Done(after)) => Self::Done(before.max(after)),
            (
                settled @ (Self::Done(_)
                | Self::Failed(_)
                | Self::Unsupported
                | Self::Cancelled
                | Self::Expired
                | Self::Unknown),
                _,
            ) => settled,
        }
    }

    /// Whether it has ended.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Accepted | Self::Dispatched | Self::Running => false,
            Self::Done(_)
            | Self::Failed(_)
            | Self::Unsupported
            | Self::Cancelled
            | Self::Expired
            | Self::Unanswered
            | Self::Unknown => true,
        }
    }

    /// The word for people, messages and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unanswered => "unanswered",
            Self::Unknown => "unknown",
        }
    }
}

impl Event {
    /// The state that it leads to where nothing stands against it.
    fn result(self) -> State {
        match self {
            Self::Dispatched => State::Dispatched,
            Self::Running => State::Running,
            Self::Done(evidence) => State::Done(evidence),
            Self::Failed(fault) => State::Failed(fault),
            Self::Cancelled => State::Cancelled,
            Self::Expired => State::Expired,
            Self::Silence => State::Unanswered,
            Self::Interrupted => State::Unknown,
        }
    }
}

/// All that the originator may know of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Command and participant.
    pub id: ExecutionId,
    /// The participant's own count of executions, from 1 without gaps within a shard.
    pub sequence: u64,
    /// Where it stands.
    pub state: State,
    /// How well the participant's dialect can say the command.
    pub fidelity: Fidelity,
    /// The servers that it is for.
    pub servers: Vec<ServerId>,
    /// What they made of it; empty until reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ServerResult>,
    /// When its state last moved.
    pub changed_at: Timestamp,
    /// The command's revision at which it last moved: what a watcher that resumes compares with.
    pub revision: u64,
    /// The states that it was in, oldest first; at most [`crate::limits::HISTORY_ENTRIES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Change>,
    /// When silence ends: without a report by then it is `unanswered`. Absent before it is dispatched and after it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When its adapter was asked to leave it, where it had been sent already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_asked_at: Option<Timestamp>,
    /// The later command whose execution did this one's work too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorbed_by: Option<CommandId>,
}

/// A state and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// [`State::as_str`].
    pub state: String,
    /// By the broker's clock.
    pub at: Timestamp,
}

#[cfg(test)]
pub(crate) mod strategy {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::{Again, FaultCode};

    fn fault() -> Fault {
        Fault::participant(FaultCode::Refused, Again::Never, "no")
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        prop::sample::select(Evidence::ALL.to_vec())
    }

    pub(crate) fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Dispatched),
            Just(Event::Running),
            evidence().prop_map(Event::Done),
            Just(Event::Failed(fault())),
            Just(Event::Cancelled),
            Just(Event::Expired),
            Just(Event::Silence),
            Just(Event::Interrupted),
        ]
    }

    pub(crate) fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Accepted),
            Just(State::Dispatched),
            Just(State::Running),
            evidence().prop_map(State::Done),
            Just(State::Failed(fault())),
            Just(State::Unsupported),
            Just(State::Cancelled),
            Just(State::Expired),
            Just(State::Unanswered),
            Just(State::Unknown),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        strategy::{event, state},
        *,
    };

    proptest! {
        /// A settled execution never moves, but evidence may rise and a late report may replace silence.
        #[test]
        fn a_settled_execution_moves_only_by_the_two_exceptions(before in state(), event in event()) {
            let after = before.clone().next(event);
            if before.is_settled() && after != before {
                match (&before, &after) {
                    (State::Done(less), State::Done(more)) => prop_assert!(more > less),
                    (State::Unanswered, after) => prop_assert!(after.is_settled()),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }

        /// The same report twice, as RabbitMQ may deliver it, changes nothing the second time.
        #[test]
        fn an_event_told_twice_counts_once(before in state(), event in event()) {
            let once = before.next(event.clone());
            prop_assert_eq!(once.clone().next(event), once);
        }

        /// What has settled stays settled, whatever comes in whatever order.
        #[test]
        fn nothing_wakes_a_settled_execution(start in state(), events in prop::collection::vec(event(), 0..20)) {
            let mut state = start;
            for event in events {
                let was_settled = state.is_settled();
                state = state.next(event);
                prop_assert!(!was_settled || state.is_settled());
            }
        }
    }
}
