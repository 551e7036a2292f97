//! The federation's own format over HTTP, for a participant whose invocation system speaks it: submit with one `PUT`,
//! then ask with `GET` until every server has settled. `docs/invocation-system.openapi.yaml` describes the same.
//!
//! Invariant: it says every command exactly, custom operations included, and the id of the execution is the key, so that
//! a submission that is repeated does nothing new. What a server says of itself is no better than what its proof shows.
//! Not here: where the invocation system is and who may call it (`adapters::system`).

use std::borrow::Cow;

use domain::{
    Command, Configuration, Evidence, ExecutionId, Fault, Fidelity, Finding, HostName, NativeCall,
    Operation, Outcome, ParticipantId, Probes, Proof, Selector, ServerId, ServerResult, Timestamp,
    fault::{Again, FaultCode, Side},
    fidelity::Ceiling,
    result::SelectorFinding,
};
use serde::{Deserialize, Serialize};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict, http, native, problem::refusal,
};

/// Where executions live in an invocation system, below its base URL.
pub const EXECUTIONS_PATH: &str = "/v1/executions";

/// The header of a submission with the URL that wants to hear of the end. The body of that call is empty: whoever is
/// called asks for the state.
pub const CALLBACK_HEADER: &str = "callback-url";

/// The dialect.
#[derive(Debug)]
pub struct Canonical;

/// The body of a submission: one execution, as the originator meant it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission<'a> {
    /// Which execution.
    pub execution: Cow<'a, ExecutionId>,
    /// Who submitted the command.
    pub originator: Cow<'a, ParticipantId>,
    /// When the broker accepted it.
    pub accepted_at: Timestamp,
    /// What is to be done.
    pub operation: Cow<'a, Operation>,
    /// With which of the configuration's content.
    pub selectors: Cow<'a, [Selector]>,
    /// How far the invocation system may stray.
    pub ceiling: Ceiling,
    /// The configuration with its host names.
    pub configuration: Cow<'a, Configuration>,
    /// On which servers.
    pub servers: Vec<ServerId>,
    /// What the originator wants to have looked at afterwards; a system that can do so says `verified` and gives its proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
}

/// How far an invocation system is with one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which execution.
    pub execution: ExecutionId,
    /// Whether anything is still to come.
    pub state: ProgressState,
    /// Server by server.
    pub servers: Vec<ServerProgress>,
}

/// Whether anything is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// At least one server has not ended.
    Running,
    /// Every server has ended, and nothing changes any more.
    Settled,
}

/// How far one server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProgress {
    /// Which server.
    pub server: ServerId,
    /// Where it stands.
    pub state: ServerState,
    /// With `done`: how sure the invocation system is. `reported` where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// With `failed`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<ServerFault>,
    /// What was found for each selector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SelectorFinding>,
    /// How many calls were made, repeated ones included.
    #[serde(default)]
    pub attempts: u32,
    /// From the first call to the last answer, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// With `done` and the evidence `estimated`: when it should be done, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
    /// What looking afterwards showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Where one server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Not told yet.
    Waiting,
    /// Told, and not ended.
    Running,
    /// It did it.
    Done,
    /// It did not.
    Failed,
    /// Interrupted, and not to be repeated.
    Unknown,
}

/// Why a server failed. Whether to try again is the invocation system's own decision, and made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFault {
    /// What kind of failure.
    pub code: FaultCode,
    /// In the words of the server or of the invocation system.
    pub message: String,
}

impl Dialect for Canonical {
    fn name(&self) -> &'static str {
        "canonical"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::InvocationSystem
    }

    fn fidelity(&self, _: &Operation, _: &Selector) -> Fidelity {
        Fidelity::Exact
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        let submission = Submission {
            execution: Cow::Borrowed(site.execution),
            originator: Cow::Borrowed(&command.originator),
            accepted_at: command.accepted_at,
            operation: Cow::Borrowed(&command.operation),
            selectors: Cow::Borrowed(&command.selectors),
            ceiling: command.ceiling,
            configuration: site.configuration.for_carriers(),
            servers: site
                .servers
                .iter()
                .map(|server| server.id.clone())
                .collect(),
            probes: Probes::of(command),
        };
        let path = format!("{EXECUTIONS_PATH}/{}", site.execution);
        let selectors = (0..).take(command.selectors.len()).collect();
        Ok(vec![http::with_json(
            NativeCall::new("PUT", None, &path, selectors),
            &submission,
        )])
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::federation::read_canonical(request)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        match answer.status {
            200 => match Progress::read(&answer.body) {
                Ok(progress) => progress.verdict(),
                Err(fault) => Verdict::failed(fault),
            },
            201 | 202 => Verdict::Running { job: job_of(call) },
            _ => Verdict::failed(refusal("the invocation system", answer)),
        }
    }
}

impl Progress {
    /// Reads the body of an answer.
    pub fn read(body: &str) -> Result<Self, Fault> {
        serde_json::from_str(body).map_err(|error| {
            let message = format!("the invocation system's answer cannot be read: {error}");
            Fault::participant(FaultCode::UnreadableAnswer, Again::Never, &message)
        })
    }

