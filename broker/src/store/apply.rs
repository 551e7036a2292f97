//! Applying what is known of executions: reports, silence, expiry. One call for a batch of one participant.
//!
//! Invariant: the table of the state machine decides, so a repeated or late event changes nothing that it may not; a
//! command whose last execution settled is noted for deletion in the same call.

use std::time::Duration;

use domain::{CommandId, Event, Fault, ParticipantId, ServerResult, Timestamp, receipt::Receipt};
use serde::{Deserialize, Serialize};

use super::{Shard, Store, StoreError, outbox::millis, transitions};

/// KEYS: unreported, retire, expiring, receipts, then a command for each event. ARGV: participant, now, retention in ms,
/// deadline of a running job, changes channel, whether there are receipts (1 or 0), then for each event: event, report, and where
/// there are receipts its own (empty without).
/// Answers a letter for each: `u` (there is no such execution), `-` (it stayed), `m` (it moved), or `s` when it moved and had not
/// been settled before.
pub(super) const SCRIPT: &str = r"
local participant, now, running, answers, changed, receipts = ARGV[1], ARGV[2], ARGV[4], {}, {}, {}
local with_receipts = ARGV[6] == '1'
local width, report_field, plan_field = with_receipts and 3 or 2, 'r:' .. participant, 'x:' .. participant
-- Whose silence is to end later, and of whom nothing is awaited any more: nobody comes back from there.
local awaited, is_awaited, heard = {}, {}, {}
local function await(id)
  awaited[#awaited + 1] = running
  awaited[#awaited + 1] = id
  is_awaited[id] = true
end
for n = 1, #KEYS - 4 do
  local key, at = KEYS[n + 4], 7 + (n - 1) * width
  local id, event, report, receipt = string.sub(key, -36), ARGV[at], ARGV[at + 1], with_receipts and ARGV[at + 2] or ''
  -- What the order was stands in front of what its participant says that it was.
  local one = look(key, participant, receipt ~= '' and plan_field or nil)
  local code = one.code
  if not code then
    answers[n] = 'u'
    heard[#heard + 1] = id
  else
    local after, open
    if report ~= '' then
      after, open = move(one, event, now, report_field, report)
    else
      after, open = move(one, event, now)
    end
    if after then
      changed[#changed + 1] = id
      -- Chained away from this road.
      if one.more and settled[after] then receipts[#receipts + 1] = string.match(one.more, '^%S+ %S+ ') .. receipt end
      if open then
        heard[#heard + 1] = id
        if open <= 0 then ended(one, id) end
      elseif not settled[after] then
        await(id)
      end
      answers[n] = open and 's' or 'm'
    else
      -- A running job that says so again has more time; what has settled waits for nothing.
      if code == 'R' and event == 'R' and (is_awaited[id] or call('ZSCORE', KEYS[1], id)) then await(id) end
      if settled[code] then heard[#heard + 1] = id end
      answers[n] = '-'
    end
  end
end
on_all('ZADD', KEYS[1], awaited)
on_all('ZREM', KEYS[1], heard)
on_all('RPUSH', KEYS[4], receipts)
note_ended(KEYS[2], KEYS[3], now + ARGV[3])
if #changed > 0 then call('PUBLISH', ARGV[5], table.concat(changed, ' ')) end
return table.concat(answers)
";

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The execution moved, and has ended with that.
    Settled,
    /// The execution moved.
    Moved,
    /// It stays as it was: the event was a repetition, or too late.
    Stayed,
    /// The store knows no such execution.
    Unknown,
}

/// What happened to one execution of a participant.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of which command.
    pub command: CommandId,
    /// What happened.
    pub event: Event,
    /// Server by server.
    pub results: Vec<ServerResult>,
    /// Its participant's receipt.
    pub receipt: Option<Receipt>,
}

/// What is kept of a report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ReportRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Fault>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<ServerResult>,
}

/// When things end.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a settled command is kept.
    pub retention: Duration,
    /// By when a running job must be reported on.
    pub running_until: Timestamp,
}

impl Store {
    /// Applies events of one participant to commands of one shard, in order.
    pub async fn apply(
        &self,
        shard: Shard,
        participant: &ParticipantId,
        outcomes: &[Outcome],
        now: Timestamp,
        terms: Terms,
    ) -> Result<Vec<Applied>, StoreError> {
        let mut call = self.scripts.apply.prepare_invoke();
        call.key(self.keys.unreported(shard, participant))
            .key(self.keys.retire(shard))
            .key(self.keys.expiring(shard))
            .key(self.keys.receipts(shard));
        call.arg(participant.as_str())
            .arg(now.as_millis())
            .arg(millis(terms.retention));
        call.arg(terms.running_until.as_millis())
            .arg(self.keys.changes(shard));
        let with_receipts = outcomes.iter().any(|outcome| outcome.receipt.is_some());
        call.arg(u8::from(with_receipts));
        for outcome in outcomes {
            call.key(self.keys.command(shard, outcome.command));
            call.arg(transitions::event_code(&outcome.event))
                .arg(report_record(outcome)?);
            if with_receipts {
                call.arg(receipt_record(outcome)?);
            }
        }
        let answers: String = self.redis.script(&call).await?;
        Ok(answers.bytes().map(read_answer).collect())
    }

    /// Commands of a participant whose deadline has passed without a report, at most `count`.
    pub async fn overdue(
        &self,
        shard: Shard,
        participant: &ParticipantId,
        now: Timestamp,
        count: isize,
    ) -> Result<Vec<CommandId>, StoreError> {
        let key = self.keys.unreported(shard, participant);
        let due = redis::Cmd::zrangebyscore_limit(key, "-inf", now.as_millis(), 0, count);
        let ids: Vec<String> = self.redis.command(&due).await?;
        let read = |id: &String| {
            id.parse()
                .map_err(|_| StoreError::lacking("an unreported command's id"))
        };
        ids.iter().map(read).collect()
    }
}

fn read_answer(letter: u8) -> Applied {
    match letter {
        b's' => Applied::Settled,
        b'm' => Applied::Moved,
        b'-' => Applied::Stayed,
        _ => Applied::Unknown,
    }
}

fn receipt_record(outcome: &Outcome) -> Result<String, StoreError> {
    let Some(receipt) = &outcome.receipt else {
        return Ok(String::new());
    };
    serde_json::to_string(receipt).map_err(|error| StoreError::unreadable("a receipt", error))
}

fn report_record(outcome: &Outcome) -> Result<String, StoreError> {
    let fault = match &outcome.event {
        Event::Failed(fault) => Some(fault.clone()),
        _ => None,
    };
    if fault.is_none() && outcome.results.is_empty() {
        return Ok(String::new());
    }
    let record = ReportRecord {
        fault,
        results: outcome.results.clone(),
    };
    serde_json::to_string(&record).map_err(|error| StoreError::unreadable("a report", error))
}
