//! Accepting a command: idempotency key, command, executions and outbox entries in one atomic call.
//!
//! Invariant: when this returns `Accepted`, Redis has it all on disk (`appendfsync always`); when it fails, nothing
//! of it exists, or all of it and the same request id finds it.

use amqp::envelope::{NativeOrder, Order};
use domain::{
    Command, CommandId, ConfigurationId, ExecutionId, Fidelity, ParticipantId, ServerId, Timestamp,
    limits,
};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, keys::stable_hash};
use crate::translate::{Planned, PlannedExecution};

/// KEYS: command, request, index, sequences, then an outbox for each execution that is sent.
/// ARGV: id, digest (empty without a request id), body, now, outbox limit, wake channel, then for each execution:
/// participant, plan, order without its first member (empty when it is not sent).
pub(super) const SCRIPT: &str = r#"
if ARGV[2] ~= '' then
  local known = redis.call('GET', KEYS[2])
  if known then return {'known', known} end
end
for i = 5, #KEYS do
  if redis.call('XLEN', KEYS[i]) >= tonumber(ARGV[5]) then return {'full', tostring(i - 5)} end
end
local fields, woken, outbox = {'body', ARGV[3], 'revision', 1, 'open', #KEYS - 4}, {}, 5
for i = 7, #ARGV, 3 do
  local state, sequence = 'X', 0
  if ARGV[i + 2] ~= '' then
    state = 'A'
    sequence = redis.call('HINCRBY', KEYS[4], ARGV[i], 1)
    redis.call('XADD', KEYS[outbox], sequence .. '-1', 'c', ARGV[1], 'o', '{"sequence":' .. sequence .. ',' .. ARGV[i + 2])
    outbox = outbox + 1
    woken[#woken + 1] = ARGV[i]
  end
  fields[#fields + 1] = 's:' .. ARGV[i]
  fields[#fields + 1] = state .. ' 1 ' .. ARGV[4] .. ' ' .. sequence
  fields[#fields + 1] = 'x:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('ZADD', KEYS[3], 0, ARGV[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[1]) end
redis.call('PUBLISH', ARGV[6], table.concat(woken, ' '))
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
    operation: &'a str,
    repeatable: bool,
    accepted_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    native: &'a [NativeOrder],
}

impl Store {
    /// Accepts; `outbox_limit` bounds what may wait for one participant.
    pub async fn accept(
        &self,
        planned: &Planned,
        outbox_limit: u64,
    ) -> Result<Accepted, StoreError> {
        let command = &planned.command;
        let shard = self.keys.shard_of(&command.configuration);
        let key = self.keys.command(shard, command.id);
        let request = command
            .request_id
            .map(|id| self.keys.request(shard, &command.originator, id));
        let digest = if request.is_some() {
            digest(command)?
        } else {
            String::new()
        };
        let body = serde_json::to_string(command)
            .map_err(|error| StoreError::unreadable("a command", error))?;
        let mut call = self.scripts.accept.prepare_invoke();
        call.key(&key)
            .key(request.as_ref().unwrap_or(&key))
            .key(self.keys.commands(shard, &command.originator));
        call.key(self.keys.sequences(shard));
        call.arg(command.id.to_string())
            .arg(&digest)
            .arg(body)
            .arg(command.accepted_at.as_millis());
        call.arg(outbox_limit).arg(self.keys.wake(shard));
        let mut sent = Vec::new();
        for execution in &planned.executions {
            let tail = match order_tail(command, execution)? {
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
                .arg(tail);
        }
        let (answer, detail): (String, String) = self.redis.script(&call).await?;
        read_answer(&answer, &detail, &digest, &sent)
    }
}

fn read_answer(
    answer: &str,
    detail: &str,
    digest: &str,
    sent: &[&ParticipantId],
) -> Result<Accepted, StoreError> {
    match answer {
        "accepted" => Ok(Accepted::New),
        "known" => match detail.split_once(' ') {
            Some((before, id)) if before == digest => id
                .parse()
                .map(Accepted::Before)
                .map_err(|_| StoreError::lacking("a request's command id")),
            _ => Ok(Accepted::Conflict),
        },
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

/// What makes two requests the same: all but the command's id, its time and its trace.
fn digest(command: &Command) -> Result<String, StoreError> {
    let same = (
        &command.configuration,
        &command.operation,
        &command.selectors,
        &command.scope,
    );
    let more = (&command.ceiling, &command.when_impossible);
    let text = serde_json::to_vec(&(same, more))
        .map_err(|error| StoreError::unreadable("a command", error))?;
    Ok(format!("{:016x}{:x}", stable_hash(&text), text.len()))
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
fn order_tail(command: &Command, execution: &PlannedExecution) -> Result<Tail, StoreError> {
    if execution.native.is_empty() {
        return Ok(Tail::NotSent);
    }
    let tail = OrderTail {
        execution: ExecutionId {
            command: command.id,
            participant: execution.participant.clone(),
        },
        configuration: &command.configuration,
        operation: command.operation.name(),
        repeatable: command.operation.is_repeatable(),
        accepted_at: command.accepted_at,
        traceparent: command.traceparent.as_deref(),
        native: &execution.native,
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