    /// What it means for each of `servers`: one result each, in their order, whatever the invocation system says of others.
    pub fn results<'a>(
        &self,
        servers: impl IntoIterator<Item = &'a ServerId>,
    ) -> Vec<ServerResult> {
        let result = |id: &ServerId| match self.servers.iter().find(|said| said.server == *id) {
            Some(said) => said.result(),
            None => ServerProgress::silent(id).result(),
        };
        servers.into_iter().map(result).collect()
    }

    fn verdict(&self) -> Verdict {
        if self.state == ProgressState::Running {
            return Verdict::Running {
                job: self.execution.to_string(),
            };
        }
        let results = self.results(self.servers.iter().map(|said| &said.server));
        let faults = results.iter().filter_map(|result| match &result.outcome {
            Outcome::Failed(fault) => Some(fault),
            Outcome::Done(_) | Outcome::Unknown => None,
        });
        if let Some(fault) = Fault::fold(faults) {
            return Verdict::failed(fault);
        }
        let evidence = results.iter().map(|result| match result.outcome {
            Outcome::Done(evidence) => evidence,
            Outcome::Failed(_) | Outcome::Unknown => Evidence::Acknowledged,
        });
        let evidence = evidence.min().unwrap_or(Evidence::Acknowledged);
        Verdict::Done {
            evidence,
            finding: Finding::Accepted,
        }
    }
}

impl ServerProgress {
    /// A server that has not been told yet.
    pub fn waiting(server: ServerId) -> Self {
        Self {
            server,
            state: ServerState::Waiting,
            evidence: None,
            fault: None,
            findings: Vec::new(),
            attempts: 0,
            took_ms: 0,
            estimated_at: None,
            proof: None,
        }
    }

    fn silent(server: &ServerId) -> Self {
        let message = "the invocation system settled without a word about this server".to_owned();
        let fault = Some(ServerFault {
            code: FaultCode::UnreadableAnswer,
            message,
        });
        Self {
            state: ServerState::Failed,
            fault,
            ..Self::waiting(server.clone())
        }
    }

    fn result(&self) -> ServerResult {
        let mut findings = self.findings.clone();
        findings.truncate(domain::limits::FINDINGS_PER_RESULT);
        let proof = self.proof.clone().map(Proof::as_seen);
        ServerResult {
            server: self.server.clone(),
            outcome: self.outcome(proof.as_ref()),
            findings,
            attempts: self.attempts,
            took_ms: self.took_ms,
            tries: Vec::new(),
            estimated_at: self.estimated_at,
            proof,
        }
    }

    /// What its word alone is good for: `verified` is said only of what was seen, so by the proof. An estimate has its time.
    fn word(&self) -> Evidence {
        match self.evidence.unwrap_or(Evidence::Reported) {
            Evidence::Verified => Evidence::Reported,
            Evidence::Estimated if self.estimated_at.is_none() => Evidence::Acknowledged,
            said => said,
        }
    }

    /// As it says, unless what was seen says otherwise.
    fn done(&self, proof: Option<&Proof>) -> Outcome {
        let said = Outcome::Done(self.word());
        let Some(proof) = proof else {
            return said;
        };
        match proof.outcome(said) {
            Outcome::Failed(fault) => Outcome::Failed(Fault {
                again: Again::Never,
                ..fault
            }),
            ended @ (Outcome::Done(_) | Outcome::Unknown) => ended,
        }
    }

    fn outcome(&self, proof: Option<&Proof>) -> Outcome {
        match (self.state, &self.fault) {
            (ServerState::Done, _) => self.done(proof),
            (ServerState::Unknown, _) => Outcome::Unknown,
            (_, Some(fault)) => Outcome::Failed(Fault::new(
                fault.code,
                side_of(fault.code),
                Again::Never,
                &fault.message,
            )),
            (ServerState::Failed, None) => unreadable("failed, and no reason was given"),
            (ServerState::Waiting | ServerState::Running, None) => {
                unreadable("the invocation system settled before this server did")
            }
        }
    }
}

/// How a server's end is told, by an invocation system that keeps the federation's own results.
impl From<ServerResult> for ServerProgress {
    fn from(result: ServerResult) -> Self {
        let (state, evidence, fault) = match result.outcome {
            Outcome::Done(evidence) => (ServerState::Done, Some(evidence), None),
            Outcome::Failed(fault) => {
                let (code, message) = (fault.code, fault.message);
                (
                    ServerState::Failed,
                    None,
                    Some(ServerFault { code, message }),
                )
            }
            Outcome::Unknown => (ServerState::Unknown, None, None),
        };
        Self {
            server: result.server,
            state,
            evidence,
            fault,
            findings: result.findings,
            attempts: result.attempts,
            took_ms: result.took_ms,
            estimated_at: result.estimated_at,
            proof: result.proof,
        }
    }
}

fn unreadable(message: &str) -> Outcome {
    let fault = Fault::participant(FaultCode::UnreadableAnswer, Again::Never, message);
    Outcome::Failed(fault)
}

const fn side_of(code: FaultCode) -> Side {
    match code {
        FaultCode::OriginError => Side::Origin,
        FaultCode::Unreachable
        | FaultCode::TimedOut
        | FaultCode::Refused
        | FaultCode::Unauthorized
        | FaultCode::Throttled
        | FaultCode::NativeError
        | FaultCode::UnreadableAnswer
        | FaultCode::AddressNotAllowed
        | FaultCode::UnreadableOrder
        | FaultCode::CircuitOpen
        | FaultCode::NotConfigured
        | FaultCode::ClockOff
        | FaultCode::NotVerified
        | FaultCode::Several => Side::Participant,
    }
}

/// The execution's id stands at the end of the path.
fn job_of(call: &NativeCall) -> String {
    let (_, id) = call.path.rsplit_once('/').unwrap_or(("", &call.path));
    id.to_owned()
}

#[cfg(test)]
mod tests;
