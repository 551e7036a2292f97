//! Domain to proto: what an originator sees.

mod draft;
mod plan;
mod proof;

use std::collections::HashMap;

use domain::{
    Evidence, Execution, Fidelity, Finding, Outcome, ServerId, ServerResult, Standing, State,
    Timestamp, Try,
    execution::Change,
    fault::{Again, Side},
    fidelity::Breadth,
    standing::Overall,
};
use prost::Message as _;
use proto::v1;

use self::draft::draft;
pub(super) use self::plan::plan;
use crate::store::StoredCommand;

/// What stands around a command in an answer, at most.
const AROUND: usize = 256 * 1024;

/// A command with its executions; `full` includes what each server made of it.
pub(super) fn command(stored: &StoredCommand, full: bool) -> v1::Command {
    let command = &stored.command;
    let one = |execution| {
        if full {
            self::execution(stored, execution)
        } else {
            brief(stored, execution)
        }
    };
    v1::Command {
        id: command.id.to_string(),
        originator_id: command.originator.to_string(),
        draft: Some(draft(command)),
        accept_time: Some(timestamp(command.accepted_at)),
        standing: Some(standing(&stored.standing())),
        executions: stored.executions.iter().map(one).collect(),
        revision: stored.revision,
        servers_omitted: false,
        approval: approval(stored),
        request_id: command
            .request_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
    }
}

/// What a second person has to do with it.
pub(super) fn approval(stored: &StoredCommand) -> Option<v1::Approval> {
    let asked = stored.approval.as_ref()?;
    let given = asked.given.as_ref();
    let state = match given {
        Some(_) => v1::ApprovalState::Given,
        None if stored.standing().open() == 0 => v1::ApprovalState::NotGiven,
        None => v1::ApprovalState::Waiting,
    };
    Some(v1::Approval {
        state: state.into(),
        deadline: Some(timestamp(asked.until)),
        submitted_by: asked.submitted_by.clone(),
        approved_by: given.map(|given| given.by.clone()).unwrap_or_default(),
        approve_time: given.map(|given| timestamp(given.at)),
        reason: given.map(|given| given.reason.clone()).unwrap_or_default(),
    })
}

/// The same with everything, or without what each server made of it where that would be more than an answer may have.
pub(super) fn command_within(stored: &StoredCommand, answer_bytes: usize) -> v1::Command {
    let whole = command(stored, true);
    // The answer has a few bytes around the command.
    if whole.encoded_len().saturating_add(AROUND) <= answer_bytes {
        return whole;
    }
    v1::Command {
        servers_omitted: true,
        ..command(stored, false)
    }
}

/// One execution with what each server made of it.
pub(super) fn execution(stored: &StoredCommand, execution: &Execution) -> v1::Execution {
    let results: HashMap<&ServerId, &ServerResult> = execution
        .results
        .iter()
        .map(|result| (&result.server, result))
        .collect();
    let server = |id: &ServerId| match results.get(id) {
        Some(result) => server_result(result),
        None => unreported(id, &execution.state),
    };
    v1::Execution {
        servers: execution.servers.iter().map(server).collect(),
        ..brief(stored, execution)
    }
}

fn brief(stored: &StoredCommand, execution: &Execution) -> v1::Execution {
    let (evidence, fault) = match &execution.state {
        State::Done(evidence) => (self::evidence(*evidence), None),
        State::Failed(fault) => (v1::Evidence::Unspecified, Some(self::fault(fault))),
        State::Expired if stored.lacks_approval() => {
            (v1::Evidence::Unspecified, Some(not_approved()))
        }
        _ => (v1::Evidence::Unspecified, None),
    };
    v1::Execution {
        id: execution.id.to_string(),
        participant_id: execution.id.participant.to_string(),
        state: state(&execution.state).into(),
        evidence: evidence.into(),
        fault,
        fidelity: Some(fidelity(&execution.fidelity)),
        servers: Vec::new(),
        change_time: Some(timestamp(execution.changed_at)),
        sequence: execution.sequence,
        history: execution.history.iter().map(change).collect(),
        deadline: execution.deadline.map(timestamp),
        cancel_request_time: execution.cancel_asked_at.map(timestamp),
        absorbed_by_command_id: execution
            .absorbed_by
            .map(|id| id.to_string())
            .unwrap_or_default(),
        estimated_time: estimated(execution).map(timestamp),
    }
}

