//! The outbox of one participant in one shard: who may empty it, what is next, what has gone.
//!
//! Invariant: an entry stays until RabbitMQ has confirmed it. What is asked to be left lies beside the stream and not in
//! it: it overtakes the executions that the window holds back, and sequences have no gaps.
//! Not here: how entries become `dispatched` (`mark`, `accept_script`).

use std::{collections::BTreeSet, time::Duration};

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

/// KEYS: outbox, unreported, cancels, sequences. ARGV: most entries, most bytes, window, participant, how many of the following are
/// sequences, then the sequences and the cancelled commands that are gone.
/// Answers 0 (there is no more), 1 (the window holds entries back) or 2 (there may be more), the last sequence that was given, how many
/// cancels there are, these, and then sequence, command and order of each entry. An entry that was marked before counts as out
/// already, so it needs no room; nor does one that has ended.
pub(super) const NEXT: &str = r"
local sequences = tonumber(ARGV[5])
for from = 6, sequences + 5, 1000 do
  local gone = {}
  for i = from, math.min(from + 999, sequences + 5) do gone[#gone + 1] = ARGV[i] .. '-1' end
  redis.call('XDEL', KEYS[1], unpack(gone))
end
for i = sequences + 6, #ARGV do redis.call('ZREM', KEYS[3], ARGV[i]) end
local most, bytes, from, count = tonumber(ARGV[1]), 0, '-', 0
local answer = {'0', '0', '0'}
if most == 0 then return answer end
answer[2] = redis.call('HGET', KEYS[4], ARGV[4]) or '0'
for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, most - 1)) do answer[#answer + 1] = id end
answer[3] = tostring(#answer - 3)
local room = tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[2])
while count < most do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(50, most - count))
  if #page == 0 then return answer end
  for _, entry in ipairs(page) do
    local command, order = entry[2][2], entry[2][4]
    -- Which of them was marked before is asked only where the window may be full.
    local fresh = room >= most or not redis.call('ZSCORE', KEYS[2], command)
    -- One that has ended needs no room either, and must not hold back what is out behind it and was lost on its way.
    if fresh and room <= 0 then
      local shard, participant = string.match(KEYS[1], '^(.*)outbox:([^:]+)$')
      local record = redis.call('HGET', shard .. 'command:' .. command, 's:' .. participant)
      fresh = string.match(record or '', '^A ') ~= nil
    end
    if fresh and room <= 0 then
      answer[1] = '1'
      return answer
    end
    bytes = bytes + #order
    if bytes > tonumber(ARGV[2]) and count > 0 then
      answer[1] = '2'
      return answer
    end
    if fresh then room = room - 1 end
    count = count + 1
    answer[#answer + 1] = string.match(entry[1], '^(%d+)')
    answer[#answer + 1] = command
    answer[#answer + 1] = order
    from = '(' .. entry[1]
  end
end
answer[1] = '2'
return answer
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
pub struct Lease(pub(super) String);

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
    /// Commands whose execution was sent and is to be left; as many as a batch may have entries.
    pub cancels: Vec<CommandId>,
    /// Whether more would be there if less were out.
    pub held_back: bool,
    /// How far it reaches.
    pub reach: Reach,
}

/// How far what was read of an outbox reaches.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Whether it was all that waited.
    pub is_all: bool,
    /// The last sequence that had been given by then.
    pub given: u64,
}

/// What need not be sent any more: it was confirmed, or has ended.
#[derive(Debug, Default)]
pub struct Gone {
    /// The sequences of entries.
    pub sequences: Vec<u64>,
    /// The commands of [`Batch::cancels`].
    pub cancels: Vec<CommandId>,
}

impl Gone {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.cancels.is_empty()
    }
}

/// How full a lane is.
#[derive(Debug, Clone, Copy)]
pub struct OutboxState {
    /// Entries that wait.
    pub waiting: u64,
    /// Executions that are out and have not been reported.
    pub unreported: u64,
    /// Executions that wait for their time.
    pub scheduled: u64,
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

