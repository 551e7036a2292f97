//! The one road from an error to `tonic::Status`.
//!
//! Invariant: nobody else builds a `Status`. Each carries `google.rpc` details: an `ErrorInfo` always, and which field,
//! which resource, which precondition or when to retry.

use std::time::Duration;

use amqp::PublishError;
use service::exit::Chain;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::error;

use super::{DETAILS, Error};
use crate::store::StoreError;

/// The domain of our `ErrorInfo`s.
const DOMAIN: &str = "federation.v1";
/// When to try again while a part of ours is away.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);
/// When to try again while an outbox is full.
const RETRY_FULL: Duration = Duration::from_secs(5);

impl Error {
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
            Self::NothingToApprove { .. } => (Code::FailedPrecondition, "NOTHING_TO_APPROVE"),
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
            Self::NothingToApprove { command, why } => {
                let subject = command.to_string();
                details.add_precondition_failure_violation("NOTHING_TO_APPROVE", subject, why);
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
            Self::NothingToApprove { command, .. } => entry("command", command.to_string()),
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
