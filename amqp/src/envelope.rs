//! The bodies of the two messages: a dispatch (broker to adapter) and a report (adapter to broker).
//!
//! Invariant: JSON that a person can read in the RabbitMQ console, as `docs/asyncapi.yaml` describes it; unknown members
//! are ignored, so that a newer peer may say more; each order is read on its own, so that one that cannot be read
//! leaves its neighbours unharmed.
//! Not here: exchanges and properties (`topology`, `message`).

use domain::{
    ConfigurationId, DialectName, Event, Evidence, ExecutionId, Fault, NativeCall, ParticipantId,
    ServerId, ServerResult, Timestamp, participant::ServerAddress,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The `type` property of a dispatch.
pub const DISPATCH_TYPE: &str = "federation.dispatch.v1";
/// The `type` property of a report.
pub const REPORT_TYPE: &str = "federation.report.v1";

/// A batch of executions for one participant, in the order in which they were accepted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dispatch<'a> {
    /// For whom.
    pub participant: ParticipantId,
    /// One [`Order`] each, as the store wrote it down.
    #[serde(borrow)]
    pub executions: Vec<&'a RawValue>,
    /// The sequences of those that may have been sent before in another message, whose confirm the broker never saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_before: Vec<u64>,
}

/// One execution as the adapter needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which execution.
    pub execution: ExecutionId,
    /// The participant's count of executions.
    pub sequence: u64,
    /// Orders of one configuration are carried out in order.
    pub configuration: ConfigurationId,
    /// `purge`, `load`, or a custom operation's name.
    pub operation: String,
    /// Whether it may be carried out again after an interruption.
    pub repeatable: bool,
    /// When the broker accepted the command.
    pub accepted_at: Timestamp,
    /// The W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What is to be said, in each dialect that the participant's servers speak.
    pub native: Vec<NativeOrder>,
}

/// The calls of one dialect and the servers that get them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeOrder {
    /// Which dialect judges the answers.
    pub dialect: DialectName,
    /// The servers; with an invocation system, those that it shall tell.
    pub servers: Vec<OrderedServer>,
    /// The calls, in order.
    pub calls: Vec<NativeCall>,
}

/// A server with its address from the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedServer {
    /// Which server.
    pub id: ServerId,
    /// Where the adapter reaches it, if its own configuration allows.
    pub address: ServerAddress,
}

/// A batch of what happened to executions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who reports; must be whom the entry exchange belongs to.
    pub participant: ParticipantId,
    /// One each.
    pub executions: Vec<ExecutionReport>,
}

/// What happened to one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionReport {
    /// Which execution.
    pub execution: ExecutionId,
    /// What happened.
    pub outcome: ReportedOutcome,
    /// Server by server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ServerResult>,
    /// When, by the adapter's clock.
    pub reported_at: Timestamp,
}

/// What an adapter can say of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedOutcome {
    /// A native job is under way.
    Running {
        /// The native system's name for it.
        job: String,
    },
    /// Every server did it.
    Done(Evidence),
    /// At least one server did not.
    Failed(Fault),
    /// Interrupted, and not to be repeated.
    Unknown,
}

impl From<&ReportedOutcome> for Event {
    fn from(outcome: &ReportedOutcome) -> Self {
        match outcome {
            ReportedOutcome::Running { .. } => Self::Running,
            ReportedOutcome::Done(evidence) => Self::Done(*evidence),
            ReportedOutcome::Failed(fault) => Self::Failed(fault.clone()),
            ReportedOutcome::Unknown => Self::Interrupted,
        }
    }
}
