//! Why `fedctl` could not do what it was asked, and all that the broker said about it.
//!
//! Invariant: `Display` says what; the broker's details follow one per line (`Failure::details`); nothing is swallowed.

mod answer;
mod document;
mod flags;

use std::{io, time::Duration};

use dialects::mapped::Mistake;
use domain::receipt::Flaw;
use tonic::Status;

use crate::{
    broker::{Refusal, Unreached, is_uncertain, may_have_been_lost},
    exit::{Answer, Exit},
    view::SelectorView,
    words,
};
use answer::{headline, of_status};
pub(crate) use document::FailureView;

/// A person reads so many mistakes at a time.
const MISTAKES_MAXIMUM: usize = 100;

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments contradict each other or leave something out.
    #[error("{0}")]
    Usage(String),
    /// The caller may not; the broker said so by what it left out.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
    /// Lines of a file are not what they should be.
    #[error("{name} has {}", lines_without_url(mistakes.len()))]
    Lines {
        /// The file, as the user named it.
        name: String,
        /// All of them, with their numbers.
        mistakes: Vec<String>,
    },
    /// A file of the user's could not be read.
    #[error("cannot read {name}")]
    Read {
        /// The file, as the user named it.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file that was to be judged could not be opened, which says nothing about what is in it.
    #[error("cannot open {name}")]
    Open {
        /// The file, as the user named it.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the user's could not be written.
    #[error("cannot write {name}")]
    WriteFile {
        /// The file, as the user named it.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A key or a certificate could not be made or used.
    #[error("{what}")]
    Certificate {
        /// What could not be done.
        what: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A mapping has mistakes.
    #[error("{name} has {}", words::count(mistakes.len(), "mistake"))]
    Mapping {
        /// The file, as the user named it.
        name: String,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
    /// A bundle of receipts is not what was signed.
    #[error("{name} is not what was signed")]
    Bundle {
        /// The file, as the user named it.
        name: String,
        /// The first one.
        flaw: Flaw,
    },
    /// Stdout is gone.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    /// The person said no.
    #[error("nothing was sent")]
    Declined,
    /// The address or the certificates of the broker make no connection possible.
    #[error("cannot use the connection to {url}")]
    Connection {
        /// The broker's address.
        url: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The broker answered with an error, or not at all.
    #[error("{}", headline(.0))]
    Broker(Box<Status>),
    /// The same, for a command that was being submitted.
    #[error("{}", headline(status))]
    Submit {
        /// The broker's answer.
        status: Box<Status>,
        /// What was asked, to show the text that a field's name points to.
        selectors: Vec<SelectorView>,
        /// The flags with which another try is safe; none for a plan.
        retry: Option<String>,
    },
    /// The same, for a change of the registry.
    #[error("{}", headline(status))]
    Change {
        /// The broker's answer.
        status: Box<Status>,
        /// Whether an earlier try may have been carried out, and only its answer was lost.
        is_repeated: bool,
        /// What shows how the record stands now.
        look: String,
    },
    /// The time that the caller gives it passed before the broker answered.
    #[error("no answer in {}", words::duration(*limit))]
    TimedOut {
        /// How long that was.
        limit: Duration,
        /// What may have happened, and what to do now.
        hint: String,
    },
    /// The command is accepted, but the broker cannot be reached any more.
    #[error(
        "lost sight of command {command_id}, which goes on without us: {}",
        headline(status)
    )]
    LostSight {
        /// Which command.
        command_id: String,
        /// The last error.
        status: Box<Status>,
    },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.status.into()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Broker(Box::new(status))
    }
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::Bundle { .. }
            | Self::Lines { .. }
            | Self::Read { .. }
            | Self::Mapping { .. }
            | Self::Connection { .. } => Exit::Usage,
            Self::NotAllowed(_) => Exit::NotAllowed,
            Self::Write(_)
            | Self::Open { .. }
            | Self::WriteFile { .. }
            | Self::Certificate { .. }
            | Self::Declined => Exit::Failed,
            Self::Broker(status) | Self::Submit { status, .. } | Self::Change { status, .. } => {
                Exit::of(Answer::Error(status.code()))
            }
            Self::TimedOut { .. } | Self::LostSight { .. } => Exit::StillRunning,
        }
    }

    /// A file that was to be judged: that it cannot be read is no judgement.
    pub(crate) fn unopened(self) -> Self {
        match self {
            Self::Read { name, source } => Self::Open { name, source },
            other => other,
        }
    }

    /// Whether the reader of our output has gone, which is nothing to complain about.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is to be said below the headline, a line each.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Usage(_) | Self::NotAllowed(_) | Self::Declined => Vec::new(),
            Self::Lines { mistakes, .. } => first_of(mistakes),
            Self::Bundle { flaw, .. } => vec![flaw.to_string()],
            Self::Mapping { mistakes, .. } => mistakes.iter().map(ToString::to_string).collect(),
            Self::TimedOut { hint, .. } => vec![hint.clone()],
            Self::Read { source, .. }
            | Self::Open { source, .. }
            | Self::WriteFile { source, .. }
            | Self::Write(source) => vec![source.to_string()],
            Self::Certificate { source, .. } => chain(source),
            Self::Connection { source, .. } => chain(source),
            Self::Broker(status) => of_status(status, &[]),
            Self::Change {
                status,
                is_repeated,
                look,
            } => {
                let mut lines = of_status(status, &[]);
                if *is_repeated || is_uncertain(status) {
                    lines.push(format!(
                        "an answer was lost, so it may have been carried out; see: {look}"
                    ));
                }
                lines
            }
            Self::LostSight { status, command_id } => {
                let mut lines = of_status(status, &[]);
                lines.extend(resume(command_id));
                lines
            }
            Self::Submit {
                status,
                selectors,
                retry,
            } => {
                let mut lines = of_status(status, selectors);
                let is_lost = may_have_been_lost(status.code()) && Unreached::of(status).is_none();
                let uncertain = retry.iter().filter(|_| is_lost);
                lines.extend(uncertain.map(|flags| may_be_accepted(flags)));
                lines
            }
        }
    }
}

