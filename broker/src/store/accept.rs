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

/// For each call, keys: command, request, index, sequences, scheduled, scheduled-counts, expiring, open, audit, approvals, then an outbox for
/// each execution that is sent. Arguments: id, what is kept of the request (empty without a request id), body, now, limit, wake
/// channel, the moment before which nobody is told, the one at which it expires (both empty without), originator, how many of
/// its commands may be open, audit record, by when a second person must have approved it, what is asked for of that one (both
/// empty where nobody need), then for each execution: participant, plan, order without its first member, what it tells (both
/// empty when it is not sent).
///
/// What many of them need is read and written once for all: decided is first, then all is counted, and then all is written, so
/// that no number is ever given twice.
pub(super) const SCRIPT: &str = r#"
-- What was read once, and has grown since.
local function count_of(counts, name, ...)
  if not counts[name] then counts[name] = tonumber(redis.call(...) or 0) end
  return counts[name]
end
local function text(number) return string.format('%d', number) end
local function add(list, one, other)
  list[#list + 1] = one
  list[#list + 1] = other
end
local function of(lists, key)
  lists[key] = lists[key] or {}
  return lists[key]
end

-- For its time, or for a second person.
local function waits(arguments) return arguments[7] ~= '' or arguments[12] ~= '' end

local requests, waiting, scheduled, sequences, open, woken = {}, {}, {}, {}, {}, {}
local function decide(keys, arguments)
  if arguments[2] ~= '' then
    local known = requests[keys[2]] or redis.call('GET', keys[2])
    if known then return 'known', known end
  end
  local later, limit, by, outbox, sent = waits(arguments), tonumber(arguments[5]), arguments[9], 10, {}
  for at = 14, #arguments, 4 do
    if arguments[at + 2] ~= '' then
      local participant, before = arguments[at], nil
      outbox = outbox + 1
      if later then
        before = count_of(scheduled, participant, 'HGET', keys[6], participant)
      else
        before = count_of(waiting, keys[outbox], 'XLEN', keys[outbox])
      end
      if before >= limit then return 'full', text(#sent) end
      sent[#sent + 1] = {participant, keys[outbox]}
    end
  end
  if #sent > 0 then
    local before = count_of(open, by, 'HGET', keys[8], by)
    if before >= tonumber(arguments[10]) then return 'busy', '' end
    open[by] = before + 1
  end
  local numbers = {}
  for n, one in ipairs(sent) do
    local participant, outbox = one[1], one[2]
    if later then
      scheduled[participant] = scheduled[participant] + 1
    else
      -- Whoever empties an outbox goes on until it is empty, and is told when it is so no longer.
      if waiting[outbox] == 0 then woken[#woken + 1] = participant end
      waiting[outbox] = waiting[outbox] + 1
      numbers[n] = count_of(sequences, participant, 'HGET', keys[4], participant) + 1
      sequences[participant] = numbers[n]
    end
  end
  if arguments[2] ~= '' then requests[keys[2]] = arguments[2] end
  return 'accepted', '', numbers
end

local answers, accepted = {}, {}
for n, call in ipairs(calls) do
  local word, detail, numbers = decide(call.keys, call.arguments)
  add(answers, word, detail)
  if numbers then accepted[#accepted + 1] = {call.keys, call.arguments, numbers} end
end
if #accepted == 0 then return answers end

local function set_all(key, counts)
  local list = {}
  for name, count in pairs(counts) do add(list, name, text(count)) end
  on_all('HSET', key, list)
end
local common = accepted[1][1]
set_all(common[4], sequences)
set_all(common[6], scheduled)
set_all(common[8], open)

local indexes, due, approvals, expiring = {}, {}, {}, {}
for _, one in ipairs(accepted) do
  local keys, arguments, numbers = one[1], one[2], one[3]
  local id, later, sent = arguments[1], waits(arguments), 0
  local fields = {'body', arguments[3], 'revision', '1'}
  for at = 14, #arguments, 4 do
    local participant, state, sequence = arguments[at], 'X', '0'
    if arguments[at + 2] ~= '' then
      state, sent = 'A', sent + 1
      add(fields, 'd:' .. participant, arguments[at + 3])
      if later then
        add(fields, 'o:' .. participant, arguments[at + 2])
      else
        sequence = text(numbers[sent])
        redis.call('XADD', keys[10 + sent], sequence .. '-1', 'c', id, 'o', '{"sequence":' .. sequence .. ',' .. arguments[at + 2])
      end
    end
    add(fields, 's:' .. participant, state .. ' 1 ' .. arguments[4] .. ' ' .. sequence)
    add(fields, 'x:' .. participant, arguments[at + 1])
  end
  add(fields, 'open', text(sent))
  add(fields, 'by', arguments[9])
  if arguments[8] ~= '' then
    add(fields, 'expires', arguments[8])
    add(expiring, arguments[8], id)
  end
  if arguments[12] ~= '' then
    add(fields, 'a', arguments[13])
    add(approvals, arguments[12], id)
  elseif later then
    add(due, arguments[7], id)
  end
  on_all('HSET', keys[1], fields)
  add(of(indexes, keys[3]), '0', id)
  redis.call('XADD', keys[9], '*', 'r', arguments[11])
  if arguments[2] ~= '' then redis.call('SET', keys[2], arguments[2]) end
end
for index, ids in pairs(indexes) do on_all('ZADD', index, ids) end
on_all('ZADD', common[5], due)
on_all('ZADD', common[10], approvals)
on_all('ZADD', common[7], expiring)
if #woken > 0 then redis.call('PUBLISH', accepted[1][2][6], table.concat(woken, ' ')) end
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
