//! How far participants have come: what their adapters say, and what still waits.
//!
//! Invariant: the highest sequence that an adapter has read only grows, in whatever order its reports are taken. It is for
//! people: nothing is sent, kept or forgotten because of it.

use domain::{CommandId, ParticipantId, Timestamp};

use super::{Shard, Store, StoreError, outbox::accepted_at};

/// KEYS: progress. ARGV: participant, highest sequence read, moment.
pub(super) const NOTE: &str = r"
for i, name in ipairs({'r:', 'h:'}) do
  local before = tonumber(redis.call('HGET', KEYS[1], name .. ARGV[1]) or 0)
  if tonumber(ARGV[i + 1]) > before then redis.call('HSET', KEYS[1], name .. ARGV[1], ARGV[i + 1]) end
end
";

/// KEYS: sequences, progress, outbox, unreported. ARGV: participant.
/// Answers the last sequence given, the highest read, the moment last heard, how many wait, how many are out, and the
/// oldest command of these. What was marked and is not confirmed stands in both, and waits. The outbox is looked through for it until
/// all of it is found, or the outbox ends, or a page of it holds nothing that is as old as the youngest that is out; but no further
/// than 50 pages of 100. What other replicas accept, and so do not mark, may stand before what its owner marks.
pub(super) const SHOW: &str = r"
local given = redis.call('HGET', KEYS[1], ARGV[1]) or '0'
local read = redis.call('HGET', KEYS[2], 'r:' .. ARGV[1]) or '0'
local heard = redis.call('HGET', KEYS[2], 'h:' .. ARGV[1]) or '0'
local out, oldest, youngest = redis.call('ZRANGE', KEYS[4], 0, -1), '', ''
for _, id in ipairs(out) do
  if oldest == '' or id < oldest then oldest = id end
  if id > youngest then youngest = id end
end
local both, from, pages, first = 0, '-', 0, true
repeat
  local page, is_old = redis.call('XRANGE', KEYS[3], from, '+', 'COUNT', 100), false
  for _, entry in ipairs(page) do
    local id = entry[2][2]
    if first and (oldest == '' or id < oldest) then oldest = id end
    first = false
    if id <= youngest then
      is_old = true
      if redis.call('ZSCORE', KEYS[4], id) then both = both + 1 end
    end
    from = '(' .. entry[1]
  end
  pages = pages + 1
until #page < 100 or both == #out or not is_old or pages == 50
return {given, read, heard, tostring(redis.call('XLEN', KEYS[3])), tostring(#out - both), oldest}
";

/// How far a participant has come, all shards together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many executions were ever given to it.
    pub accepted_sequence: u64,
    /// How many of them its adapter says to have read.
    pub read_sequence: u64,
    /// Executions in its outboxes.
    pub waiting: u64,
    /// Executions that are out without having settled.
    pub unreported: u64,
    /// When the oldest of these was accepted.
    pub oldest: Option<Timestamp>,
    /// When its adapter was last heard.
    pub heard: Option<Timestamp>,
}

impl Store {
    /// Keeps what was heard of a participant's adapter in one shard; `sequence` is 0 where it said nothing of that.
    pub async fn note_progress(
        &self,
        shard: Shard,
        participant: &ParticipantId,
        sequence: u64,
        heard: Timestamp,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.note_progress.prepare_invoke();
        call.key(self.keys.progress(shard));
        call.arg(participant.as_str())
            .arg(sequence)
            .arg(heard.as_millis());
        self.redis.script(&call).await
    }

    /// How far a participant has come.
    pub async fn progress(&self, participant: &ParticipantId) -> Result<Progress, StoreError> {
        let mut whole = Progress::default();
        for shard in self.keys.shards() {
            let mut call = self.scripts.show_progress.prepare_invoke();
            call.key(self.keys.sequences(shard))
                .key(self.keys.progress(shard))
                .key(self.keys.outbox(shard, participant))
                .key(self.keys.unreported(shard, participant));
            call.arg(participant.as_str());
            let (numbers, oldest) = read_answer(&self.redis.script::<Vec<String>>(&call).await?)?;
            let [given, read, heard, waiting, unreported] = numbers;
            whole.accepted_sequence += given;
            // An adapter cannot have read what was never given.
            whole.read_sequence += read.min(given);
            whole.waiting += waiting;
            whole.unreported += unreported;
            whole.oldest = earlier(whole.oldest, oldest.map(accepted_at));
            whole.heard = whole
                .heard
                .max((heard > 0).then(|| Timestamp::from_millis(heard)));
        }
        Ok(whole)
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn read_answer(answer: &[String]) -> Result<([u64; 5], Option<CommandId>), StoreError> {
    let lacking = || StoreError::lacking("the progress of a participant");
    let (oldest, numbers) = answer.split_last().ok_or_else(lacking)?;
    let mut read = [0; 5];
    if numbers.len() != read.len() {
        return Err(lacking());
    }
    for (place, text) in read.iter_mut().zip(numbers) {
        *place = text.parse().map_err(|_| lacking())?;
    }
    let oldest = match oldest.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| lacking())?),
    };
    Ok((read, oldest))
}
