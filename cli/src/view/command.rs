//! A command, its executions, and how they stand.

use std::collections::BTreeMap;

use proto::v1::{
    Approval, ApprovalState, Command, Evidence, Execution, ExecutionState, FailedTry, Fault,
    Overall, SelectorFinding, ServerResult, Standing, StateChange, WatchCommandResponse,
};
use serde::Serialize;

use super::{
    draft::DraftView,
    plan::FidelityView,
    proof::ProofView,
    word::{said, text, word},
};
use crate::words;

/// One command.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CommandView {
    pub(crate) command_id: String,
    pub(crate) originator_id: String,
    pub(crate) request_id: Option<String>,
    pub(crate) accept_time: Option<String>,
    pub(crate) revision: u64,
    #[serde(flatten)]
    pub(crate) draft: DraftView,
    pub(crate) standing: StandingView,
    /// Where a second person is asked for.
    pub(crate) approval: Option<ApprovalView>,
    pub(crate) executions: Vec<ExecutionView>,
    /// Whether what each server made of it did not fit into the answer.
    pub(crate) servers_omitted: bool,
    /// Whose part this is, where no more of it was shown: that of a participant that carries it out for another.
    pub(crate) part_of_participant_id: Option<String>,
}

/// What a second person has to do with it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ApprovalView {
    /// `waiting`, `given` or `not_given`.
    pub(crate) state: String,
    pub(crate) deadline: Option<String>,
    pub(crate) submitted_by: Option<String>,
    pub(crate) approved_by: Option<String>,
    pub(crate) approve_time: Option<String>,
    pub(crate) reason: Option<String>,
}

impl CommandView {
    /// As the broker shows it to this participant: of another's command its own part alone.
    pub(crate) fn seen_by(mut self, participant: Option<&str>) -> Self {
        let host = participant.filter(|id| *id != self.originator_id);
        self.part_of_participant_id = host.map(ToOwned::to_owned);
        self
    }

    /// By when a second person must approve it, while it waits for one.
    pub(crate) fn awaits_approval(&self) -> Option<&str> {
        let approval = self.approval.as_ref()?;
        let deadline = approval.deadline.as_deref().unwrap_or_default();
        (approval.state == "waiting").then_some(deadline)
    }
}

/// All executions in one answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StandingView {
    pub(crate) overall: String,
    pub(crate) settled: bool,
    pub(crate) evidence: Option<String>,
    pub(crate) counts: BTreeMap<String, u32>,
}

/// One participant's part.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExecutionView {
    pub(crate) execution_id: String,
    pub(crate) participant_id: String,
    pub(crate) state: String,
    pub(crate) evidence: Option<String>,
    pub(crate) fault: Option<FaultView>,
    pub(crate) fidelity: Option<FidelityView>,
    pub(crate) servers: Vec<ServerResultView>,
    pub(crate) change_time: Option<String>,
    pub(crate) sequence: u64,
    /// Oldest first.
    pub(crate) history: Vec<StateChangeView>,
    /// Without a report by then it is `unanswered`.
    pub(crate) deadline: Option<String>,
    pub(crate) cancel_request_time: Option<String>,
    pub(crate) absorbed_by_command_id: Option<String>,
    /// With the evidence `estimated`: when it should be done.
    pub(crate) estimated_time: Option<String>,
}

/// A state and when it began.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StateChangeView {
    pub(crate) state: String,
    pub(crate) time: Option<String>,
}

/// One server's part.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ServerResultView {
    pub(crate) server_id: String,
    pub(crate) state: String,
    pub(crate) evidence: Option<String>,
    pub(crate) fault: Option<FaultView>,
    pub(crate) findings: Vec<FindingView>,
    pub(crate) attempts: u32,
    pub(crate) took_ms: u64,
    /// The latest ones that were followed by another.
    pub(crate) tries: Vec<FailedTryView>,
    /// With the evidence `estimated`: when it should be done.
    pub(crate) estimated_time: Option<String>,
    /// What looking afterwards showed.
    pub(crate) proof: Option<ProofView>,
}

/// A try that was followed by another one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FailedTryView {
    pub(crate) time: Option<String>,
    pub(crate) fault: Option<FaultView>,
    pub(crate) pause_ms: u64,
}

/// Why something did not happen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FaultView {
    pub(crate) code: String,
    pub(crate) side: String,
    pub(crate) retryable: bool,
    pub(crate) message: String,
}

/// What was found for one selector.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FindingView {
    /// Counted from 0 in the command's list.
    pub(crate) selector: u32,
    pub(crate) finding: String,
    pub(crate) count: Option<u64>,
    pub(crate) origin_status: Option<u32>,
    pub(crate) success: bool,
}

/// A line of `--watch --json`.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) command_id: String,
    pub(crate) standing: StandingView,
    pub(crate) executions: Vec<ExecutionView>,
    /// Where a second person is asked for.
    pub(crate) approval: Option<ApprovalView>,
    pub(crate) resume_token: String,
}

/// A list of commands.
#[derive(Debug, Serialize)]
pub(crate) struct CommandListView {
    pub(crate) commands: Vec<CommandView>,
    /// Whether there are older ones.
    pub(crate) more: bool,
}

