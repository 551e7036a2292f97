//! Marking entries of an outbox as dispatched, right before they are sent.
//!
//! Invariant: only the holder of the lease changes an execution to `dispatched`, and it does so before it sends: an
//! execution that is still `accepted` has never been sent, so a cancel of it is certain, and one whose time is over by
//! then is never sent.

use std::time::Duration;

use domain::Timestamp;

use super::{
    Store, StoreError,
    outbox::{Batch, Lane, Lease, millis},
};

/// KEYS: owner, unreported, retire, expiring, then a command for each entry and for each cancel. ARGV: lease, participant,
/// now, deadline, retention in ms, changes channel, how many entries, then the command ids.
/// Answers -1 when the lease is another's. Else for each entry 0 (it is not to be sent), 1 (send it), 2 (send it, but it may
/// have been sent before) or 3 (its time is over; it has ended with that), and for each cancel 0 (it has ended) or 1.
pub(super) const SCRIPT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
local participant, now, entries = ARGV[2], ARGV[3], tonumber(ARGV[7])
local flags, changed = {}, {}
for n = 1, #KEYS - 4 do
  local key, id = KEYS[n + 4], ARGV[n + 7]
  local code = standing(key, participant)
  local flag = 0
  if n > entries then
    -- An adapter of which nothing was heard in time may still begin it.
    if code and (code == 'N' or not settled[code]) then flag = 1 end
  elseif code then
    local event = 'S'
    if code == 'A' then
      local expires = redis.call('HGET', key, 'expires')
      if expires and tonumber(expires) <= tonumber(now) then event = 'E' end
    end
    local after = move(key, participant, event, now)
    if after then changed[#changed + 1] = id end
    if after and settled[after] then
      ended(key, id, KEYS[3], KEYS[4], now + ARGV[5])
      flag = 3
    elseif after or code == 'S' then
      -- The deadline counts from the first attempt: silence ends even while RabbitMQ is away. What is `unanswered` by then
      -- is sent all the same, and a late report replaces silence.
      redis.call('ZADD', KEYS[2], 'NX', ARGV[4], id)
      flag = after and 1 or 2
    elseif code == 'N' then
      flag = 2
    end
    -- Absorbed in a message that was not confirmed, and now it goes itself.
    if flag == 2 then redis.call('HDEL', key, 'b:' .. participant) end
  end
  flags[n] = flag
end
if #changed > 0 then redis.call('PUBLISH', ARGV[6], table.concat(changed, ' ')) end
return flags
";

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Send it.
    Send,
    /// Send it, and say that it may have been sent before.
    SendAgain,
    /// It had ended before.
    Drop,
    /// Its time was over while it waited: it has ended as `expired`, and is not sent.
    Expired,
}

impl From<i64> for Mark {
    fn from(flag: i64) -> Self {
        match flag {
            1 => Self::Send,
            2 => Self::SendAgain,
            3 => Self::Expired,
            _ => Self::Drop,
        }
    }
}

/// What to do with a batch.
#[derive(Debug)]
pub struct Marks {
    /// For each entry.
    pub entries: Vec<Mark>,
    /// For each cancel whether it still matters.
    pub cancels: Vec<bool>,
}

/// When a batch is marked, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub struct Marking {
    /// The moment.
    pub now: Timestamp,
    /// By when it must be reported on.
    pub deadline: Timestamp,
    /// How long a settled command is kept.
    pub retention: Duration,
}

impl Store {
    /// Marks the entries of a batch as dispatched, before they are sent. `None` when the lease is another's.
    pub async fn mark_dispatched(
        &self,
        lane: &Lane,
        lease: &Lease,
        batch: &Batch,
        marking: Marking,
    ) -> Result<Option<Marks>, StoreError> {
        let mut call = self.scripts.mark.prepare_invoke();
        call.key(self.keys.owner(lane.shard, &lane.participant))
            .key(self.keys.unreported(lane.shard, &lane.participant))
            .key(self.keys.retire(lane.shard))
            .key(self.keys.expiring(lane.shard));
        call.arg(&lease.0)
            .arg(lane.participant.as_str())
            .arg(marking.now.as_millis())
            .arg(marking.deadline.as_millis())
            .arg(millis(marking.retention));
        call.arg(self.keys.changes(lane.shard))
            .arg(batch.entries.len());
        let entries = batch.entries.iter().map(|entry| entry.command);
        for command in entries.chain(batch.cancels.iter().copied()) {
            call.key(self.keys.command(lane.shard, command))
                .arg(command.to_string());
        }
        let flags: Vec<i64> = self.redis.script(&call).await?;
        Ok((flags != [-1]).then(|| read_marks(&flags, batch.entries.len())))
    }
}

fn read_marks(flags: &[i64], entries: usize) -> Marks {
    Marks {
        entries: flags
            .iter()
            .take(entries)
            .copied()
            .map(Mark::from)
            .collect(),
        cancels: flags.iter().skip(entries).map(|flag| *flag == 1).collect(),
    }
}
