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

/// KEYS: owner, fences. ARGV: holder, time to live in ms, participant. Answers the lease, or nothing.
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

/// KEYS: outbox, unreported. ARGV: most entries, most bytes, window, then the sequences that are gone.
/// Answers whether the window holds entries back, then sequence, command and order of each entry. An entry that was marked
/// before counts as out already, so it needs no room.
pub(super) const NEXT: &str = r"
for i = 4, #ARGV do redis.call('XDEL', KEYS[1], ARGV[i] .. '-1') end
local room = tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[2])
local most, bytes, from, count = tonumber(ARGV[1]), 0, '-', 0
local answer = {'0'}
while count < most do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(50, most - count))
  if #page == 0 then return answer end
  for _, entry in ipairs(page) do
    local command, order = entry[2][2], entry[2][4]
    local fresh = not redis.call('ZSCORE', KEYS[2], command)
    if fresh and room <= 0 then
      answer[1] = '1'
      return answer
    end
    bytes = bytes + #order
    if bytes > tonumber(ARGV[2]) and count > 0 then return answer end
    if fresh then room = room - 1 end
    count = count + 1
    answer[#answer + 1] = string.match(entry[1], '^(%d+)')
    answer[#answer + 1] = command
    answer[#answer + 1] = order
    from = '(' .. entry[1]
  end
end
return answer
";

/// KEYS: owner, unreported, then a command for each entry. ARGV: lease, participant, now, deadline, changes channel, then
/// the command ids. Answers -1 when the lease is another's, else for each entry 0 (it is not to be sent), 1 (send it) or
/// 2 (send it, but it may have been sent before).
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
  -- The deadline counts from the first attempt: silence ends even while RabbitMQ is away. What is `unanswered` by then is
  -- sent all the same, and a late report replaces silence.
  if after or code == 'S' then redis.call('ZADD', KEYS[2], 'NX', ARGV[4], id) end
  flags[i - 2] = after and 1 or ((code == 'S' or code == 'N') and 2 or 0)
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

/// The right to empty a lane: its holder's name and a fencing token that only grows.
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

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of their orders; the first is read whatever it has.
    pub bytes: usize,
    /// Executions that may be out without a report.
    pub window: u64,
}

/// What may be sent next.
#[derive(Debug)]
pub struct Batch {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Whether more would be there if less were out.
    pub held_back: bool,
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Send it.
    Send,
    /// Send it, and say that it may have been sent before.
    SendAgain,
    /// It has ended meanwhile.
    Drop,
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
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut call = self.scripts.own.prepare_invoke();
        call.key(self.keys.owner(lane.shard, &lane.participant))
            .key(self.keys.fences(lane.shard));
        call.arg(holder)
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

    /// Removes what was sent or dropped, and reads what may be sent next, oldest first.
    pub async fn next_entries(
        &self,
        lane: &Lane,
        gone: &[u64],
        limits: BatchLimits,
    ) -> Result<Batch, StoreError> {
        let mut call = self.scripts.next.prepare_invoke();
        call.key(self.keys.outbox(lane.shard, &lane.participant));
        call.key(self.keys.unreported(lane.shard, &lane.participant));
        call.arg(limits.entries)
            .arg(limits.bytes)
            .arg(limits.window)
            .arg(gone);
        let answer: Vec<String> = self.redis.script(&call).await?;
        let (held_back, entries) = answer
            .split_first()
            .ok_or_else(|| StoreError::lacking("the answer of an outbox"))?;
        let entries = entries
            .chunks_exact(3)
            .map(|entry| read_entry(&entry[0], &entry[1], &entry[2]));
        Ok(Batch {
            entries: entries.collect::<Result<_, _>>()?,
            held_back: held_back == "1",
        })
    }

    /// Marks entries as dispatched, before they are sent. For each the answer says what to do; `None` when the lease is
    /// another's.
    pub async fn mark_dispatched(
        &self,
        lane: &Lane,
        lease: &Lease,
        entries: &[Entry],
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Option<Vec<Mark>>, StoreError> {
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
        let mark = |flag: &i64| match flag {
            1 => Mark::Send,
            2 => Mark::SendAgain,
            _ => Mark::Drop,
        };
        Ok((flags != [-1]).then(|| flags.iter().map(mark).collect()))
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
        let command = first.ids.first().and_then(|entry| entry.get::<String>("c"));
        let command = command.and_then(|text| text.parse().ok());
        Ok(OutboxState {
            waiting,
            unreported,
            oldest: command.map(accepted_at),
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

fn read_entry(sequence: &str, command: &str, order: &str) -> Result<Entry, StoreError> {
    let lacking = || StoreError::lacking("an outbox entry");
    let sequence = sequence.parse().map_err(|_| lacking())?;
    let command = command.parse().map_err(|_| lacking())?;
    let order = RawValue::from_string(order.to_owned());
    let order = order.map_err(|error| StoreError::unreadable("an outbox entry", error))?;
    Ok(Entry {
        sequence,
        command,
        order,
    })
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
