//! Withdrawing executions: those that wait end for certain, those that are out are asked to be left.
//!
//! Invariant: an execution ends here only while it is `accepted`, which means that it was never sent; its order goes in the
//! same call. Of one that is out the adapter decides, and its report says which won. It is asked once.

use std::time::Duration;

use domain::{CommandId, Event, ParticipantId, State, Timestamp};

use super::{Shard, Store, StoreError, StoredCommand, outbox::millis, transitions};

/// KEYS: retire, expiring, scheduled, scheduled-counts, approvals, then for each execution: command, outbox, cancels. ARGV: event, now,
/// retention in ms, changes channel, wake channel, then for each execution: command id, participant.
/// Answers for each 0 (it had ended, or is not there), 1 (it has ended with this), 2 (it is out, and is not asked or was
/// asked before) or 3 (it is asked now).
pub(super) const SCRIPT: &str = r"
local event, now, answers, changed, woken = ARGV[1], ARGV[2], {}, {}, {}
for n = 1, (#ARGV - 5) / 2 do
  local key, outbox, cancels = KEYS[3 + n * 3], KEYS[4 + n * 3], KEYS[5 + n * 3]
  local id, participant = ARGV[4 + n * 2], ARGV[5 + n * 2]
  local one = look(key, participant)
  local code, sequence = one.code, one.sequence
  answers[n] = 0
  if code == 'A' then
    local _, open = move(one, event, now)
    if redis.call('HDEL', key, 'o:' .. participant) == 1 then
      redis.call('HINCRBY', KEYS[4], participant, -1)
    else
      redis.call('XDEL', outbox, sequence .. '-1')
    end
    if open <= 0 then
      ended(one, id)
      redis.call('ZREM', KEYS[3], id)
      redis.call('ZREM', KEYS[5], id)
    end
    changed[#changed + 1] = id
    answers[n] = 1
  elseif code and not settled[code] then
    answers[n] = 2
    if event == 'C' and redis.call('HSETNX', key, 'c:' .. participant, now) == 1 then
      local revision = text(one.revision + 1)
      redis.call('HSET', key, one.field, code .. ' ' .. revision .. ' ' .. one.changed_at .. ' ' .. sequence .. one.moves,
        'n', revision .. ' ' .. one.open .. ' ' .. one.by .. ' ' .. one.expires)
      redis.call('ZADD', cancels, now, id)
      changed[#changed + 1] = id
      woken[#woken + 1] = participant
      answers[n] = 3
    end
  end
end
note_ended(KEYS[1], KEYS[2], now + ARGV[3])
if #changed > 0 then redis.call('PUBLISH', ARGV[4], table.concat(changed, ' ')) end
if #woken > 0 then redis.call('PUBLISH', ARGV[5], table.concat(woken, ' ')) end
return answers
";

/// What became of an execution that is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// It waited, and has ended; nobody was told of it.
    TakenBack,
    /// It is out, and its adapter is asked now to leave it.
    Asked,
    /// It is out, and its adapter was asked before or is not asked at all.
    AskedBefore,
    /// It had ended.
    Settled,
}

impl Store {
    /// Withdraws a command: for each participant what became of it.
    pub async fn cancel(
        &self,
        stored: &StoredCommand,
        now: Timestamp,
        retention: Duration,
    ) -> Result<Vec<(ParticipantId, Withdrawn)>, StoreError> {
        let shard = self.keys.shard_of(&stored.command.configuration);
        let sent = stored
            .executions
            .iter()
            .filter(|execution| execution.state != State::Unsupported);
        let ids = sent
            .map(|execution| (stored.command.id, execution.id.participant.clone()))
            .collect::<Vec<_>>();
        let flags = self
            .withdraw(shard, &ids, &Event::Cancelled, now, retention)
            .await?;
        let flags = ids.into_iter().map(|(_, id)| id).zip(flags);
        let mut withdrawn = flags.collect::<Vec<_>>();
        for execution in &stored.executions {
            if execution.state == State::Unsupported {
                withdrawn.push((execution.id.participant.clone(), Withdrawn::Settled));
            }
        }
        withdrawn.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(withdrawn)
    }

    /// Lets `event` happen to those executions of one shard that have not been sent; only for a cancel the others are asked.
    pub(super) async fn withdraw(
        &self,
        shard: Shard,
        executions: &[(CommandId, ParticipantId)],
        event: &Event,
        now: Timestamp,
        retention: Duration,
    ) -> Result<Vec<Withdrawn>, StoreError> {
        if executions.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.scripts.withdraw.prepare_invoke();
        call.key(self.keys.retire(shard))
            .key(self.keys.expiring(shard))
            .key(self.keys.scheduled(shard))
            .key(self.keys.scheduled_counts(shard))
            .key(self.keys.approvals(shard));
        call.arg(transitions::event_code(event))
            .arg(now.as_millis())
            .arg(millis(retention))
            .arg(self.keys.changes(shard))
            .arg(self.keys.wake(shard));
        for (command, participant) in executions {
            call.key(self.keys.command(shard, *command))
                .key(self.keys.outbox(shard, participant))
                .key(self.keys.cancels(shard, participant));
            call.arg(command.to_string()).arg(participant.as_str());
        }
        let flags: Vec<u8> = self.redis.script(&call).await?;
        let withdrawn = |flag: &u8| match flag {
            1 => Withdrawn::TakenBack,
            2 => Withdrawn::AskedBefore,
            3 => Withdrawn::Asked,
            _ => Withdrawn::Settled,
        };
        Ok(flags.iter().map(withdrawn).collect())
    }
}