impl From<Command> for CommandView {
    fn from(command: Command) -> Self {
        Self {
            command_id: command.id,
            originator_id: command.originator_id,
            request_id: text(command.request_id),
            accept_time: command.accept_time.as_ref().and_then(words::rfc3339),
            revision: command.revision,
            draft: command.draft.unwrap_or_default().into(),
            standing: command.standing.unwrap_or_default().into(),
            approval: command.approval.map(ApprovalView::from),
            servers_omitted: command.servers_omitted,
            executions: command
                .executions
                .into_iter()
                .map(ExecutionView::from)
                .collect(),
            part_of_participant_id: None,
        }
    }
}

impl From<Approval> for ApprovalView {
    fn from(approval: Approval) -> Self {
        Self {
            state: word::<ApprovalState>(approval.state),
            deadline: approval.deadline.as_ref().and_then(words::rfc3339),
            submitted_by: text(approval.submitted_by),
            approved_by: text(approval.approved_by),
            approve_time: approval.approve_time.as_ref().and_then(words::rfc3339),
            reason: text(approval.reason),
        }
    }
}

impl From<Standing> for StandingView {
    fn from(standing: Standing) -> Self {
        Self {
            overall: word::<Overall>(standing.overall),
            settled: standing.settled,
            evidence: said::<Evidence>(standing.evidence),
            counts: standing.counts.into_iter().collect(),
        }
    }
}

impl From<Execution> for ExecutionView {
    fn from(execution: Execution) -> Self {
        Self {
            execution_id: execution.id,
            participant_id: execution.participant_id,
            state: word::<ExecutionState>(execution.state),
            evidence: said::<Evidence>(execution.evidence),
            fault: execution.fault.map(FaultView::from),
            fidelity: execution.fidelity.map(FidelityView::from),
            servers: execution
                .servers
                .into_iter()
                .map(ServerResultView::from)
                .collect(),
            change_time: execution.change_time.as_ref().and_then(words::rfc3339),
            sequence: execution.sequence,
            history: execution
                .history
                .into_iter()
                .map(StateChangeView::from)
                .collect(),
            deadline: execution.deadline.as_ref().and_then(words::rfc3339),
            cancel_request_time: execution
                .cancel_request_time
                .as_ref()
                .and_then(words::rfc3339),
            absorbed_by_command_id: text(execution.absorbed_by_command_id),
            estimated_time: execution.estimated_time.as_ref().and_then(words::rfc3339),
        }
    }
}

impl From<ServerResult> for ServerResultView {
    fn from(result: ServerResult) -> Self {
        Self {
            server_id: result.server_id,
            state: word::<ExecutionState>(result.state),
            evidence: said::<Evidence>(result.evidence),
            fault: result.fault.map(FaultView::from),
            findings: result.findings.into_iter().map(FindingView::from).collect(),
            attempts: result.attempts,
            took_ms: result.took_ms,
            tries: result.tries.into_iter().map(FailedTryView::from).collect(),
            estimated_time: result.estimated_time.as_ref().and_then(words::rfc3339),
            proof: result.proof.map(ProofView::from),
        }
    }
}

impl From<StateChange> for StateChangeView {
    fn from(change: StateChange) -> Self {
        Self {
            state: word::<ExecutionState>(change.state),
            time: change.time.as_ref().and_then(words::rfc3339),
        }
    }
}

impl From<FailedTry> for FailedTryView {
    fn from(failed: FailedTry) -> Self {
        Self {
            time: failed.time.as_ref().and_then(words::rfc3339),
            fault: failed.fault.map(FaultView::from),
            pause_ms: failed.pause_ms,
        }
    }
}

impl From<Fault> for FaultView {
    fn from(fault: Fault) -> Self {
        Self {
            code: fault.code,
            side: fault.side,
            retryable: fault.retryable,
            message: fault.message,
        }
    }
}

impl From<SelectorFinding> for FindingView {
    fn from(finding: SelectorFinding) -> Self {
        Self {
            selector: finding.selector,
            finding: finding.finding,
            count: finding.count,
            origin_status: (finding.origin_status != 0).then_some(finding.origin_status),
            success: finding.success,
        }
    }
}

impl ChangeView {
    /// A change of the command with this id.
    pub(crate) fn new(command_id: &str, change: WatchCommandResponse) -> Self {
        Self {
            command_id: command_id.to_owned(),
            standing: change.standing.unwrap_or_default().into(),
            executions: change
                .executions
                .into_iter()
                .map(ExecutionView::from)
                .collect(),
            approval: change.approval.map(ApprovalView::from),
            resume_token: change.resume_token,
        }
    }
}

impl ServerResultView {
    /// How often it was tried, once that is over.
    pub(crate) fn tried(&self) -> u32 {
        if is_under_way(&self.state) {
            return 0;
        }
        self.attempts
    }
}

impl ExecutionView {
    /// Whether more is to come.
    pub(crate) fn is_under_way(&self) -> bool {
        is_under_way(&self.state)
    }

    /// Whether its participant cannot do it.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.state == "unsupported"
    }

    /// Whether it ended without having begun.
    pub(crate) fn is_undone(&self) -> bool {
        matches!(self.state.as_str(), "cancelled" | "expired" | "unsupported")
    }
}

/// Whether more is to come after this state.
pub(crate) fn is_under_way(state: &str) -> bool {
    matches!(state, "accepted" | "dispatched" | "running")
}
