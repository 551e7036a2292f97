//! How a mapping reads answers: the first rule that fits says what it means.
//!
//! Invariant: an answer that no rule fits is a fault, and never a success.

use std::{ops::RangeInclusive, time::Duration};

use domain::{
    Evidence, Fault, Finding,
    fault::{Again, FaultCode},
};
use serde_json::Value;

use crate::{
    Answer, Verdict, http,
    problem::{refusal, retry_after},
};

/// Who answers, in words of faults.
const WHO: &str = "the native system";
/// Characters of a job's name.
const JOB_LENGTH: usize = 500;

/// What an answer with such a status means.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) statuses: Vec<RangeInclusive<u16>>,
    /// Only where this stands in the answer.
    pub(super) only: Option<(Source, String)>,
    pub(super) means: Means,
    /// The native system's own words for a fault.
    pub(super) words: Option<Source>,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Means {
    Done(Evidence),
    /// It should be done after as many seconds as the answer says, or else after these; where neither is known it is taken, and
    /// no more.
    Estimated {
        seconds: Option<Source>,
        within: Option<u32>,
    },
    NothingHeld,
    /// With the job's name, where it is not known yet or may change.
    Running {
        job: Option<Source>,
    },
    Later {
        after: Option<Source>,
    },
    Failed,
    Refused,
}

/// Where something stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In the body, by a JSON pointer (RFC 6901).
    Pointer(String),
    /// In a header, by its name in lower case.
    Header(String),
}

/// What an answer means by these rules; `job` is the one that was asked after.
pub(super) fn judge(rules: &[Rule], job: Option<&str>, answer: &Answer) -> Verdict {
    let body = serde_json::from_str(&answer.body).ok();
    let read = Reading { answer, body, job };
    match rules.iter().find(|rule| rule.fits(&read)) {
        Some(rule) => rule.verdict(&read),
        None => Verdict::failed(refusal(WHO, answer)),
    }
}

struct Reading<'a> {
    answer: &'a Answer,
    body: Option<Value>,
    job: Option<&'a str>,
}

impl Reading<'_> {
    fn job(&self, source: Option<&Source>) -> Option<String> {
        match source {
            Some(source) => self.text(source),
            None => self.job.map(str::to_owned),
        }
    }

    fn text(&self, source: &Source) -> Option<String> {
        match source {
            Source::Header(name) => self.answer.header(name).map(str::to_owned),
            Source::Pointer(pointer) => match self.body.as_ref()?.pointer(pointer)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }
}

impl Rule {
    /// Whether it leaves nothing of `other` to be found.
    pub(super) fn hides(&self, other: &Self) -> bool {
        let covers = |status: u16| self.statuses.iter().any(|range| range.contains(&status));
        self.only.is_none() && other.statuses.iter().cloned().flatten().all(covers)
    }

    fn fits(&self, read: &Reading<'_>) -> bool {
        let status = read.answer.status;
        let only = self.only.as_ref();
        self.statuses.iter().any(|range| range.contains(&status))
            && only.is_none_or(|(source, wanted)| read.text(source).as_ref() == Some(wanted))
    }

    fn verdict(&self, read: &Reading<'_>) -> Verdict {
        match &self.means {
            Means::Done(evidence) => Verdict::Done {
                evidence: *evidence,
                finding: Finding::Accepted,
            },
            Means::Estimated { seconds, within } => {
                let told = seconds.as_ref().and_then(|source| read.text(source));
                let told = told.and_then(|text| text.trim().parse::<u32>().ok());
                match told.or(*within) {
                    Some(seconds) => Verdict::Estimated {
                        within: Duration::from_secs(seconds.into()),
                        finding: Finding::Accepted,
                    },
                    None => http::acknowledged(Finding::Accepted),
                }
            }
            Means::NothingHeld => http::done(Finding::NothingHeld),
            Means::Running { job } => match read.job(job.as_ref()) {
                Some(job) if (1..=JOB_LENGTH).contains(&job.len()) => Verdict::Running { job },
                _ => {
                    let message = "the native system runs a job, and does not say which";
                    Verdict::failed(Fault::participant(
                        FaultCode::UnreadableAnswer,
                        Again::Never,
                        message,
                    ))
                }
            },
            Means::Later { after } => {
                let seconds = after
                    .as_ref()
                    .and_then(|source| read.text(source)?.parse().ok());
                let again = seconds.map_or_else(|| retry_after(read.answer), Again::AfterSeconds);
                self.fault(read, FaultCode::Throttled, again)
            }
            // A job that was asked after has ended so, unless it was the question that failed.
            Means::Failed if read.job.is_some() && read.answer.status < 400 => {
                self.fault(read, FaultCode::NativeError, Again::Never)
            }
            Means::Failed => self.fault(read, FaultCode::NativeError, retry_after(read.answer)),
            Means::Refused => self.fault(read, FaultCode::Refused, Again::Never),
        }
    }

    fn fault(&self, read: &Reading<'_>, code: FaultCode, again: Again) -> Verdict {
        let words = self.words.as_ref().and_then(|words| read.text(words));
        let message = match words {
            Some(words) => format!("{WHO} answered {}: {words}", read.answer.status),
            None => refusal(WHO, read.answer).message,
        };
        Verdict::failed(Fault::participant(code, again, &message))
    }
}
