//! What became of a cancel.

use proto::v1::CancelCommandResponse;
use serde::Serialize;

use super::command::{CommandView, ExecutionView};

/// What became of a cancel: each participant stands in one list.
#[derive(Debug, Serialize)]
pub(crate) struct CancelView {
    /// Taken back for certain.
    pub(crate) cancelled_participant_ids: Vec<String>,
    /// Sent already, and asked to leave it; the command's executions say which won.
    pub(crate) sent_participant_ids: Vec<String>,
    /// Ended before.
    pub(crate) settled_participant_ids: Vec<String>,
    pub(crate) command: CommandView,
}

impl From<CancelCommandResponse> for CancelView {
    fn from(answer: CancelCommandResponse) -> Self {
        Self {
            cancelled_participant_ids: answer.cancelled_participant_ids,
            sent_participant_ids: answer.sent_participant_ids,
            settled_participant_ids: answer.settled_participant_ids,
            command: answer.command.unwrap_or_default().into(),
        }
    }
}

impl CancelView {
    /// The executions of the participants with these ids.
    pub(crate) fn of(&self, ids: &[String]) -> impl Iterator<Item = &ExecutionView> {
        let is_meant = |execution: &&ExecutionView| ids.contains(&execution.participant_id);
        self.command.executions.iter().filter(is_meant)
    }
}