/// Why a command that waited for a second person expired.
fn not_approved() -> v1::Fault {
    v1::Fault {
        code: "not_approved".to_owned(),
        side: Side::Originator.as_str().to_owned(),
        retryable: true,
        message: "no second person approved it in time".to_owned(),
    }
}

/// When the last server should be done, where that is all that is known of the whole.
fn estimated(execution: &Execution) -> Option<Timestamp> {
    if execution.state != State::Done(Evidence::Estimated) {
        return None;
    }
    let results = execution.results.iter();
    results.filter_map(|result| result.estimated_at).max()
}

fn change(change: &Change) -> v1::StateChange {
    // The words of both are one list, so the name of the value is the word in capitals.
    let name = format!("EXECUTION_STATE_{}", change.state.to_uppercase());
    v1::StateChange {
        state: v1::ExecutionState::from_str_name(&name)
            .unwrap_or_default()
            .into(),
        time: Some(timestamp(change.at)),
    }
}

fn failed_try(failed: &Try) -> v1::FailedTry {
    v1::FailedTry {
        time: Some(timestamp(failed.at)),
        fault: Some(fault(&failed.fault)),
        pause_ms: failed.pause_ms,
    }
}

/// A server that nobody spoke of is where its execution is, but never done by that alone.
fn unreported(id: &ServerId, execution: &State) -> v1::ServerResult {
    let state = match execution {
        State::Done(_) | State::Failed(_) => v1::ExecutionState::Unanswered,
        other => state(other),
    };
    v1::ServerResult {
        server_id: id.to_string(),
        state: state.into(),
        ..v1::ServerResult::default()
    }
}

fn server_result(result: &ServerResult) -> v1::ServerResult {
    let (state, evidence, fault) = match &result.outcome {
        Outcome::Done(evidence) => (v1::ExecutionState::Done, self::evidence(*evidence), None),
        Outcome::Failed(fault) => (
            v1::ExecutionState::Failed,
            v1::Evidence::Unspecified,
            Some(self::fault(fault)),
        ),
        Outcome::Unknown => (v1::ExecutionState::Unknown, v1::Evidence::Unspecified, None),
    };
    let finding =
        |found: &domain::result::SelectorFinding| self::finding(found.selector, &found.finding);
    v1::ServerResult {
        server_id: result.server.to_string(),
        state: state.into(),
        evidence: evidence.into(),
        fault,
        findings: result.findings.iter().map(finding).collect(),
        attempts: result.attempts,
        took_ms: result.took_ms,
        tries: result.tries.iter().map(failed_try).collect(),
        estimated_time: result.estimated_at.map(timestamp),
        proof: result.proof.as_ref().map(proof::proof),
    }
}

fn finding(selector: u32, finding: &Finding) -> v1::SelectorFinding {
    let (word, count, origin_status) = match finding {
        Finding::Accepted => ("accepted", None, 0),
        Finding::Removed(count) => ("removed", *count, 0),
        Finding::Invalidated(count) => ("invalidated", *count, 0),
        Finding::Banned => ("banned", None, 0),
        Finding::NothingHeld => ("nothing_held", None, 0),
        Finding::Stored => ("stored", None, 0),
        Finding::AlreadyThere => ("already_there", None, 0),
        Finding::TooLarge => ("too_large", None, 0),
        Finding::RefusedByRules => ("refused_by_rules", None, 0),
        Finding::OriginStatus(status) => ("origin_status", None, u32::from(*status)),
    };
    v1::SelectorFinding {
        selector,
        finding: word.to_owned(),
        count,
        origin_status,
        success: finding.is_success(),
    }
}

