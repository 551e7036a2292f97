//! Accepting a command: idempotency key, command, executions and outbox entries in one atomic call.
//!
//! Invariant: when this returns `Accepted`, Redis has it all on disk (`appendfsync always`); when it fails, nothing
//! of it exists, or all of it and the same request id finds it.

use std::time::Duration;

use amqp::envelope::{NativeOrder, Order};
use domain::{
    Command, CommandId, ConfigurationId, ExecutionId, Fidelity, ParticipantId, Probes, ServerId,
    Timestamp, limits, receipt::order_tail_digest,
};
use serde::{Deserialize, Serialize};

use super::{
    ApprovalAsked, AuditRecord, Shard, Store, StoreError,
    gather::{Call, Then},
    outbox::millis,
    request::{self, Requested},
};
use crate::translate::{Planned, PlannedExecution};

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk, with each execution at its place in its outbox: in the order of the plan, without those that nobody is
    /// told of. Empty where it waits for its time or for a second person.
    New(Vec<Placed>),
    /// The same request was accepted before, as this command.
    Before(CommandId),
    /// The request id was used before for something else.
    Conflict,
    /// What this participant would be told is too large for a message.
    TooLarge(ParticipantId),
    /// This participant's outbox is full.
    Full(ParticipantId),
    /// Too many commands of the originator are open.
    Busy,
}

/// An execution's place in its outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The participant's count of executions.
    pub sequence: u64,
    /// Whether it is marked as dispatched already, and handed over to who sends it.
    pub is_dispatched: bool,
}

/// What may be in a shard.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What may wait for one participant, and once more what may be scheduled for it.
    pub outbox: u64,
    /// Commands of the originator that have not settled.
    pub open: u64,
    /// What may be out to one participant without a report.
    pub window: u64,
    /// By when what is marked at once must be reported on.
    pub report: Duration,
}

impl From<Requested> for Accepted {
    fn from(requested: Requested) -> Self {
        match requested {
            Requested::Before(id) => Self::Before(id),
            Requested::Conflict => Self::Conflict,
        }
    }
}

/// What is kept of an execution's plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    pub(super) fidelity: Fidelity,
    pub(super) servers: Vec<ServerId>,
}

/// An [`Order`] without `sequence`, which the script puts in front.
#[derive(Serialize)]
struct OrderTail<'a> {
    execution: ExecutionId,
    configuration: &'a ConfigurationId,
    originator: &'a ParticipantId,
    operation: &'a str,
    repeatable: bool,
    accepted_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    native: &'a [NativeOrder],
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<&'a Probes>,
}

impl Store {
    /// Accepts, within these bounds.
    pub async fn accept(&self, planned: &Planned, bounds: Bounds) -> Result<Accepted, StoreError> {
        let command = &planned.command;
        let shard = self.keys.shard_of(&command.configuration);
        let key = self.keys.command(shard, command.id);
        let request = command
            .request_id
            .map(|id| self.keys.request(shard, &command.originator, id));
        let digest = request::digest(command)?;
        let body = serde_json::to_string(command)
            .map_err(|error| StoreError::unreadable("a command", error))?;
        let mut call = Call::default();
        call.key(&key)
            .key(request.as_ref().unwrap_or(&key))
            .key(self.keys.commands(shard, &command.originator));
        let kept = request.map_or_else(String::new, |_| request::record(&digest, command));
        call.arg(command.id.to_string())
            .arg(kept)
            .arg(body)
            .arg(command.accepted_at.as_millis());
        let later = is_scheduled(command)
            .then_some(command.not_before)
            .flatten();
        for moment in [later, command.expires_at] {
            call.arg(moment.map_or_else(String::new, |moment| moment.as_millis().to_string()));
        }
        call.arg(command.originator.as_str())
            .arg(bounds.open)
            .arg(audit_record(planned).text()?);
        let until = planned.approve_until;
        call.arg(until.map_or_else(String::new, |moment| moment.as_millis().to_string()))
            .arg(asked(planned)?);
        let (mut sent, mut handed, probes) = (Vec::new(), Vec::new(), Probes::of(command));
        let at_once = later.is_none() && until.is_none() && may_be_marked_at_once(command);
        for execution in &planned.executions {
            let tail = match order_tail(command, probes.as_ref(), execution)? {
                Tail::TooLarge => return Ok(Accepted::TooLarge(execution.participant.clone())),
                Tail::NotSent => String::new(),
                Tail::Sent(tail) => {
                    call.key(self.keys.outbox(shard, &execution.participant));
                    sent.push(&execution.participant);
                    tail
                }
            };
            let lease = if at_once && !tail.is_empty() {
                self.doors.lease(shard, &execution.participant)
            } else {
                None
            };
            call.arg(execution.participant.as_str())
                .arg(plan_record(execution)?)
                .arg(&tail)
                .arg(told(command, &tail))
                .arg(lease.as_ref().map_or("", |lease| &lease.0));
            if !tail.is_empty() {
                handed.push(lease.map(|_| (execution.participant.clone(), tail)));
            }
        }
        let then = self.hand_over(shard, command.id, handed);
        let common = || self.common(shard, bounds);
        let (answer, detail) = self.accepts.run(shard, common, call, then).await?;
        match answer.as_str() {
            "accepted" => Ok(Accepted::New(places(&detail)?)),
            "busy" => Ok(Accepted::Busy),
            "known" => {
                request::compare(&detail, &digest, Some(&command.configuration)).map(Into::into)
            }
            _ => {
                let full = detail
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| sent.get(index));
                full.map(|participant| Accepted::Full((*participant).clone()))
                    .ok_or_else(|| StoreError::lacking("the answer of accept"))
            }
        }
    }
}

