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
use serde_json::value::RawValue;

use super::{
    ApprovalAsked, AuditRecord, Entry, Lease, Shard, Store, StoreError,
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

/// An execution that may be marked at once: whose, under which lease, and its order without its first member.
type AtOnce = (ParticipantId, Lease, String);

/// What an acceptance asks of the script.
#[derive(Default)]
struct Asked<'a> {
    call: Call,
    /// Who is told something, in the order of the plan.
    sent: Vec<&'a ParticipantId>,
    /// What may be marked at once of that.
    at_once: Vec<Option<AtOnce>>,
    /// What all are told to look at afterwards.
    probes: Option<Probes>,
}

impl Store {
    /// Accepts, within these bounds.
    pub async fn accept(&self, planned: &Planned, bounds: Bounds) -> Result<Accepted, StoreError> {
        let command = &planned.command;
        let shard = self.keys.shard_of(&command.configuration);
        let digest = request::digest(command)?;
        let mut asked = Asked {
            probes: Probes::of(command),
            ..Asked::default()
        };
        self.ask(&mut asked.call, shard, planned, (bounds, &digest))?;
        for execution in &planned.executions {
            if !self.ask_for(&mut asked, shard, planned, execution)? {
                return Ok(Accepted::TooLarge(execution.participant.clone()));
            }
        }
        let then = self.hand_over(shard, command.id, asked.at_once);
        let common = || self.common(shard, bounds);
        let (answer, detail) = self.accepts.run(shard, common, asked.call, then).await?;
        match answer.as_str() {
            "accepted" => Ok(Accepted::New(places(&detail)?)),
            "busy" => Ok(Accepted::Busy),
            "known" => {
                request::compare(&detail, &digest, Some(&command.configuration)).map(Into::into)
            }
            _ => {
                let full = detail.parse().ok();
                let full = full.and_then(|index: usize| asked.sent.get(index));
                full.map(|participant| Accepted::Full((*participant).clone()))
                    .ok_or_else(|| StoreError::lacking("the answer of accept"))
            }
        }
    }

    /// What is asked of the script for a command, before its executions.
    fn ask(
        &self,
        call: &mut Call,
        shard: Shard,
        planned: &Planned,
        (bounds, digest): (Bounds, &str),
    ) -> Result<(), StoreError> {
        let command = &planned.command;
        let key = self.keys.command(shard, command.id);
        let request = command
            .request_id
            .map(|id| self.keys.request(shard, &command.originator, id));
        let body = serde_json::to_string(command)
            .map_err(|error| StoreError::unreadable("a command", error))?;
        call.key(&key)
            .key(request.as_ref().unwrap_or(&key))
            .key(self.keys.commands(shard, &command.originator));
        let kept = request.map_or_else(String::new, |_| request::record(digest, command));
        call.arg(command.id.to_string())
            .arg(kept)
            .arg(body)
            .arg(command.accepted_at.as_millis());
        let later = is_scheduled(command)
            .then_some(command.not_before)
            .flatten();
        for moment in [later, command.expires_at] {
            call.arg(text_of(moment));
        }
        call.arg(command.originator.as_str())
            .arg(bounds.open)
            .arg(audit_record(planned).text()?)
            .arg(text_of(planned.approve_until))
            .arg(approval_asked(planned)?);
        Ok(())
    }

    /// What is asked of it for one execution; `false` where that is too large for a message.
    fn ask_for<'a>(
        &self,
        asked: &mut Asked<'a>,
        shard: Shard,
        planned: &Planned,
        execution: &'a PlannedExecution,
    ) -> Result<bool, StoreError> {
        let (command, participant) = (&planned.command, &execution.participant);
        let tail = match order_tail(command, asked.probes.as_ref(), execution)? {
            Tail::TooLarge => return Ok(false),
            Tail::NotSent => String::new(),
            Tail::Sent(tail) => tail,
        };
        let lease = if !tail.is_empty() && may_be_marked_at_once(planned) {
            self.doors.lease(shard, participant)
        } else {
            None
        };
        asked
            .call
            .arg(participant.as_str())
            .arg(plan_record(execution)?)
            .arg(&tail)
            .arg(told(command, &tail))
            .arg(lease.as_ref().map_or("", |lease| &lease.0));
        if !tail.is_empty() {
            asked.call.key(self.keys.outbox(shard, participant));
            asked.sent.push(participant);
            let at_once = lease.map(|lease| (participant.clone(), lease, tail));
            asked.at_once.push(at_once);
        }
        Ok(true)
    }

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
        at_once: Vec<Option<AtOnce>>,
    ) -> Option<Then> {
        if at_once.iter().all(Option::is_none) {
            return None;
        }
        let doors = self.doors.clone();
        Some(Box::new(move |word: &str, detail: &str| {
            // An answer that nobody can read is an error of the acceptance; the outbox has what was marked.
            let places = (word == "accepted").then(|| places(detail).ok()).flatten();
            for (place, at_once) in places.unwrap_or_default().iter().zip(at_once) {
                let sequence = place.sequence;
                if let Some((participant, lease, tail)) = at_once.filter(|_| place.is_dispatched)
                    && let Ok(order) =
                        RawValue::from_string(format!("{{\"sequence\":{sequence},{tail}"))
                {
                    let entry = Entry {
                        sequence,
                        command,
                        order,
                    };
                    doors.hand(shard, (&participant, &lease), entry);
                }
            }
        }))
    }
}

/// Milliseconds, or nothing.
fn text_of(moment: Option<Timestamp>) -> String {
    moment.map_or_else(String::new, |moment| moment.as_millis().to_string())
}

/// What cannot harm when it is sent again after a crash, and has no time after which it must not be sent, need not wait for its
/// mark: nobody loses anything by its being out a moment earlier.
fn may_be_marked_at_once(planned: &Planned) -> bool {
    let command = &planned.command;
    let waits = is_scheduled(command) || planned.approve_until.is_some();
    !waits && command.operation.is_repeatable() && command.expires_at.is_none()
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
fn approval_asked(planned: &Planned) -> Result<String, StoreError> {
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
