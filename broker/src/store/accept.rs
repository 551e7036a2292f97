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
    ApprovalAsked, AuditRecord, Shard, Store, StoreError,
    gather::Call,
    request::{self, Requested},
};
use crate::translate::{Planned, PlannedExecution};

/// KEYS of all: sequences, scheduled, scheduled-counts, expiring, open, audit, approvals; of each call: command, request, index,
/// then an outbox for each execution that is sent. ARGV of all, from the third: how many may wait for a participant, wake channel; of each call:
/// id, what is kept of the request (empty without a request id), body, now, the moment before which nobody is told, the one at
/// which it expires (both empty without), originator, how many of its commands may be open, audit record, by when a second person
/// must have approved it, what is asked for of that one (both empty where nobody need), then for each execution: participant,
/// plan, order without its first member, what it tells (both empty when it is not sent).
///
/// What many of them need is read and written once for all: decided is first, then all is counted, and then all is written, so
/// that no number is ever given twice.
pub(super) const SCRIPT: &str = r#"
local limit = tonumber(ARGV[3])
-- What was read once, and has grown since.
local function count_of(counts, name, ...)
  local count = counts[name]
  if not count then
    count = tonumber(redis.call(...) or 0)
    counts[name] = count
  end
  return count
end
local function text(number) return string.format('%d', number) end
local function add(list, one, other)
  local length = #list
  list[length + 1] = one
  list[length + 2] = other
end
-- For its time, or for a second person.
local function waits(a) return ARGV[a + 5] ~= '' or ARGV[a + 10] ~= '' end

local requests, waiting, scheduled, sequences, open, woken = {}, {}, {}, {}, {}, {}
local function decide(call)
  local k, a = call.keys, call.arguments
  local request = ARGV[a + 2]
  if request ~= '' then
    local known = requests[KEYS[k + 2]] or redis.call('GET', KEYS[k + 2])
    if known then return 'known', known end
  end
  local later, by, outbox, sent = waits(a), ARGV[a + 7], k + 3, 0
  for at = a + 12, call.last, 4 do
    if ARGV[at + 2] ~= '' then
      outbox, sent = outbox + 1, sent + 1
      local before
      if later then
        before = count_of(scheduled, ARGV[at], 'HGET', KEYS[3], ARGV[at])
      else
        before = count_of(waiting, KEYS[outbox], 'XLEN', KEYS[outbox])
      end
      if before >= limit then return 'full', text(sent - 1) end
    end
  end
  if sent > 0 then
    local before = count_of(open, by, 'HGET', KEYS[5], by)
    if before >= tonumber(ARGV[a + 8]) then return 'busy', '' end
    open[by] = before + 1
  end
  local numbers = {}
  outbox = k + 3
  for at = a + 12, call.last, 4 do
    if ARGV[at + 2] ~= '' then
      local participant = ARGV[at]
      outbox = outbox + 1
      if later then
        scheduled[participant] = scheduled[participant] + 1
      else
        -- Whoever empties an outbox goes on until it is empty, and is told when it is so no longer.
        if waiting[KEYS[outbox]] == 0 then woken[#woken + 1] = participant end
        waiting[KEYS[outbox]] = waiting[KEYS[outbox]] + 1
        local number = count_of(sequences, participant, 'HGET', KEYS[1], participant) + 1
        sequences[participant] = number
        numbers[#numbers + 1] = text(number)
      end
    end
  end
  if request ~= '' then requests[KEYS[k + 2]] = request end
  call.numbers, call.sent = numbers, sent
  return 'accepted', ''
end

local answers, accepted = {}, {}
for _, call in ipairs(calls) do
  add(answers, decide(call))
  if call.numbers then accepted[#accepted + 1] = call end
end
if #accepted == 0 then return answers end

local function set_all(key, counts)
  local list = {}
  for name, count in pairs(counts) do add(list, name, text(count)) end
  on_all('HSET', key, list)
end
set_all(KEYS[1], sequences)
set_all(KEYS[3], scheduled)
set_all(KEYS[5], open)

local indexes, due, expiring, approvals = {}, {}, {}, {}
for _, call in ipairs(accepted) do
  local k, a, numbers, sent = call.keys, call.arguments, call.numbers, 0
  local id, later = ARGV[a + 1], waits(a)
  local fields = {'body', ARGV[a + 3], 'revision', '1', 'open', text(call.sent), 'by', ARGV[a + 7]}
  for at = a + 12, call.last, 4 do
    local participant, order, record = ARGV[at], ARGV[at + 2], 'X 1 ' .. ARGV[a + 4] .. ' 0'
    if order ~= '' then
      sent = sent + 1
      add(fields, 'd:' .. participant, ARGV[at + 3])
      local sequence = numbers[sent] or '0'
      record = 'A 1 ' .. ARGV[a + 4] .. ' ' .. sequence
      if later then
        add(fields, 'o:' .. participant, order)
      else
        redis.call('XADD', KEYS[k + 3 + sent], sequence .. '-1', 'c', id, 'o', '{"sequence":' .. sequence .. ',' .. order)
      end
    end
    add(fields, 's:' .. participant, record)
    add(fields, 'x:' .. participant, ARGV[at + 1])
  end
  if ARGV[a + 6] ~= '' then
    add(fields, 'expires', ARGV[a + 6])
    add(expiring, ARGV[a + 6], id)
  end
  if ARGV[a + 10] ~= '' then
    add(fields, 'a', ARGV[a + 11])
    add(approvals, ARGV[a + 10], id)
  elseif later then
    add(due, ARGV[a + 5], id)
  end
  on_all('HSET', KEYS[k + 1], fields)
  local index = KEYS[k + 3]
  indexes[index] = indexes[index] or {}
  add(indexes[index], '0', id)
  redis.call('XADD', KEYS[6], '*', 'r', ARGV[a + 9])
  if ARGV[a + 2] ~= '' then redis.call('SET', KEYS[k + 2], ARGV[a + 2]) end
end
for index, ids in pairs(indexes) do on_all('ZADD', index, ids) end
on_all('ZADD', KEYS[2], due)
on_all('ZADD', KEYS[4], expiring)
on_all('ZADD', KEYS[7], approvals)
if #woken > 0 then redis.call('PUBLISH', ARGV[4], table.concat(woken, ' ')) end
return answers
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
        let common = || self.common(shard, bounds);
        let (answer, detail) = self.accepts.run(shard, common, call).await?;
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
        common.arg(bounds.outbox).arg(self.keys.wake(shard));
        common
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