    /// Removes what is gone, and reads what may be sent next, oldest first.
    pub async fn next_entries(
        &self,
        lane: &Lane,
        gone: &Gone,
        limits: BatchLimits,
    ) -> Result<Batch, StoreError> {
        let mut call = self.scripts.next.prepare_invoke();
        call.key(self.keys.outbox(lane.shard, &lane.participant))
            .key(self.keys.unreported(lane.shard, &lane.participant))
            .key(self.keys.cancels(lane.shard, &lane.participant))
            .key(self.keys.sequences(lane.shard));
        call.arg(limits.entries)
            .arg(limits.bytes)
            .arg(limits.window)
            .arg(lane.participant.as_str())
            .arg(gone.sequences.len())
            .arg(&gone.sequences);
        for command in &gone.cancels {
            call.arg(command.to_string());
        }
        read_batch(self.redis.script(&call).await?)
    }

    /// Removes what is gone, and reads nothing.
    pub async fn forget_entries(&self, lane: &Lane, gone: &Gone) -> Result<(), StoreError> {
        let nothing = BatchLimits {
            entries: 0,
            bytes: 0,
            window: 0,
        };
        self.next_entries(lane, gone, nothing).await.map(|_| ())
    }

    /// Everybody who was ever told something in this shard, or is to be.
    pub async fn told_in(&self, shard: Shard) -> Result<BTreeSet<ParticipantId>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline
            .hkeys(self.keys.sequences(shard))
            .hkeys(self.keys.scheduled_counts(shard));
        let names: [Vec<String>; 2] = self.redis.pipeline(&pipeline).await?;
        let ids = names.iter().flatten().map(|name| {
            name.parse()
                .map_err(|_| StoreError::lacking("a participant's id"))
        });
        ids.collect()
    }

    /// How full a lane is.
    pub async fn outbox_state(&self, lane: &Lane) -> Result<OutboxState, StoreError> {
        let outbox = self.keys.outbox(lane.shard, &lane.participant);
        let mut pipeline = redis::pipe();
        pipeline
            .xlen(&outbox)
            .zcard(self.keys.unreported(lane.shard, &lane.participant))
            .xrange_count(&outbox, "-", "+", 1)
            .hget(
                self.keys.scheduled_counts(lane.shard),
                lane.participant.as_str(),
            );
        let (waiting, unreported, first, scheduled): (u64, u64, StreamRangeReply, Option<u64>) =
            self.redis.pipeline(&pipeline).await?;
        let command = first.ids.first().and_then(|entry| entry.get::<String>("c"));
        let command = command.and_then(|text| text.parse().ok());
        Ok(OutboxState {
            waiting,
            unreported,
            scheduled: scheduled.unwrap_or_default(),
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

fn read_batch(answer: Vec<String>) -> Result<Batch, StoreError> {
    let lacking = || StoreError::lacking("the answer of an outbox");
    let mut words = answer.into_iter();
    let mut word = || words.next().ok_or_else(lacking);
    let (end, given, count) = (word()?, word()?, word()?);
    let given = given.parse().map_err(|_| lacking())?;
    let count = count.parse().map_err(|_| lacking())?;
    let cancels = words.by_ref().take(count);
    let cancels = cancels.map(|id| id.parse().map_err(|_| lacking()));
    let cancels = cancels.collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::with_capacity(words.len() / 3);
    while let (Some(sequence), Some(command), Some(order)) =
        (words.next(), words.next(), words.next())
    {
        let command = command.parse().map_err(|_| lacking())?;
        let sequence = sequence.parse().map_err(|_| lacking())?;
        entries.push(read_entry(sequence, command, &order)?);
    }
    Ok(Batch {
        entries,
        cancels,
        held_back: end == "1",
        reach: Reach {
            is_all: end == "0",
            given,
        },
    })
}

/// An order as it is kept has everything but its first member.
pub(super) fn read_entry(
    sequence: u64,
    command: CommandId,
    order: &str,
) -> Result<Entry, StoreError> {
    let order = RawValue::from_string(format!("{{\"sequence\":{sequence},{order}"));
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