/// The standing.
pub(super) fn standing(standing: &Standing) -> v1::Standing {
    let counts = [
        ("accepted", standing.accepted),
        ("dispatched", standing.dispatched),
        ("running", standing.running),
        ("done", standing.done),
        ("failed", standing.failed),
        ("unsupported", standing.unsupported),
        ("cancelled", standing.cancelled),
        ("expired", standing.expired),
        ("unanswered", standing.unanswered),
        ("unknown", standing.unknown),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    v1::Standing {
        overall: overall(standing.overall()).into(),
        settled: standing.open() == 0,
        counts: counts
            .map(|(state, count)| (state.to_owned(), count))
            .collect(),
        evidence: standing
            .evidence
            .map_or(v1::Evidence::Unspecified, evidence)
            .into(),
    }
}

fn overall(overall: Overall) -> v1::Overall {
    match overall {
        Overall::Pending => v1::Overall::Pending,
        Overall::Active => v1::Overall::Active,
        Overall::Complete => v1::Overall::Complete,
        Overall::Processed => v1::Overall::Processed,
        Overall::Partial => v1::Overall::Partial,
        Overall::Failed => v1::Overall::Failed,
        Overall::Cancelled => v1::Overall::Cancelled,
    }
}

pub(super) fn state(state: &State) -> v1::ExecutionState {
    match state {
        State::Accepted => v1::ExecutionState::Accepted,
        State::Dispatched => v1::ExecutionState::Dispatched,
        State::Running => v1::ExecutionState::Running,
        State::Done(_) => v1::ExecutionState::Done,
        State::Failed(_) => v1::ExecutionState::Failed,
        State::Unsupported => v1::ExecutionState::Unsupported,
        State::Cancelled => v1::ExecutionState::Cancelled,
        State::Expired => v1::ExecutionState::Expired,
        State::Unanswered => v1::ExecutionState::Unanswered,
        State::Unknown => v1::ExecutionState::Unknown,
    }
}

fn evidence(evidence: Evidence) -> v1::Evidence {
    match evidence {
        Evidence::Acknowledged => v1::Evidence::Acknowledged,
        Evidence::Estimated => v1::Evidence::Estimated,
        Evidence::Reported => v1::Evidence::Reported,
        Evidence::Verified => v1::Evidence::Verified,
    }
}

fn fault(fault: &domain::Fault) -> v1::Fault {
    v1::Fault {
        code: fault.code.as_str().to_owned(),
        side: fault.side.as_str().to_owned(),
        retryable: fault.again != Again::Never,
        message: fault.message.clone(),
    }
}

fn fidelity(fidelity: &Fidelity) -> v1::FidelityReport {
    let (word, widened_to) = match fidelity {
        Fidelity::Exact => (v1::Fidelity::Exact, v1::Breadth::Unspecified),
        Fidelity::Widened { to, .. } => (v1::Fidelity::Widened, breadth(*to)),
        Fidelity::Narrowed { .. } => (v1::Fidelity::Narrowed, v1::Breadth::Unspecified),
        Fidelity::Impossible { .. } => (v1::Fidelity::Impossible, v1::Breadth::Unspecified),
    };
    let why = fidelity.why().unwrap_or_default().to_owned();
    v1::FidelityReport {
        fidelity: word.into(),
        widened_to: widened_to.into(),
        why,
    }
}

fn breadth(breadth: Breadth) -> v1::Breadth {
    match breadth {
        Breadth::Operation => v1::Breadth::Operation,
        Breadth::Host => v1::Breadth::Host,
        Breadth::Configuration => v1::Breadth::Configuration,
    }
}

pub(super) fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let millis = moment.as_millis();
    prost_types::Timestamp {
        seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(millis % 1_000 * 1_000_000).unwrap_or_default(),
    }
}
