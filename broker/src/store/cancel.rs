//! Taking back what is still in the outbox.
//!
//! Invariant: an execution is cancelled here only while it is `accepted`, which means that it was never sent; its outbox
//! entry goes in the same call.

use std::time::Duration;

use domain::{ParticipantId, State, Timestamp};

use super::{Store, StoreError, StoredCommand, outbox::millis};

/// KEYS: command, retire, then the outbox of each execution. ARGV: command id, now, retention in ms, changes channel, then
/// the participants. Answers for each 1 (taken back) or 0.
pub(super) const SCRIPT: &str = r"
local answers, revision = {}, nil
for i = 3, #KEYS do
  local field = 's:' .. ARGV[i + 2]
  local record = redis.call('HGET', KEYS[1], field)
  local code, sequence = string.match(record or '', '^(%S+) %S+ %S+ (%S+)$')
  answers[i - 2] = 0
  if code == 'A' then
    revision = revision or redis.call('HINCRBY', KEYS[1], 'revision', 1)
    redis.call('HSET', KEYS[1], field, next_state['A C'] .. ' ' .. revision .. ' ' .. ARGV[2] .. ' ' .. sequence)
    redis.call('XDEL', KEYS[i], sequence .. '-1')
    if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 then
      redis.call('ZADD', KEYS[2], ARGV[2] + ARGV[3], ARGV[1])
    end
    answers[i - 2] = 1
  end
end
if revision then redis.call('PUBLISH', ARGV[4], ARGV[1]) end
return answers
";

impl Store {
    /// Takes back every execution that has not been sent; answers whose.
    pub async fn cancel(
        &self,
        stored: &StoredCommand,
        now: Timestamp,
        retention: Duration,
    ) -> Result<Vec<ParticipantId>, StoreError> {
        let id = stored.command.id;
        let shard = self.keys.shard_of(&stored.command.configuration);
        let waiting = stored
            .executions
            .iter()
            .filter(|execution| execution.state == State::Accepted);
        let participants = waiting
            .map(|execution| execution.id.participant.clone())
            .collect::<Vec<_>>();
        if participants.is_empty() {
            return Ok(participants);
        }
        let mut call = self.scripts.cancel.prepare_invoke();
        call.key(self.keys.command(shard, id))
            .key(self.keys.retire(shard));
        call.arg(id.to_string())
            .arg(now.as_millis())
            .arg(millis(retention))
            .arg(self.keys.changes(shard));
        for participant in &participants {
            call.key(self.keys.outbox(shard, participant))
                .arg(participant.as_str());
        }
        let flags: Vec<u8> = self.redis.script(&call).await?;
        let taken_back = participants
            .into_iter()
            .zip(flags)
            .filter(|(_, flag)| *flag == 1);
        Ok(taken_back.map(|(participant, _)| participant).collect())
    }
}
