//! The outbox of one participant in one shard: who may empty it, what is next, what has gone.
//!
//! Invariant: only the holder of the lease changes an execution to `dispatched`, and it does so before it sends: an
//! execution that is still `accepted` has never been sent, so a cancel of it is certain. An entry stays until RabbitMQ
//! has confirmed it.

use std::time::Duration;

use domain::{CommandId, ParticipantId, Timestamp};
use redis::streams::StreamRangeReply;
use serde_json::value::RawValue;

use super::{Shard, Store, StoreError};

/// KEYS: owner, fences. ARGV: replica, time to live in ms, participant. Answers the lease, or nothing.
pub(super) const OWN: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder then
  if string.match(holder, '^(%S+) ') ~= ARGV[1] then return false end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return holder
end
local lease = ARGV[1] .. ' ' .. redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
";

/// KEYS: owner. ARGV: lease.
pub(super) const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// KEYS: owner, unreported, then a command for each entry. ARGV: lease, participant, now, deadline, changes channel, then
/// the command ids. Answers -1 when the lease is another's, else for each entry 1 (send it) or 0 (it is not to be sent).
pub(super) const MARK: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
local field, flags, changed = 's:' .. ARGV[2], {}, {}
for i = 3, #KEYS do
  local id = ARGV[i + 3]
  local code, sequence = nil, nil
  local record = redis.call('HGET', KEYS[i], field)
  if record then code, sequence = string.match(record, '^(%S+) %S+ %S+ (%S+)$') end
  local after = code and next_state[code .. ' S']
  if after then
    local revision = redis.call('HINCRBY', KEYS[i], 'revision', 1)
    redis.call('HSET', KEYS[i], field, after .. ' ' .. revision .. ' ' .. ARGV[3] .. ' ' .. sequence)
    changed[#changed + 1] = id
  end
  if after or code == 'S' then redis.call('ZADD', KEYS[2], ARGV[4], id) end
  -- Silence may have been declared while it waited here; it is sent all the same, and a late report replaces silence.
  flags[i - 2] = (after or code == 'S' or code == 'N') and 1 or 0
end
if #changed > 0 then redis.call('PUBLISH', ARGV[5], table.concat(changed, ' ')) end
return flags
";

/// What one replica owns at a time: the outbox of one participant in one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// Which shard.
    pub shard: Shard,
    /// Whose outbox.
    pub participant: ParticipantId,
}

/// The right to empty a lane: the replica's name and a fencing token that only grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease(String);

/// One order that waits.
#[derive(Debug)]
pub struct Entry {
    /// The participant's count of executions, and the entry's place in the outbox.
    pub sequence: u64,
    /// Of which command.
    pub command: CommandId,
    /// An [`amqp::envelope::Order`].
    pub order: Box<RawValue>,
}

/// How full a lane is.
#[derive(Debug, Clone, Copy)]
pub struct OutboxState {
    /// Entries that wait.
    pub waiting: u64,
    /// Executions that are out and have not been reported.
    pub unreported: u64,
    /// When the first entry was accepted.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// Takes or renews the lease; `None` when another replica has it.
    pub async fn own(
        &self,
        lane: &Lane,
        replica: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut call = self.scripts.own.prepare_invoke();
        call.key(self.keys.owner(lane.shard, &lane.participant))
            .key(self.keys.fences(lane.shard));
        call.arg(replica)
            .arg(millis(time_to_live))
            .arg(lane.participant.as_str());
        Ok(self.redis.script::<Option<String>>(&call).await?.map(Lease))
    }

    /// Gives the lease back, so that another replica need not wait for its end.
    pub async fn release(&self, lane: &Lane, lease: &Lease) -> Result<(), StoreError> {
        let mut call = self.scripts.release.prepare_invoke();
        call.key(self.keys.owner(lane.shard, &lane.participant))
            .arg(&lease.0);
        self.redis.script(&call).await
    }

