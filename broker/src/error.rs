//! Everything that can go wrong on the way of a call.
//!
//! Invariant: `Display` never repeats its source.
//! Not here: what the caller is answered (`answer`).

mod answer;

use std::{panic::AssertUnwindSafe, time::Duration};

use amqp::PublishError;
use dialects::CannotSay;
use domain::{BrokenRule, CommandId, ConfigurationId, DialectName, ParticipantId};
use futures::FutureExt as _;
use thiserror::Error as ThisError;

use crate::store::StoreError;

/// Violations that an error lists. All of them travel in a header, which clients bound; the message counts the rest.
const DETAILS: usize = 20;

/// What panics has failed, and stops nothing beside it.
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let work = AssertUnwindSafe(work).catch_unwind();
    work.await.unwrap_or(Err(Error::Interrupted))
}

/// A field and the rule that it broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// As in `draft.selectors[3].url`.
    pub field: String,
    /// The rule, as a sentence without a subject.
    pub rule: String,
}

impl Violation {
    /// A violation from its words.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

/// What went wrong.
#[derive(Debug, ThisError)]
pub enum Error {
    /// Fields broke rules.
    #[error("the request is malformed: {}", summary(.0))]
    Invalid(Vec<Violation>),
    /// Nobody, or not for this caller.
    #[error("{resource} `{id}` not found")]
    NotFound {
        /// The kind of resource.
        resource: &'static str,
        /// Its id.
        id: String,
    },
    /// There is one already.
    #[error("{resource} `{id}` exists already")]
    Exists {
        /// The kind of resource.
        resource: &'static str,
        /// Its id.
        id: String,
    },
    /// Something else refers to it.
    #[error("{resource} `{id}` is still in use by {by}")]
    InUse {
        /// The kind of resource.
        resource: &'static str,
        /// Its id.
        id: String,
        /// What refers to it.
        by: String,
    },
    /// The caller did not say who it is, or not so that we believe it.
    #[error("the caller is not identified: {0}")]
    Unidentified(&'static str),
    /// The caller may not do this at all.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
    /// The configuration is deployed nowhere.
    #[error("configuration `{configuration}` is deployed nowhere")]
    NotDeployed {
        /// Which one.
        configuration: ConfigurationId,
    },
    /// The scope leaves no server.
    #[error("the scope means no server that carries configuration `{configuration}`")]
    NobodyMeant {
        /// Which one.
        configuration: ConfigurationId,
    },
    /// Participants cannot say the command, and nobody else was to be told without them.
    #[error("cannot be carried out: {}", list_refusals(.refusals))]
    Impossible {
        /// Who, and why.
        refusals: Vec<(ParticipantId, String)>,
    },
    /// No second person is waited for.
    #[error("command `{command}` waits for no approval: {why}")]
    NothingToApprove {
        /// Which one.
        command: CommandId,
        /// Why it does not.
        why: String,
    },
    /// The request id was used before for something else.
    #[error("the request id was used before for a different command")]
    RequestIdUsed,
    /// Too much waits for a participant.
    #[error("the outbox of participant `{participant}` is full at {limit} executions")]
    OutboxFull {
        /// Whose.
        participant: ParticipantId,
        /// The limit (`outbox.limit`).
        limit: u64,
    },
    /// All connections together have as many calls open as they may.
    #[error("{limit} calls are open, and no more may be")]
    TooManyCalls {
        /// The limit (`limits.open_calls`).
        limit: usize,
    },
    /// The connection is older than connections get.
    #[error("the connection has reached its age; connect anew")]
    ConnectionAged,
    /// A caller asked for more than its share.
    #[error(
        "{caller} has used up its quota of {rate} {quota} a second; try again in {} ms",
        again_in.as_millis()
    )]
    OverQuota {
        /// Whose.
        caller: String,
        /// `calls` or `selectors`.
        quota: &'static str,
        /// Its rate.
        rate: f64,
        /// When the same is allowed again.
        again_in: Duration,
    },
    /// Too many of the caller's commands have not settled.
    #[error(
        "participant `{participant}` has {limit} commands open in one shard, and may not have more"
    )]
    TooManyOpen {
        /// Whose.
        participant: ParticipantId,
        /// The limit (`quotas.each.open_commands`).
        limit: u64,
    },
    /// The answer took longer than a call may take.
    #[error(
        "no answer within {limit:?} (limits.call_time); what was asked for may have been done all the same: ask again, for a \
         submit with the same request_id"
    )]
    TooSlow {
        /// The limit (`limits.call_time`).
        limit: Duration,
    },
    /// The broker is about to end.
    #[error("the broker is shutting down")]
    ShuttingDown,
    /// A part of ours broke in the middle of a call.
    #[error("the call was interrupted inside the broker")]
    Interrupted,
    /// Another replica kept changing the registry.
    #[error("the registry changed while the request was checked")]
    Contended,
    /// Redis.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// RabbitMQ, while a participant's queues were declared.
    #[error("the participant's queues could not be declared")]
    Topology(#[from] amqp::TopologyError),
    /// RabbitMQ's management API, while a participant's user was made or removed.
    #[error("the participant's RabbitMQ user could not be changed")]
    Users(#[from] amqp::ManagementError),
    /// RabbitMQ, while dead letters were looked at.
    #[error("the dead letters cannot be looked at")]
    DeadLetters(#[from] amqp::LookError),
    /// RabbitMQ, while a dead letter was sent again. It is still there.
    #[error("a dead letter could not be sent again: {}", why_not_sent(.0))]
    NotSent(#[source] amqp::PublishError),
    /// A dead letter is not what we wrote. It is still there.
    #[error("a dead letter is not sent again, for it is not what the broker wrote")]
    NotOurs(#[source] domain::signing::SealError),
    /// RabbitMQ, while what was worked on was removed.
    #[error("RabbitMQ has not heard what was removed; some of it may still be there")]
    NotRemoved(#[from] amqp::SettleError),
    /// A dead letter is a report.
    #[error("a report cannot be sent again, for nobody but its own participant can vouch for it")]
    ReportsStay,
    /// A record names a dialect that this broker does not have.
    #[error("dialect `{dialect}` is not known to this broker")]
    UnknownDialect {
        /// Which one.
        dialect: DialectName,
    },
    /// A dialect refused what it had called possible.
    #[error("a dialect contradicts itself")]
    CannotSay(#[source] CannotSay),
}

impl Error {
    /// One field and its rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, rule)])
    }

    /// The rule that a field's text broke.
    pub fn broken(field: impl Into<String>) -> impl FnOnce(BrokenRule) -> Self {
        let field = field.into();
        move |rule| Self::invalid(field, rule.to_string())
    }

    /// An error if there are violations.
    pub fn unless_empty(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() {
            Ok(())
        } else {
            Err(Self::Invalid(violations))
        }
    }

    /// A resource that is not there, or not for this caller.
    pub fn not_found(resource: &'static str, id: &str) -> Self {
        Self::NotFound {
            resource,
            id: id.to_owned(),
        }
    }
}

/// Without names of exchanges, which mean nothing to a caller.
const fn why_not_sent(error: &PublishError) -> &'static str {
    match error {
        PublishError::Refused { .. } => "the participant's queue is full",
        PublishError::Unroutable { .. } | PublishError::Denied { .. } => {
            "the participant has no queue"
        }
        PublishError::TooLong { .. } => "one of its properties is too long",
        PublishError::TimedOut { .. } | PublishError::Lost { .. } => {
            "nobody knows whether it arrived, so it is kept"
        }
        PublishError::Unavailable { .. } => "RabbitMQ takes no messages now",
    }
}

fn summary(violations: &[Violation]) -> String {
    match violations {
        [] => String::new(),
        [only] => format!("{} {}", only.field, only.rule),
        [first, rest @ ..] => format!("{} {}, and {} more", first.field, first.rule, rest.len()),
    }
}

fn list_refusals(refusals: &[(ParticipantId, String)]) -> String {
    let each = refusals
        .iter()
        .take(DETAILS)
        .map(|(participant, why)| format!("{participant}: {why}"));
    let text = each.collect::<Vec<_>>().join("; ");
    match refusals.len().saturating_sub(DETAILS) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic is the failure of one, and what others come to stays as it is.
    #[tokio::test]
    async fn a_panic_is_caught() {
        let works = [false, true].map(|panics| {
            caught(async move {
                tokio::task::yield_now().await;
                assert!(!panics, "as it is asked to");
                Ok(7)
            })
        });
        let [fine, panicked] = works.map(tokio::spawn);
        assert!(matches!(fine.await.unwrap(), Ok(7)));
        assert!(matches!(panicked.await.unwrap(), Err(Error::Interrupted)));
    }
}
