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
    asked::{Answer, Asked, AskedExecution, Special},
    handover::Doors,
    outbox::read_entry,
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

/// What is kept of an execution's plan. In its field the digest of the order and the configuration stand in front, which its
/// receipt must be of; a dash for the digest where nobody is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    pub(super) fidelity: Fidelity,
    pub(super) servers: Vec<ServerId>,
}

impl PlanRecord {
    /// Its own text in its field.
    pub(super) fn text_in(field: &str) -> Option<&str> {
        field.splitn(3, ' ').nth(2)
    }
}

/// An [`Order`] without `sequence`, which whoever reads it puts in front.
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

/// A planned command as it is asked of Redis.
pub(crate) struct Asking {
    shard: Shard,
    bounds: Bounds,
    digest: Option<String>,
    /// Or who would be told more than fits into a message.
    asked: Result<Asked, ParticipantId>,
}

impl Store {
    /// Accepts, within these bounds.
    pub async fn accept(&self, planned: &Planned, bounds: Bounds) -> Result<Accepted, StoreError> {
        let asking = self.asking(planned, bounds)?;
        self.ask(planned, asking).await
    }

    /// What accepting it takes of the processor: all is written down that is sent to Redis.
    pub(crate) fn asking(&self, planned: &Planned, bounds: Bounds) -> Result<Asking, StoreError> {
        let command = &planned.command;
        let shard = self.keys.shard_of(&command.configuration);
        let digest = match command.request_id {
            Some(_) => Some(request::digest(command)?),
            None => None,
        };
        let asking = |digest, asked| Asking {
            shard,
            bounds,
            digest,
            asked,
        };
        let (probes, mut executions) = (Probes::of(command), Vec::new());
        for execution in &planned.executions {
            match self.asked_for(shard, planned, probes.as_ref(), execution)? {
                Some(asked) => executions.push(asked),
                None => return Ok(asking(digest, Err(execution.participant.clone()))),
            }
        }
        let asked = Asked {
            id: command.id,
            body: serde_json::to_string(command)
                .map_err(|error| StoreError::unreadable("a command", error))?,
            accepted_at: command.accepted_at,
            originator: command.originator.clone(),
            open: bounds.open,
            audit: audit_record(planned).text()?,
            executions,
            special: special(planned, digest.as_deref())?,
        };
        Ok(asking(digest, Ok(asked)))
    }

    /// Asks Redis for it.
    pub(crate) async fn ask(
        &self,
        planned: &Planned,
        asking: Asking,
    ) -> Result<Accepted, StoreError> {
        let asked = match asking.asked {
            Ok(asked) => asked,
            Err(participant) => return Ok(Accepted::TooLarge(participant)),
        };
        let accepting = self.accepts.run(asking.shard, asking.bounds, asked);
        match accepting.await? {
            Answer::Accepted(places) => Ok(Accepted::New(places)),
            Answer::Busy => Ok(Accepted::Busy),
            Answer::Known(kept) => {
                let digest = asking.digest.as_deref().unwrap_or_default();
                let configuration = &planned.command.configuration;
                request::compare(&kept, digest, Some(configuration)).map(Into::into)
            }
            Answer::Full(place) => {
                let full = planned.executions.get(place);
                full.map(|execution| Accepted::Full(execution.participant.clone()))
                    .ok_or_else(|| StoreError::lacking("the answer of accept"))
            }
        }
    }

    /// What is asked for one execution; `None` where that is too large for a message.
    fn asked_for(
        &self,
        shard: Shard,
        planned: &Planned,
        probes: Option<&Probes>,
        execution: &PlannedExecution,
    ) -> Result<Option<AskedExecution>, StoreError> {
        let (command, participant) = (&planned.command, &execution.participant);
        let order = match order_tail(command, probes, execution)? {
            Tail::TooLarge => return Ok(None),
            Tail::NotSent => String::new(),
            Tail::Sent(tail) => tail,
        };
        let may_be_marked = !order.is_empty() && may_be_marked_at_once(planned);
        Ok(Some(AskedExecution {
            participant: participant.clone(),
            plan: plan_record(command, &order, execution)?,
            lease: may_be_marked
                .then(|| self.doors.lease(shard, participant))
                .flatten(),
            order,
        }))
    }
}

/// Gives those that were marked to who sends them, in the order in which they were accepted. The outbox has what nobody can read.
pub(super) fn hand_over(doors: &Doors, shard: Shard, asked: Asked, answer: &Answer) {
    let Answer::Accepted(places) = answer else {
        return;
    };
    let sent = asked.executions.into_iter();
    let sent = sent.filter(|execution| !execution.order.is_empty());
    for (place, execution) in places.iter().zip(sent) {
        if let Some(lease) = execution.lease.filter(|_| place.is_dispatched)
            && let Ok(entry) = read_entry(place.sequence, asked.id, &execution.order)
        {
            doors.hand(shard, (&execution.participant, &lease), entry);
        }
    }
}

/// What few commands have.
fn special(planned: &Planned, digest: Option<&str>) -> Result<Special, StoreError> {
    let command = &planned.command;
    let request = command.request_id.zip(digest);
    let approval = planned.approve_until.zip(ApprovalAsked::of(planned));
    let kept = |(until, asked): (Timestamp, ApprovalAsked)| {
        let kept = serde_json::to_string(&asked);
        let kept = kept.map_err(|error| StoreError::unreadable("an approval", error))?;
        Ok::<_, StoreError>((until, kept))
    };
    Ok(Special {
        request: request.map(|(id, digest)| (id, request::record(digest, command))),
        not_before: command.not_before.filter(|_| is_scheduled(command)),
        expires_at: command.expires_at,
        approval: approval.map(kept).transpose()?,
    })
}

/// What cannot harm when it is sent again after a crash, and has no time after which it must not be sent, need not wait for its
/// mark: nobody loses anything by its being out a moment earlier.
fn may_be_marked_at_once(planned: &Planned) -> bool {
    let command = &planned.command;
    let waits = is_scheduled(command) || planned.approve_until.is_some();
    !waits && command.operation.is_repeatable() && command.expires_at.is_none()
}

/// Whether it waited for its time when it was accepted: a moment that had passed is no reason to wait.
pub(super) fn is_scheduled(command: &Command) -> bool {
    command
        .not_before
        .is_some_and(|moment| moment > command.accepted_at)
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

/// What its receipt must be of (the digest of the order's text as the adapter has it, but for the sequence, and the configuration),
/// and the plan.
fn plan_record(
    command: &Command,
    order: &str,
    execution: &PlannedExecution,
) -> Result<String, StoreError> {
    let servers = execution.servers.iter();
    let record = PlanRecord {
        fidelity: execution.fidelity.clone(),
        servers: servers.map(|server| server.id.clone()).collect(),
    };
    let record =
        serde_json::to_string(&record).map_err(|error| StoreError::unreadable("a plan", error))?;
    let configuration = &command.configuration;
    Ok(if order.is_empty() {
        format!("- {configuration} {record}")
    } else {
        format!("{} {configuration} {record}", order_tail_digest(order))
    })
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