    /// Removes what was sent or dropped, reads what waits, oldest first, and counts what is out without a report.
    pub async fn next_entries(
        &self,
        lane: &Lane,
        gone: &[u64],
        count: usize,
    ) -> Result<(Vec<Entry>, u64), StoreError> {
        let outbox = self.keys.outbox(lane.shard, &lane.participant);
        let mut pipeline = redis::pipe();
        if !gone.is_empty() {
            let ids = gone
                .iter()
                .map(|sequence| format!("{sequence}-1"))
                .collect::<Vec<_>>();
            pipeline.xdel(&outbox, &ids).ignore();
        }
        pipeline
            .xrange_count(&outbox, "-", "+", count)
            .zcard(self.keys.unreported(lane.shard, &lane.participant));
        let (range, unreported): (StreamRangeReply, u64) = self.redis.pipeline(&pipeline).await?;
        let entries = range.ids.iter().map(read_entry).collect::<Result<_, _>>()?;
        Ok((entries, unreported))
    }

    /// Marks entries as dispatched, before they are sent. For each the answer says whether it is to be sent; `None`
    /// when the lease is another's.
    pub async fn mark_dispatched(
        &self,
        lane: &Lane,
        lease: &Lease,
        entries: &[Entry],
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Option<Vec<bool>>, StoreError> {
        let mut call = self.scripts.mark.prepare_invoke();
        call.key(self.keys.owner(lane.shard, &lane.participant));
        call.key(self.keys.unreported(lane.shard, &lane.participant));
        call.arg(&lease.0)
            .arg(lane.participant.as_str())
            .arg(now.as_millis())
            .arg(deadline.as_millis());
        call.arg(self.keys.changes(lane.shard));
        for entry in entries {
            call.key(self.keys.command(lane.shard, entry.command))
                .arg(entry.command.to_string());
        }
        let flags: Vec<i64> = self.redis.script(&call).await?;
        Ok((flags != [-1]).then(|| flags.iter().map(|flag| *flag == 1).collect()))
    }

    /// How full a lane is.
    pub async fn outbox_state(&self, lane: &Lane) -> Result<OutboxState, StoreError> {
        let outbox = self.keys.outbox(lane.shard, &lane.participant);
        let mut pipeline = redis::pipe();
        pipeline
            .xlen(&outbox)
            .zcard(self.keys.unreported(lane.shard, &lane.participant))
            .xrange_count(&outbox, "-", "+", 1);
        let (waiting, unreported, first): (u64, u64, StreamRangeReply) =
            self.redis.pipeline(&pipeline).await?;
        let first = first.ids.first().map(read_entry).transpose()?;
        Ok(OutboxState {
            waiting,
            unreported,
            oldest: first.map(|entry| accepted_at(entry.command)),
        })
    }
}

/// When a command was accepted, to the millisecond: its id is a UUID of version 7 and says so.
pub fn accepted_at(id: CommandId) -> Timestamp {
    let (seconds, nanos) = id
        .as_uuid()
        .get_timestamp()
        .map_or((0, 0), |timestamp| timestamp.to_unix());
    Timestamp::from_millis(
        seconds
            .saturating_mul(1_000)
            .saturating_add(u64::from(nanos / 1_000_000)),
    )
}

fn read_entry(entry: &redis::streams::StreamId) -> Result<Entry, StoreError> {
    let lacking = || StoreError::lacking("an outbox entry");
    let sequence = entry
        .id
        .split('-')
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or_else(lacking)?;
    let command = entry
        .get::<String>("c")
        .and_then(|text| text.parse().ok())
        .ok_or_else(lacking)?;
    let order = entry.get::<String>("o").ok_or_else(lacking)?;
    let order = RawValue::from_string(order)
        .map_err(|error| StoreError::unreadable("an outbox entry", error))?;
    Ok(Entry {
        sequence,
        command,
        order,
    })
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
