//! Marking entries of an outbox as dispatched, right before they are sent. What is handed over was marked when it was accepted
//! (`accept_script`).
//!
//! Invariant: only under the lease of its lane an execution becomes `dispatched`, and that before it is sent: an
//! execution that is still `accepted` has never been sent, so a cancel of it is certain, and one whose time is over by
//! then is never sent.

use std::{collections::HashSet, time::Duration};

use domain::Timestamp;

use super::{
    AbsorbedEntry, Entry, Store, StoreError,
    outbox::{Batch, Lane, Lease, millis},
};

/// KEYS: owner, unreported, retire, expiring, then a command for each entry and for each cancel. ARGV: lease, participant,
/// now, deadline, retention in ms, changes channel, how many entries, then the command ids, then the places of the entries that
/// do the work of others too.
/// Answers -1 when the lease is another's. Else for each entry 0 (it is not to be sent), 1 (send it), 2 (send it, but it may
/// have been sent before) or 3 (its time is over; it has ended with that), and for each cancel 0 (it has ended) or 1.
/// Where one that does the work of others is not to be sent, answers -2 and then the places and answers of all such ones:
/// what they were to do comes first then, so nothing else is marked.
pub(super) const SCRIPT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
local participant, now, entries, count = ARGV[2], ARGV[3], tonumber(ARGV[7]), #KEYS - 4
local changed, out = {}, {}

local function event_for(one)
  if one.code == 'A' and is_over(one, now) then return 'E' end
  return 'S'
end

local function mark(n)
  local key, id = KEYS[n + 4], ARGV[n + 7]
  local one = look(key, participant)
  local code = one.code
  local flag = 0
  if n > entries then
    -- An adapter of which nothing was heard in time may still begin it.
    if code and (code == 'N' or not settled[code]) then flag = 1 end
  elseif code then
    local after, open = move(one, event_for(one), now)
    if after then changed[#changed + 1] = id end
    if open then
      if open <= 0 then ended(one, id) end
      flag = 3
    elseif after or code == 'S' then
      -- The deadline counts from the first attempt: silence ends even while RabbitMQ is away. What is `unanswered` by then
      -- is sent all the same, and a late report replaces silence.
      out[#out + 1] = ARGV[4]
      out[#out + 1] = id
      flag = after and 1 or 2
    elseif code == 'N' then
      flag = 2
    end
    -- Absorbed in a message that was not confirmed, and now it goes itself.
    if flag == 2 then redis.call('HDEL', key, 'b:' .. participant) end
  end
  return flag
end

local function is_sendable(n)
  local one = look(KEYS[n + 4], participant)
  local code = one.code
  return code and (code == 'N' or not settled[code]) and event_for(one) ~= 'E'
end

local flags = {}
for place = count + 8, #ARGV do
  local n = tonumber(ARGV[place])
  if not is_sendable(n) then
    if #flags == 0 then flags[1] = -2 end
    flags[#flags + 1] = n
    flags[#flags + 1] = mark(n)
  end
end
if #flags == 0 then
  for n = 1, count do flags[n] = mark(n) end
end
on_all('ZADD', KEYS[2], out, 'NX')
note_ended(KEYS[3], KEYS[4], now + ARGV[5])
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

/// What came of marking a batch.
#[derive(Debug)]
pub enum Marked {
    /// The lease is another's.
    LostLease,
    /// These, by their sequences, were to do the work of others too, and have ended instead. Nothing else is marked: what
    /// they would have done must not come behind the rest of the batch, so it is to be chosen anew without them.
    Ended(Vec<(u64, Mark)>),
    /// All are marked.
    All(Marks),
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
    /// Marks the entries of a batch as dispatched, before they are sent.
    pub async fn mark_dispatched(
        &self,
        lane: &Lane,
        lease: &Lease,
        batch: &Batch,
        absorbed: &[AbsorbedEntry],
        marking: Marking,
    ) -> Result<Marked, StoreError> {
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
        let absorbers: HashSet<_> = absorbed.iter().map(|entry| entry.by_sequence).collect();
        for (place, entry) in (1..).zip(&batch.entries) {
            if absorbers.contains(&entry.sequence) {
                call.arg::<usize>(place);
            }
        }
        let flags: Vec<i64> = self.redis.script(&call).await?;
        Ok(read(&flags, &batch.entries))
    }
}

fn read(flags: &[i64], entries: &[Entry]) -> Marked {
    match flags {
        [-1] => Marked::LostLease,
        [-2, ended @ ..] => {
            let (ended, _) = ended.as_chunks();
            let ended = ended.iter().filter_map(|&[place, flag]| {
                let entry = entries.get(usize::try_from(place).ok()?.checked_sub(1)?)?;
                Some((entry.sequence, Mark::from(flag)))
            });
            Marked::Ended(ended.collect())
        }
        flags => {
            let (entries, cancels) = flags.split_at(entries.len().min(flags.len()));
            Marked::All(Marks {
                entries: entries.iter().copied().map(Mark::from).collect(),
                cancels: cancels.iter().map(|flag| *flag == 1).collect(),
            })
        }
    }
}
