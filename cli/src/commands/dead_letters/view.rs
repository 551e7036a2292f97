//! Dead letters as documents for scripts.

use std::collections::BTreeMap;

use proto::v1::{
    DeadLetter, DeadLetterReason, DiscardDeadLettersResponse, ExecutionState,
    GetDeadLetterResponse, ListDeadLettersResponse, RetryDeadLettersResponse,
};
use serde::Serialize;
use serde_json::Value;

use crate::words;

/// A page of them.
#[derive(Debug, Serialize)]
pub(super) struct LetterList {
    pub(super) dead_letters: Vec<Letter>,
    pub(super) more: bool,
}

/// One, without its body.
#[derive(Debug, Default, Serialize)]
pub(super) struct Letter {
    /// `replies` for a report.
    pub(super) participant_id: String,
    pub(super) message_id: String,
    pub(super) reason: String,
    pub(super) kind: String,
    pub(super) sender: String,
    pub(super) create_time: Option<String>,
    pub(super) death_time: Option<String>,
    pub(super) execution_count: u32,
    pub(super) body_bytes: u64,
    pub(super) retries: u32,
    pub(super) looks: u32,
}

/// One whole.
#[derive(Debug, Serialize)]
pub(super) struct LetterDetails {
    #[serde(flatten)]
    pub(super) letter: Letter,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) executions: Vec<LetterExecution>,
    /// As JSON where it is, and otherwise as text.
    pub(super) body: Value,
    pub(super) body_cut: bool,
}

/// An execution in one.
#[derive(Debug, Serialize)]
pub(super) struct LetterExecution {
    pub(super) execution_id: String,
    /// Nothing when its command is not there.
    pub(super) state: Option<String>,
}

/// What came of working on them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Worked {
    pub(super) message_ids: Vec<String>,
    pub(super) not_found: Vec<String>,
    pub(super) more: bool,
    pub(super) ended_by: Option<String>,
}

impl From<ListDeadLettersResponse> for LetterList {
    fn from(answer: ListDeadLettersResponse) -> Self {
        Self {
            dead_letters: answer.letters.into_iter().map(Letter::from).collect(),
            more: answer.more,
        }
    }
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let reason = match DeadLetterReason::try_from(letter.reason) {
            Ok(DeadLetterReason::Unspecified) => "unknown".to_owned(),
            Ok(reason) => word(reason.as_str_name(), "DEAD_LETTER_REASON_"),
            Err(_) => format!("unrecognized_{}", letter.reason),
        };
        Self {
            participant_id: letter.participant_id,
            message_id: letter.message_id,
            reason,
            kind: letter.kind,
            sender: letter.sender,
            create_time: letter.create_time.as_ref().and_then(words::rfc3339),
            death_time: letter.death_time.as_ref().and_then(words::rfc3339),
            execution_count: letter.execution_count,
            body_bytes: letter.body_bytes,
            retries: letter.retries,
            looks: letter.looks,
        }
    }
}

impl From<GetDeadLetterResponse> for LetterDetails {
    fn from(answer: GetDeadLetterResponse) -> Self {
        let executions = answer.executions.into_iter().map(|execution| {
            let state = match ExecutionState::try_from(execution.state) {
                Ok(ExecutionState::Unspecified) => None,
                Ok(state) => Some(word(state.as_str_name(), "EXECUTION_STATE_")),
                Err(_) => Some(format!("unrecognized_{}", execution.state)),
            };
            LetterExecution {
                execution_id: execution.execution_id,
                state,
            }
        });
        Self {
            letter: answer.letter.unwrap_or_default().into(),
            headers: answer.headers.into_iter().collect(),
            executions: executions.collect(),
            body: serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)),
            body_cut: answer.body_cut,
        }
    }
}

impl From<RetryDeadLettersResponse> for Worked {
    fn from(answer: RetryDeadLettersResponse) -> Self {
        Self {
            message_ids: answer.message_ids,
            not_found: Vec::new(),
            more: answer.more,
            ended_by: Some(answer.ended_by).filter(|why| !why.is_empty()),
        }
    }
}

impl From<DiscardDeadLettersResponse> for Worked {
    fn from(answer: DiscardDeadLettersResponse) -> Self {
        Self {
            message_ids: answer.message_ids,
            not_found: Vec::new(),
            more: answer.more,
            ended_by: Some(answer.ended_by).filter(|why| !why.is_empty()),
        }
    }
}

fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}
