//! The bodies of the two messages: a dispatch (broker to adapter) and a report (adapter to broker).
//!
//! Invariant: JSON that a person can read in the RabbitMQ console, as `docs/asyncapi.yaml` describes it; unknown members
//! are ignored, so that a newer peer may say more; each order is read on its own, so that one that cannot be read
//! leaves its neighbours unharmed.
//! Not here: exchanges and properties (`topology`, `message`).

use domain::{
    CommandId, ConfigurationId, DialectName, Event, Evidence, ExecutionId, Fault, NativeCall,
    NativeLimits, ParticipantId, Probes, ServerId, ServerResult, Timestamp,
    participant::ServerAddress,
    receipt::{Statement, Told},
    signing::KeyId,
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
    /// Which of the participant's counts the sequences are of; a [`Progress`] says it again.
    #[serde(default)]
    pub shard: u16,
    /// Earlier executions whose work one of `executions` does too: they are reported with it, and not carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absorbed: Vec<Absorbed>,
    /// Executions, sent earlier or in this message, that are not to be begun any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancels: Vec<ExecutionId>,
    /// The documents that orders of this message speak by ([`NativeOrder::mapping`]), each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<MappingDocument>,
}

impl Dispatch<'_> {
    /// The document by which an order of this message is spoken; `None` also where the broker no longer had that version,
    /// and then the order cannot be carried out.
    pub fn mapping(&self, order: &NativeOrder) -> Option<&MappingDocument> {
        let version = order.mapping?;
        self.mappings
            .iter()
            .find(|mapping| mapping.name == order.dialect && mapping.version == version)
    }
}

/// One version of a mapping: a dialect from a document (`dialects::mapped`), of at most 64 KiB.
///
/// The broker has translated by it, so the calls are in the order; by it the adapter judges the answers, asks after jobs
/// and judges what it hears of them. It never changes: another document has another version. An execution keeps the
/// version that it was planned with, whatever the registry says since, so who asks after a job in a later run keeps the
/// document with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingDocument {
    /// Its name: the `dialect` of native orders.
    pub name: DialectName,
    /// Its version, counted from 1.
    pub version: u32,
    /// The document as it was put into the registry, YAML.
    pub document: String,
}

/// An execution that a later one of the same configuration covers whole: both purge, the later one purges all that this one
/// would have, and no load or custom operation of the configuration was accepted between them.
///
/// It has no order. When its absorber has ended it is reported with the same outcome, its own id, and
/// [`ExecutionReport::absorbed_by`]; progress counts it as read. Who knows it already, because it came before in a message
/// whose confirm the broker never saw, goes on with it as it was told then.
///
/// An execution that has absorbed others is theirs too: asked to leave it ([`Dispatch::cancels`]), the adapter carries it out
/// all the same and reports how it ended. An absorbed one that it is asked to leave it may report as `cancelled` as long as
/// the absorber has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absorbed {
    /// Which.
    pub execution: ExecutionId,
    /// Its own sequence.
    pub sequence: u64,
    /// The sequence of the execution in the same message that does its work.
    pub by: u64,
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
    /// Whose command it is; those of different originators have fair turns where they wait for the same account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator: Option<ParticipantId>,
    /// `purge`, `load`, or a custom operation's name.
    pub operation: String,
    /// Whether it may be carried out again after an interruption.
    pub repeatable: bool,
    /// When the broker accepted the command.
    pub accepted_at: Timestamp,
    /// What has not begun by then is never begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The W3C trace state that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// What is to be said, in each dialect that the participant's servers speak.
    pub native: Vec<NativeOrder>,
    /// What is to be looked at afterwards. An adapter that does not know this looks at nothing, and so says `verified` of
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
}

/// The calls of one dialect and the servers that get them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeOrder {
    /// Which dialect judges the answers: one that adapters know, or with `mapping` one from a document.
    pub dialect: DialectName,
    /// The version of the mapping that has the name of `dialect`; its document is in [`Dispatch::mappings`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<u32>,
    /// How much one call to the participant's provider holds, where its record said so when this was planned: as much and no more
    /// may be put together.
    #[serde(default, skip_serializing_if = "NativeLimits::is_empty")]
    pub limits: NativeLimits,
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
    /// How far the adapter has come, for each shard that it had something of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<Progress>,
    /// The signature over the statements of `executions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<SignedStatements>,
}

/// One signature over what a report says of all executions that have ended: over the root of a Merkle tree whose leaves are
/// their statements ([`ExecutionReport::statement`]), in the order of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStatements {
    /// Which key signed.
    pub key: KeyId,
    /// Ed25519 over [`domain::receipt::root_bytes`], base64.
    pub signature: String,
}

/// How far an adapter has come with one of its participant's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// As in [`Dispatch::shard`].
    pub shard: u16,
    /// The highest sequence that it has read.
    pub sequence: u64,
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
    /// The W3C trace context of the adapter's own span: a child of the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The command whose execution did this one's work too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorbed_by: Option<CommandId>,
    /// What it was told, where its adapter signs receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl ExecutionReport {
    /// What is signed of it; none of an execution that goes on, or whose adapter signs nothing.
    pub fn statement(&self) -> Option<Statement> {
        let told = self.told.as_ref()?;
        let (outcome, evidence, fault) = match &self.outcome {
            ReportedOutcome::Running { .. } => return None,
            ReportedOutcome::Done(evidence) => ("done", Some(evidence.as_str()), None),
            ReportedOutcome::Failed(fault) => ("failed", None, Some(fault.code.as_str())),
            ReportedOutcome::Unknown => ("unknown", None, None),
            ReportedOutcome::Cancelled => ("cancelled", None, None),
            ReportedOutcome::Expired => ("expired", None, None),
        };
        let servers = self.results.iter().map(|result| result.server.clone());
        Some(Statement {
            execution: self.execution.clone(),
            configuration: told.configuration.clone(),
            digest: told.digest,
            outcome: outcome.to_owned(),
            evidence: evidence.map(str::to_owned),
            fault: fault.map(str::to_owned),
            servers: servers.collect(),
            at: self.reported_at,
            absorbed_by: self.absorbed_by,
        })
    }
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
    /// Asked to leave it before it was begun, and left.
    Cancelled,
    /// Its time was over before it was begun.
    Expired,
}

impl From<&ReportedOutcome> for Event {
    fn from(outcome: &ReportedOutcome) -> Self {
        match outcome {
            ReportedOutcome::Running { .. } => Self::Running,
            ReportedOutcome::Done(evidence) => Self::Done(*evidence),
            ReportedOutcome::Failed(fault) => Self::Failed(fault.clone()),
            ReportedOutcome::Unknown => Self::Interrupted,
            ReportedOutcome::Cancelled => Self::Cancelled,
            ReportedOutcome::Expired => Self::Expired,
        }
    }
}