/// What to do where nobody knows whether a command was accepted.
pub(crate) fn may_be_accepted(flags: &str) -> String {
    format!("it may have been accepted; another try with {flags} is safe")
}

/// How to come back to a command that goes on.
pub(crate) fn resume(command_id: &str) -> [String; 2] {
    [
        come_back(command_id),
        format!("watch it again:    fedctl watch {command_id}"),
    ]
}

/// How to see a command again.
pub(crate) fn come_back(command_id: &str) -> String {
    format!("see how it stands: fedctl status {command_id}")
}

fn lines_without_url(count: usize) -> String {
    match count {
        1 => "1 line that is no URL".to_owned(),
        _ => format!("{count} lines that are no URL"),
    }
}

fn first_of(mistakes: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = mistakes.iter().take(MISTAKES_MAXIMUM).cloned().collect();
    match mistakes.len().saturating_sub(MISTAKES_MAXIMUM) {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    lines
}

fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let line = error.to_string();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
        next = error.source();
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn refused(code: Code, details: ErrorDetails) -> Failure {
        Failure::Submit {
            status: Box::new(Status::with_error_details(
                code,
                "the command is malformed",
                details,
            )),
            selectors: vec![SelectorView::Url {
                url: "ftp://a".to_owned(),
            }],
            retry: Some("--request-id 0198".to_owned()),
        }
    }

    /// A file of 900 URLs has one bad line: the answer shows the field, the text of that line and the rule.
    #[test]
    fn a_violated_field_is_shown_with_the_text_that_was_given() {
        let details =
            ErrorDetails::with_bad_request_violation("draft.selectors[0].url", "must be http");
        let failure = refused(Code::InvalidArgument, details);
        assert_eq!(
            failure.to_string(),
            "the broker answered INVALID_ARGUMENT: the command is malformed"
        );
        assert_eq!(
            failure.details(),
            ["--url ftp://a (draft.selectors[0].url): must be http"]
        );
        assert_eq!(failure.exit(), Exit::Usage);
    }

    /// A tag is typed without the word that stands before it in a table.
    #[test]
    fn the_text_of_a_tag_is_what_was_typed() {
        let rule = "must have no spaces";
        let details = ErrorDetails::with_bad_request_violation("draft.selectors[0].tag", rule);
        let status = Status::with_error_details(Code::InvalidArgument, "is malformed", details);
        let failure = Failure::Submit {
            status: Box::new(status),
            selectors: vec![SelectorView::Tag {
                tag: "a b".to_owned(),
            }],
            retry: None,
        };
        let line = "--tag a b (draft.selectors[0].tag): must have no spaces";
        assert_eq!(failure.details(), [line]);
    }

    /// Everything else that the broker says is shown too: the resource, when to retry, the reason.
    #[test]
    fn resource_retry_delay_and_reason_have_a_line_each() {
        let mut details =
            ErrorDetails::with_resource_info("configuration", "shop", "", "is unknown");
        details.set_retry_info(Some(Duration::from_secs(5)));
        details.set_error_info(
            "TOO_MANY",
            "federation.v1",
            [("limit".to_owned(), "3".to_owned())],
        );
        assert_eq!(
            refused(Code::NotFound, details).details(),
            [
                "configuration shop: is unknown",
                "try again in 5 s",
                "reason: TOO_MANY, limit = 3"
            ]
        );
    }

    /// What is not there is said once, and a field that is typed with a flag is named by it.
    #[test]
    fn nothing_is_said_twice() {
        let message = "command `7` not found";
        let mut details = ErrorDetails::with_resource_info("command", "7", "", message);
        let metadata = [("command".to_owned(), "7".to_owned())];
        details.set_error_info("NOT_FOUND", "federation.v1", metadata);
        let failure: Failure = Status::with_error_details(Code::NotFound, message, details).into();
        assert_eq!(
            failure.to_string(),
            "the broker answered NOT_FOUND: command `7` not found"
        );
        assert!(failure.details().is_empty(), "{:?}", failure.details());
        let details =
            ErrorDetails::with_bad_request_violation("originator_id", "must be lower case");
        let message = "the request is malformed: originator_id must be lower case";
        let failure: Failure =
            Status::with_error_details(Code::InvalidArgument, message, details).into();
        assert_eq!(
            failure.to_string(),
            "the broker answered INVALID_ARGUMENT: the request is malformed"
        );
        assert_eq!(
            failure.details(),
            ["--originator (originator_id): must be lower case"]
        );
    }

    /// A script reads code, reason and fields from a document instead of lines.
    #[test]
    fn a_failure_is_a_document_for_scripts() {
        let mut details =
            ErrorDetails::with_bad_request_violation("draft.selectors[0].url", "must be http");
        details.set_error_info(
            "INVALID_FIELDS",
            "federation.v1",
            [("limit".to_owned(), "3".to_owned())],
        );
        let document = serde_json::to_value(refused(Code::InvalidArgument, details).document());
        let document = document.expect("is a document");
        assert_eq!(
            document,
            serde_json::json!({"error": {
                "code": "INVALID_ARGUMENT",
                "reason": "INVALID_FIELDS",
                "message": "the broker answered INVALID_ARGUMENT: the command is malformed",
                "exit_code": 2,
                "fields": [{
                    "field": "draft.selectors[0].url",
                    "flag": "--url",
                    "given": "ftp://a",
                    "rule": "must be http",
                }],
                "metadata": {"limit": "3"},
                "retry_after_ms": null,
                "details": ["--url ftp://a (draft.selectors[0].url): must be http", "reason: INVALID_FIELDS, limit = 3"],
            }})
        );
        let usage = serde_json::to_value(Failure::Usage("no".to_owned()).document());
        let usage = usage.expect("is a document");
        assert_eq!(
            (&usage["error"]["code"], &usage["error"]["exit_code"]),
            (&"USAGE".into(), &2.into())
        );
    }

    /// The connection broke before the answer came: nobody knows, and the same request id makes another try safe.
    #[test]
    fn after_an_uncertain_end_the_request_id_is_named() {
        let lines = refused(Code::Unavailable, ErrorDetails::new()).details();
        assert!(lines[0].contains("--request-id 0198"), "{lines:?}");
    }
}