impl Store {
    /// What all acceptances of a shard have in common.
    fn common(&self, shard: Shard, bounds: Bounds) -> Call {
        let mut common = Call::default();
        common
            .key(self.keys.sequences(shard))
            .key(self.keys.scheduled(shard))
            .key(self.keys.scheduled_counts(shard))
            .key(self.keys.expiring(shard))
            .key(self.keys.open(shard))
            .key(self.keys.audit(shard))
            .key(self.keys.approvals(shard));
        common
            .arg(bounds.outbox)
            .arg(self.keys.wake(shard))
            .arg(bounds.window)
            .arg(millis(bounds.report));
        common
    }

    /// Gives those that were marked to who sends them, in the order in which they were accepted.
    fn hand_over(
        &self,
        shard: Shard,
        command: CommandId,
        handed: Vec<Option<(ParticipantId, String)>>,
    ) -> Option<Then> {
        handed.iter().any(Option::is_some).then(|| {
            let doors = self.doors.clone();
            Box::new(move |word: &str, detail: &str| {
                if word != "accepted" {
                    return;
                }
                for (word, handed) in detail.split(' ').zip(handed) {
                    if let (Some(sequence), Some((participant, tail))) =
                        (word.strip_suffix('*'), handed)
                    {
                        let order = format!("{{\"sequence\":{sequence},{tail}");
                        doors.hand(shard, &participant, (sequence, command, order));
                    }
                }
            }) as Then
        })
    }
}

/// What cannot harm when it is sent again after a crash, and has no time after which it must not be sent, need not wait for its
/// mark: nobody loses anything by its being out a moment earlier.
fn may_be_marked_at_once(command: &Command) -> bool {
    command.operation.is_repeatable() && command.expires_at.is_none()
}

/// What the script says of each execution.
fn places(detail: &str) -> Result<Vec<Placed>, StoreError> {
    let place = |word: &str| {
        let number = word.strip_suffix('*');
        let sequence = number.unwrap_or(word).parse();
        Ok(Placed {
            sequence: sequence.map_err(|_| StoreError::lacking("the answer of accept"))?,
            is_dispatched: number.is_some(),
        })
    };
    detail.split_terminator(' ').map(place).collect()
}

/// Whether it waited for its time when it was accepted: a moment that had passed is no reason to wait.
pub(super) fn is_scheduled(command: &Command) -> bool {
    command
        .not_before
        .is_some_and(|moment| moment > command.accepted_at)
}

/// What is asked for of a second person; empty where nobody need approve.
fn asked(planned: &Planned) -> Result<String, StoreError> {
    let Some(asked) = ApprovalAsked::of(planned) else {
        return Ok(String::new());
    };
    serde_json::to_string(&asked).map_err(|error| StoreError::unreadable("an approval", error))
}

fn audit_record(planned: &Planned) -> AuditRecord {
    let command = &planned.command;
    AuditRecord {
        at: command.accepted_at,
        caller: planned.submitted_by.clone(),
        call: "SubmitCommand".to_owned(),
        resource: format!(
            "configuration/{} command/{}",
            command.configuration, command.id
        ),
        result: "OK".to_owned(),
        count: 1,
    }
}

/// What its receipt must be of: the digest of the order's text as the adapter has it, but for the sequence, and the configuration.
fn told(command: &Command, tail: &str) -> String {
    if tail.is_empty() {
        return String::new();
    }
    format!("{} {}", order_tail_digest(tail), command.configuration)
}

fn plan_record(execution: &PlannedExecution) -> Result<String, StoreError> {
    let servers = execution
        .servers
        .iter()
        .map(|server| server.id.clone())
        .collect();
    let record = PlanRecord {
        fidelity: execution.fidelity.clone(),
        servers,
    };
    serde_json::to_string(&record).map_err(|error| StoreError::unreadable("a plan", error))
}

/// The order's JSON after `{"sequence":N,`.
enum Tail {
    Sent(String),
    /// The participant cannot say the command.
    NotSent,
    TooLarge,
}

/// The order, if it is sent.
fn order_tail(
    command: &Command,
    probes: Option<&Probes>,
    execution: &PlannedExecution,
) -> Result<Tail, StoreError> {
    if execution.native.is_empty() {
        return Ok(Tail::NotSent);
    }
    let tail = OrderTail {
        execution: ExecutionId {
            command: command.id,
            participant: execution.participant.clone(),
        },
        configuration: &command.configuration,
        originator: &command.originator,
        operation: command.operation.name(),
        repeatable: command.operation.is_repeatable(),
        accepted_at: command.accepted_at,
        expires_at: command.expires_at,
        traceparent: command.traceparent.as_deref(),
        tracestate: command.tracestate.as_deref(),
        native: &execution.native,
        probes,
    };
    let text =
        serde_json::to_string(&tail).map_err(|error| StoreError::unreadable("an order", error))?;
    if text.len() > limits::ORDER_BYTES {
        return Ok(Tail::TooLarge);
    }
    debug_assert!(
        serde_json::from_str::<Order>(&format!("{{\"sequence\":1,{}", &text[1..])).is_ok()
    );
    Ok(Tail::Sent(text[1..].to_owned()))
}
