//! Accepting a command: idempotency key, command, executions and outbox entries in one atomic call.
//!
//! Invariant: when this returns `Accepted`, Redis has it all on disk (`appendfsync always`); when it fails, nothing
//! of it exists, or all of it and the same request id finds it.

use amqp::envelope::{NativeOrder, Order};
use domain::{
    Command, CommandId, ConfigurationId, ExecutionId, Fidelity, ParticipantId, Probes, ServerId,
    Timestamp, limits, receipt::order_tail_digest,
};
use serde::{Deserialize, Serialize};

use super::{
    ApprovalAsked, AuditRecord, Store, StoreError,
    gather::Call,
    request::{self, Requested},
};
use crate::translate::{Planned, PlannedExecution};

/// KEYS: command, request, index, sequences, scheduled, scheduled-counts, expiring, open, audit, approvals, then an outbox for each
/// execution that is sent. ARGV: id, what is kept of the request (empty without a request id), body, now, limit, wake channel,
/// the moment before which nobody is told, the one at which it expires (both empty without), originator, how many of its
/// commands may be open, audit record, by when a second person must have approved it, what is asked for of that one (both
/// empty where nobody need), then for each execution: participant, plan, order without its first member, what it tells
/// (both empty when it is not sent).
pub(super) const SCRIPT: &str = r#"
if ARGV[2] ~= '' then
  local known = redis.call('GET', KEYS[2])
  if known then return {'known', known} end
end
local held = ARGV[12] ~= ''
local later, sent, was_empty = held or ARGV[7] ~= '', 0, {}
for i = 14, #ARGV, 4 do
  if ARGV[i + 2] ~= '' then
    sent = sent + 1
    local waiting
    if later then
      waiting = tonumber(redis.call('HGET', KEYS[6], ARGV[i]) or 0)
    else
      waiting = redis.call('XLEN', KEYS[10 + sent])
    end
    if waiting >= tonumber(ARGV[5]) then return {'full', tostring(sent - 1)} end
    was_empty[sent] = waiting == 0
  end
end
if sent > 0 and redis.call('HINCRBY', KEYS[8], ARGV[9], 1) > tonumber(ARGV[10]) then
  redis.call('HINCRBY', KEYS[8], ARGV[9], -1)
  return {'busy', ''}
end
local fields, woken, outbox = {'body', ARGV[3], 'revision', '1', 'open', string.format('%d', sent), 'by', ARGV[9]}, {}, 11
if ARGV[8] ~= '' then
  fields[#fields + 1] = 'expires'
  fields[#fields + 1] = ARGV[8]
  redis.call('ZADD', KEYS[7], ARGV[8], ARGV[1])
end
if held then
  fields[#fields + 1] = 'a'
  fields[#fields + 1] = ARGV[13]
  redis.call('ZADD', KEYS[10], ARGV[12], ARGV[1])
elseif later then
  redis.call('ZADD', KEYS[5], ARGV[7], ARGV[1])
end
for i = 14, #ARGV, 4 do
  local state, sequence = 'X', '0'
  if ARGV[i + 2] ~= '' then
    state = 'A'
    fields[#fields + 1] = 'd:' .. ARGV[i]
    fields[#fields + 1] = ARGV[i + 3]
    if later then
      redis.call('HINCRBY', KEYS[6], ARGV[i], 1)
      fields[#fields + 1] = 'o:' .. ARGV[i]
      fields[#fields + 1] = ARGV[i + 2]
    else
      sequence = string.format('%d', redis.call('HINCRBY', KEYS[4], ARGV[i], 1))
      redis.call('XADD', KEYS[outbox], sequence .. '-1', 'c', ARGV[1], 'o', '{"sequence":' .. sequence .. ',' .. ARGV[i + 2])
      outbox = outbox + 1
      -- Whoever empties an outbox goes on until it is empty, and is told when it is so no longer.
      if was_empty[outbox - 11] then woken[#woken + 1] = ARGV[i] end
    end
  end
  fields[#fields + 1] = 's:' .. ARGV[i]
  fields[#fields + 1] = state .. ' 1 ' .. ARGV[4] .. ' ' .. sequence
  fields[#fields + 1] = 'x:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('ZADD', KEYS[3], 0, ARGV[1])
redis.call('XADD', KEYS[9], '*', 'r', ARGV[11])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
if #woken > 0 then redis.call('PUBLISH', ARGV[6], table.concat(woken, ' ')) end
return {'accepted', ''}
"#;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk.
    New,
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

/// What may be in a shard.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What may wait for one participant, and once more what may be scheduled for it.
    pub outbox: u64,
    /// Commands of the originator that have not settled.
    pub open: u64,
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
            .key(self.keys.commands(shard, &command.originator))
            .key(self.keys.sequences(shard))
            .key(self.keys.scheduled(shard))
            .key(self.keys.scheduled_counts(shard))
            .key(self.keys.expiring(shard))
            .key(self.keys.open(shard))
            .key(self.keys.audit(shard))
            .key(self.keys.approvals(shard));
        let kept = request.map_or_else(String::new, |_| request::record(&digest, command));
        call.arg(command.id.to_string())
            .arg(kept)
            .arg(body)
            .arg(command.accepted_at.as_millis());
        call.arg(bounds.outbox).arg(self.keys.wake(shard));
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
        let (mut sent, probes) = (Vec::new(), Probes::of(command));
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
            call.arg(execution.participant.as_str())
                .arg(plan_record(execution)?)
                .arg(&tail)
                .arg(told(command, &tail));
        }
        let (answer, detail) = self.accepts.run(shard, call).await?;
        match answer.as_str() {
            "accepted" => Ok(Accepted::New),
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

/// Whether it waited for its time when it was accepted: a moment that had passed is no reason to wait.
pub(super) fn is_scheduled(command: &Command) -> bool {
    command
        .not_before
        .is_some_and(|moment| moment > command.accepted_at)
}

/// What is asked for of a second person; empty where nobody need approve.
fn asked(planned: &Planned) -> Result<String, StoreError> {
    let Some(until) = planned.approve_until else {
        return Ok(String::new());
    };
    let asked = ApprovalAsked {
        submitted_by: planned.submitted_by.clone(),
        until,
        given: None,
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
