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
    /// The same for a plan, so that nothing was sent.
    #[error("no answer in {}", words::duration(*limit))]
    Unplanned {
        /// How long that was.
        limit: Duration,
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
            | Self::Unplanned { .. }
            | Self::Declined => Exit::Failed,
            Self::Broker(status) | Self::Submit { status, .. } | Self::Change { status, .. } => {
                Exit::of(Answer::Error(status.code()))
            }
            Self::TimedOut { .. } | Self::LostSight { .. } => Exit::StillRunning,
        }
    }

    /// A file that was to be judged: that it cannot be read is no judgement, but that it is no text is one.
    pub(crate) fn unopened(self) -> Self {
        match self {
            Self::Read { name, source } if source.kind() != io::ErrorKind::InvalidData => {
                Self::Open { name, source }
            }
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
            Self::Unplanned { .. } => vec!["nothing was sent".to_owned()],
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
mod tests;
