//! Everything that can go wrong on the way of a call, and the one road from there to `tonic::Status`.
//!
//! Invariant: nobody else builds a `Status`. Each carries `google.rpc` details: an `ErrorInfo` always, and which field,
//! which resource, which precondition or when to retry. `Display` never repeats its source.

use std::time::Duration;

use amqp::PublishError;
use dialects::CannotSay;
use domain::{BrokenRule, ConfigurationId, DialectName, ParticipantId};
use service::exit::Chain;
use thiserror::Error as ThisError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::error;

use crate::store::StoreError;

/// The domain of our `ErrorInfo`s.
const DOMAIN: &str = "federation.v1";
/// When to try again while a part of ours is away.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);
/// When to try again while an outbox is full.
const RETRY_FULL: Duration = Duration::from_secs(5);

/// Violations that an error lists. All of them travel in a header, which clients bound; the message counts the rest.
const DETAILS: usize = 20;

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

    /// The gRPC code, and the reason in the words of AIP-193.
    pub fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Invalid(_) => (Code::InvalidArgument, "INVALID_FIELDS"),
            Self::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            Self::Exists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
            Self::InUse { .. } => (Code::FailedPrecondition, "IN_USE"),
            Self::Unidentified(_) => (Code::Unauthenticated, "UNIDENTIFIED"),
            Self::NotAllowed(_) => (Code::PermissionDenied, "NOT_ALLOWED"),
            Self::NotDeployed { .. } => (Code::FailedPrecondition, "NOT_DEPLOYED"),
            Self::NobodyMeant { .. } => (Code::FailedPrecondition, "NOBODY_MEANT"),
            Self::Impossible { .. } => (Code::FailedPrecondition, "IMPOSSIBLE"),
            Self::NotOurs(_) => (Code::FailedPrecondition, "NOT_OURS"),
            Self::RequestIdUsed => (Code::AlreadyExists, "REQUEST_ID_USED"),
            Self::OutboxFull { .. } => (Code::ResourceExhausted, "OUTBOX_FULL"),
            Self::TooManyCalls { .. } => (Code::ResourceExhausted, "TOO_MANY_CALLS"),
            Self::ConnectionAged => (Code::Unavailable, "CONNECTION_AGED"),
            Self::OverQuota { .. } => (Code::ResourceExhausted, "OVER_QUOTA"),
            Self::TooManyOpen { .. } => (Code::ResourceExhausted, "TOO_MANY_OPEN"),
            Self::TooSlow { .. } => (Code::DeadlineExceeded, "CALL_TIME"),
            Self::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
            Self::Interrupted => (Code::Internal, "INTERRUPTED"),
            Self::Contended => (Code::Aborted, "CONTENDED"),
            Self::Store(StoreError::Unreadable { .. }) => (Code::Internal, "STORE_UNREADABLE"),
            Self::Store(StoreError::Broken(_)) => (Code::Internal, "STORE_BROKEN"),
            Self::Store(StoreError::Denied(_)) => (Code::Internal, "STORE_DENIED"),
            Self::Store(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
            Self::NotSent(PublishError::Refused { .. }) => (Code::ResourceExhausted, "QUEUE_FULL"),
            Self::NotSent(PublishError::Unroutable { .. } | PublishError::Denied { .. }) => {
                (Code::FailedPrecondition, "NO_QUEUE")
            }
            Self::Topology(_)
            | Self::Users(_)
            | Self::DeadLetters(_)
            | Self::NotSent(_)
            | Self::NotRemoved(_) => (Code::Unavailable, "RABBITMQ_UNAVAILABLE"),
            Self::ReportsStay => (Code::FailedPrecondition, "REPORTS_STAY"),
            Self::UnknownDialect { .. } => (Code::FailedPrecondition, "UNKNOWN_DIALECT"),
            Self::CannotSay(_) => (Code::Internal, "DIALECT_CONTRADICTION"),
        }
    }

    fn details(&self, reason: &'static str) -> ErrorDetails {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, self.metadata());
        match self {
            Self::Invalid(violations) => {
                for violation in violations.iter().take(DETAILS) {
                    details.add_bad_request_violation(&violation.field, &violation.rule);
                }
            }
            Self::NotFound { resource, id }
            | Self::Exists { resource, id }
            | Self::InUse { resource, id, .. } => {
                details.set_resource_info(*resource, id, "", self.to_string());
            }
            Self::Impossible { refusals } => {
                for (participant, why) in refusals.iter().take(DETAILS) {
                    details.add_precondition_failure_violation(
                        "IMPOSSIBLE",
                        participant.to_string(),
                        why,
                    );
                }
            }
            Self::OutboxFull { participant, .. } => {
                self.add_quota(&mut details, format!("outbox:{participant}"), RETRY_FULL);
            }
            Self::OverQuota {
                caller,
                quota,
                again_in,
                ..
            } => self.add_quota(&mut details, format!("{quota}:{caller}"), *again_in),
            Self::TooManyOpen { participant, .. } => {
                self.add_quota(&mut details, format!("open:{participant}"), RETRY_FULL);
            }
            Self::NotSent(PublishError::Refused { .. }) => {
                details.set_retry_info(Some(RETRY_FULL));
            }
            Self::ShuttingDown
            | Self::TooSlow { .. }
            | Self::TooManyCalls { .. }
            | Self::ConnectionAged
            | Self::Contended
            | Self::Store(StoreError::Unavailable(_) | StoreError::NoConnection(_))
            | Self::Topology(_)
            | Self::Users(_)
            | Self::DeadLetters(_)
            | Self::NotRemoved(_) => {
                details.set_retry_info(Some(RETRY_UNAVAILABLE));
            }
            Self::Store(_)
            | Self::Unidentified(_)
            | Self::NotAllowed(_)
            | Self::NotDeployed { .. }
            | Self::NobodyMeant { .. }
            | Self::RequestIdUsed
            | Self::Interrupted
            | Self::UnknownDialect { .. }
            | Self::NotSent(_)
            | Self::NotOurs(_)
            | Self::ReportsStay
            | Self::CannotSay(_) => {}
        }
        details
    }

    /// What is used up, and when there is more of it.
    fn add_quota(&self, details: &mut ErrorDetails, subject: String, again_in: Duration) {
        details.add_quota_failure_violation(subject, self.to_string());
        details.set_retry_info(Some(again_in));
    }

    /// Every changing part of the message, as AIP-193 asks.
    fn metadata(&self) -> std::collections::HashMap<String, String> {
        let entry = |name: &str, value: String| [(name.to_owned(), value)].into();
        match self {
            Self::NotFound { resource, id }
            | Self::Exists { resource, id }
            | Self::InUse { resource, id, .. } => entry(resource, id.clone()),
            Self::NotDeployed { configuration } | Self::NobodyMeant { configuration } => {
                entry("configuration", configuration.to_string())
            }
            Self::OutboxFull { participant, .. } | Self::TooManyOpen { participant, .. } => {
                entry("participant", participant.to_string())
            }
            Self::OverQuota { caller, .. } => entry("caller", caller.clone()),
            Self::UnknownDialect { dialect } => entry("dialect", dialect.to_string()),
            _ => std::collections::HashMap::new(),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = error.code();
        // The caller's mistakes are the caller's to read; ours are logged here, once.
        if matches!(code, Code::Unavailable | Code::Internal)
            && !matches!(error, Error::ShuttingDown | Error::ConnectionAged)
        {
            error!(error = %Chain(&error), reason, "a call failed");
        }
        Self::with_error_details(code, error.to_string(), error.details(reason))
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
