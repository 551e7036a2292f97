//! A server, or a control agent beside it, that takes the federation's own format: one `POST` for each order.
//! `docs/agent.openapi.yaml` describes the same.
//!
//! Invariant: it says every command exactly, custom operations included, in one call, so that what may not be repeated
//! is told once or not at all. The id of the execution is the key: an order that comes again does nothing new.
//! How sure the agent is, it says itself, but `verified` is said only of what was looked at and proven: from an agent it is
//! `reported`; and what it estimates without a time is only `acknowledged`. That nothing was held is believed of an agent alone: a web
//! server that knows nothing of orders answers 404 to them too.
//! Not here: how the agent does it; the whole `canonical` system of a participant, which is told once for all servers.

use std::{borrow::Cow, time::Duration};

use domain::{
    Command, Configuration, Evidence, ExecutionId, Fault, Fidelity, Finding, HostName, NativeCall,
    Operation, ParticipantId, Selector, Timestamp,
    fault::{Again, FaultCode, Side},
    limits::FINDINGS_PER_RESULT,
    result::SelectorFinding,
};
use serde::{Deserialize, Serialize};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict, http, native, problem::refusal,
};

/// Where orders go, with the execution's id behind it.
pub const EXECUTIONS_PATH: &str = "/federation/v1/executions";

/// Bytes of an answer that are read: a finding for each of as many selectors as a command can have.
const ANSWER_BYTES: usize = 96 * 1024;

/// The dialect.
#[derive(Debug)]
pub struct Agent;

/// The body of an order: one execution, as the originator meant it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentOrder<'a> {
    /// Which execution.
    pub execution: Cow<'a, ExecutionId>,
    /// Who submitted the command.
    pub originator: Cow<'a, ParticipantId>,
    /// When the broker accepted it.
    pub accepted_at: Timestamp,
    /// What is to be done; a custom operation with its parameters.
    pub operation: Cow<'a, Operation>,
    /// With which of the configuration's content.
    pub selectors: Cow<'a, [Selector]>,
    /// The configuration with its host names: a tag and `everything` mean these and no other.
    pub configuration: Cow<'a, Configuration>,
}

/// The body of the answer `200`. It may be empty: then all is done, as far as the agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAnswer {
    /// How sure the agent is.
    #[serde(default = "reported")]
    pub evidence: Evidence,
    /// With `estimated`: in how many seconds it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<u32>,
    /// What was found for each selector, where the agent tells them apart.
    #[serde(default)]
    pub findings: Vec<SelectorFinding>,
}

impl Dialect for Agent {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Server
    }

    /// It may be a process beside the cache.
    fn serves(&self) -> bool {
        false
    }

    fn answer_bytes(&self) -> usize {
        ANSWER_BYTES
    }

    fn fidelity(&self, _: &Operation, _: &Selector) -> Fidelity {
        Fidelity::Exact
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let order = AgentOrder {
            execution: Cow::Borrowed(site.execution),
            originator: Cow::Borrowed(&command.originator),
            accepted_at: command.accepted_at,
            operation: Cow::Borrowed(&command.operation),
            selectors: Cow::Borrowed(&command.selectors),
            configuration: site.configuration.for_carriers(),
        };
        let path = format!("{EXECUTIONS_PATH}/{}", site.execution);
        let selectors = (0..).take(command.selectors.len()).collect();
        Ok(vec![http::with_json(
            NativeCall::new("POST", None, &path, selectors),
            &order,
        )])
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::federation::read_agent(request)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        match answer.status {
            200 => judge_done(call, &answer.body),
            202 | 204 => http::acknowledged(Finding::Accepted),
            404 if is_purge(call) && http::is_marked(answer) => http::done(Finding::NothingHeld),
            404 if is_purge(call) => Verdict::failed(unmarked(answer)),
            _ => Verdict::failed(refusal("the agent", answer)),
        }
    }
}

fn judge_done(call: &NativeCall, body: &str) -> Verdict {
    let body = if body.trim().is_empty() { "{}" } else { body };
    let mut said: AgentAnswer = match serde_json::from_str(body) {
        Ok(said) => said,
        Err(error) => {
            let message = format!("the agent's answer cannot be read: {error}");
            let code = FaultCode::UnreadableAnswer;
            return Verdict::failed(Fault::participant(code, Again::Never, &message));
        }
    };
    said.findings
        .retain(|found| call.selectors.contains(&found.selector));
    said.findings.truncate(FINDINGS_PER_RESULT);
    let (evidence, within) = said.sureness();
    if said.findings.is_empty() {
        let finding = Finding::Accepted;
        return match within {
            Some(within) => Verdict::Estimated { within, finding },
            None => Verdict::Done { evidence, finding },
        };
    }
    let faults: Vec<_> = said.findings.iter().filter_map(fault_of).collect();
    Verdict::Each {
        evidence,
        within,
        fault: Fault::fold(&faults),
        findings: said.findings,
    }
}

/// A purge to which nobody answered who is known to be an agent.
fn unmarked(answer: &Answer) -> Fault {
    let said = refusal("whoever is there", answer);
    let message = format!(
        "{}; only with `{}` would it be the agent's word that nothing was held",
        said.message,
        http::MARKER
    );
    Fault::participant(said.code, said.again, &message)
}

impl AgentAnswer {
    /// How sure that makes us, and with an estimate when.
    fn sureness(&self) -> (Evidence, Option<Duration>) {
        let seconds = self.estimated_seconds.map(u64::from);
        match self.evidence {
            Evidence::Verified => (Evidence::Reported, None),
            Evidence::Estimated if seconds.is_none() => (Evidence::Acknowledged, None),
            Evidence::Estimated => (Evidence::Estimated, seconds.map(Duration::from_secs)),
            Evidence::Acknowledged | Evidence::Reported => (self.evidence, None),
        }
    }
}

/// Why a selector's operation did not reach its aim. Trying again was the agent's own decision, and it is made.
fn fault_of(found: &SelectorFinding) -> Option<Fault> {
    let (code, side, why) = match found.finding {
        Finding::OriginStatus(status) => {
            let why = format!("the origin answered {status}");
            (FaultCode::OriginError, Side::Origin, why)
        }
        Finding::TooLarge => {
            let why = "fetched, but larger than the server stores".to_owned();
            (FaultCode::Refused, Side::Participant, why)
        }
        Finding::RefusedByRules => {
            let why = "fetched, but the server's rules do not store it".to_owned();
            (FaultCode::Refused, Side::Origin, why)
        }
        Finding::Accepted
        | Finding::Removed(_)
        | Finding::Invalidated(_)
        | Finding::Banned
        | Finding::NothingHeld
        | Finding::Stored
        | Finding::AlreadyThere => return None,
    };
    Some(Fault::new(code, side, Again::Never, &why))
}

#[derive(Deserialize)]
struct OperationOnly {
    operation: Operation,
}

/// Only a purge has reached its aim where there was nothing.
fn is_purge(call: &NativeCall) -> bool {
    let body = call.body.as_deref().unwrap_or_default();
    serde_json::from_str::<OperationOnly>(body)
        .is_ok_and(|order| matches!(order.operation, Operation::Purge(_)))
}

const fn reported() -> Evidence {
    Evidence::Reported
}

#[cfg(test)]
mod tests;
