//! A failure as a document for scripts.
//!
//! Invariant: names are stable; a document may gain fields and never loses one.

use std::collections::BTreeMap;

use serde::Serialize;
use tonic::{Code, Status};

use super::{Failure, answer::given, flags::flag_of};
use crate::{broker::Unreached, exit::Exit, view::SelectorView, words};

/// What `--json` prints on stderr.
#[derive(Debug, Serialize)]
pub(crate) struct FailureView {
    error: ErrorView,
}

#[derive(Debug, Serialize)]
struct ErrorView {
    /// gRPC's name, or where no broker answered: `USAGE`, `NOT_ALLOWED`, `UNREACHED`, `LOCAL`.
    code: &'static str,
    /// The broker's word.
    reason: Option<String>,
    message: String,
    exit_code: u8,
    fields: Vec<FieldView>,
    /// What the reason is about.
    metadata: BTreeMap<String, String>,
    retry_after_ms: Option<u64>,
    /// As people read them.
    details: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FieldView {
    field: String,
    flag: Option<&'static str>,
    given: Option<String>,
    rule: String,
}

impl FailureView {
    /// Of arguments that could not be read at all.
    pub(crate) fn of_arguments(message: &str) -> Self {
        Failure::Usage(message.to_owned()).document()
    }
}

impl Failure {
    /// For scripts.
    pub(crate) fn document(&self) -> FailureView {
        let (status, selectors) = self.status();
        let details = status.map(tonic_types::StatusExt::get_error_details);
        let info = details.as_ref().and_then(|details| details.error_info());
        let retry = details.as_ref().and_then(|details| details.retry_info());
        let request = details.as_ref().and_then(|details| details.bad_request());
        let fields = request.map_or(Vec::new(), |request| {
            let fields = request.field_violations.iter();
            let view = |field: &str, rule: &str| FieldView::new(field, rule, selectors);
            fields
                .map(|found| view(&found.field, &found.description))
                .collect()
        });
        FailureView {
            error: ErrorView {
                code: self.code(),
                reason: info.map(|info| info.reason.clone()),
                message: self.to_string(),
                exit_code: self.exit().code(),
                fields,
                metadata: info.map_or(BTreeMap::new(), |info| {
                    info.metadata.clone().into_iter().collect()
                }),
                retry_after_ms: retry
                    .and_then(|retry| retry.retry_delay)
                    .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
                details: self.details(),
            },
        }
    }

    fn code(&self) -> &'static str {
        if matches!(self, Self::TimedOut { .. } | Self::Unplanned { .. }) {
            return words::code(Code::DeadlineExceeded);
        }
        match (self.status().0, self.exit()) {
            (Some(status), _) if Unreached::of(status).is_some() => "UNREACHED",
            (Some(status), _) => words::code(status.code()),
            (None, Exit::Usage) => "USAGE",
            (None, Exit::NotAllowed) => "NOT_ALLOWED",
            (None, _) => "LOCAL",
        }
    }

    /// The broker's answer, and the selectors that it was given for.
    fn status(&self) -> (Option<&Status>, &[SelectorView]) {
        match self {
            Self::Submit {
                status, selectors, ..
            } => (Some(status), selectors),
            Self::Broker(status) | Self::Change { status, .. } | Self::LostSight { status, .. } => {
                (Some(status), &[])
            }
            _ => (None, &[]),
        }
    }
}

impl FieldView {
    fn new(field: &str, rule: &str, selectors: &[SelectorView]) -> Self {
        Self {
            field: field.to_owned(),
            flag: flag_of(field),
            given: given(field, selectors),
            rule: rule.to_owned(),
        }
    }
}
