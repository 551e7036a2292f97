//! What waits for its time: scheduled commands that are released, executions that expire before they were sent.
//!
//! Invariant: every replica may look at any time, for both are idempotent: an order leaves the schedule and gets its
//! sequence and its place in the outbox in one call, and only what is still `accepted` expires here. What is due earlier
//! is released earlier, and of two for the same moment the one that was accepted earlier.

use std::time::Duration;

use domain::{CommandId, Event, ParticipantId, Timestamp};

use super::{Shard, Store, StoreError, cancel::Withdrawn, read::moment};

/// Executions in one call: a call keeps Redis from everybody else while it lasts.
const CHUNK: usize = 200;

/// KEYS: sequences, scheduled-counts, then for each execution: command, outbox. ARGV: wake channel, then for each execution:
/// command id, participant. Answers for each whether it was released now.
pub(super) const RELEASE: &str = r"
local answers, woken = {}, {}
for n = 1, (#ARGV - 1) / 2 do
  local key, outbox = KEYS[1 + n * 2], KEYS[2 + n * 2]
  local id, participant = ARGV[n * 2], ARGV[1 + n * 2]
  local order = redis.call('HGET', key, 'o:' .. participant)
  answers[n] = 0
  if order then
    local record, moves = string.match(redis.call('HGET', key, 's:' .. participant), '^(%S+ %S+ %S+) %S+(.*)$')
    local sequence = redis.call('HINCRBY', KEYS[1], participant, 1)
    redis.call('XADD', outbox, sequence .. '-1', 'c', id, 'o', order)
    redis.call('HSET', key, 's:' .. participant, record .. ' ' .. sequence .. moves)
    redis.call('HDEL', key, 'o:' .. participant)
    redis.call('HINCRBY', KEYS[2], participant, -1)
    woken[#woken + 1] = participant
    answers[n] = 1
  end
end
if #woken > 0 then redis.call('PUBLISH', ARGV[1], table.concat(woken, ' ')) end
return answers
";

/// What a look at the schedule came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Whose executions were released.
    pub participants: Vec<ParticipantId>,
    /// Whether more may be due.
    pub more: bool,
}

/// What a look at what expires came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired {
    /// Whose executions ended as `expired`.
    pub participants: Vec<ParticipantId>,
    /// Whether more may be due.
    pub more: bool,
}

impl Store {
    /// When something is due next in a shard: scheduled, expiring, or to be approved by then; it may have passed.
    pub async fn next_due(&self, shard: Shard) -> Result<Option<Timestamp>, StoreError> {
        let mut pipeline = redis::pipe();
        for key in [
            self.keys.scheduled(shard),
            self.keys.expiring(shard),
            self.keys.approvals(shard),
        ] {
            pipeline.zrange_withscores(key, 0, 0);
        }
        let first: [Vec<(String, f64)>; 3] = self.redis.pipeline(&pipeline).await?;
        Ok(first
            .iter()
            .flatten()
            .map(|(_, score)| moment(*score))
            .min())
    }

    /// Puts scheduled commands whose time has come into the outboxes, at most `count` of them.
    pub async fn release_due(
        &self,
        shard: Shard,
        now: Timestamp,
        count: isize,
    ) -> Result<Released, StoreError> {
        let key = self.keys.scheduled(shard);
        let due = self.due(&key, now, count).await?;
        let executions = self.participants_with("o:", shard, &due).await?;
        let mut participants = Vec::new();
        for chunk in executions.chunks(CHUNK) {
            let mut call = self.scripts.release_due.prepare_invoke();
            call.key(self.keys.sequences(shard))
                .key(self.keys.scheduled_counts(shard));
            call.arg(self.keys.wake(shard));
            for (command, participant) in chunk {
                call.key(self.keys.command(shard, *command))
                    .key(self.keys.outbox(shard, participant));
                call.arg(command.to_string()).arg(participant.as_str());
            }
            let flags: Vec<u8> = self.redis.script(&call).await?;
            let released = chunk.iter().zip(flags).filter(|(_, flag)| *flag == 1);
            participants.extend(released.map(|((_, participant), _)| participant.clone()));
        }
        self.remove(&key, &due).await?;
        Ok(Released {
            participants,
            more: due.len() >= count.unsigned_abs(),
        })
    }

    /// Ends executions whose time is over and that have not been sent, of at most `count` commands.
    pub async fn expire_due(
        &self,
        shard: Shard,
        now: Timestamp,
        retention: Duration,
        count: isize,
    ) -> Result<Expired, StoreError> {
        let key = self.keys.expiring(shard);
        let due = self.due(&key, now, count).await?;
        let participants = self.expire(shard, &due, now, retention).await?;
        // What is out is its adapter's to end; nothing becomes `accepted` again.
        self.remove(&key, &due).await?;
        Ok(Expired {
            participants,
            more: due.len() >= count.unsigned_abs(),
        })
    }

    /// Ends the executions of at most `count` commands that nobody has approved in time.
    pub async fn lapse_due(
        &self,
        shard: Shard,
        now: Timestamp,
        retention: Duration,
        count: isize,
    ) -> Result<Expired, StoreError> {
        let key = self.keys.approvals(shard);
        let due = self.due(&key, now, count).await?;
        let lapsed = self.lapse(shard, &due).await?;
        let participants = self.expire(shard, &lapsed, now, retention).await?;
        self.remove(&key, &due).await?;
        Ok(Expired {
            participants,
            more: due.len() >= count.unsigned_abs(),
        })
    }

    async fn expire(
        &self,
        shard: Shard,
        commands: &[CommandId],
        now: Timestamp,
        retention: Duration,
    ) -> Result<Vec<ParticipantId>, StoreError> {
        let executions = self.participants_with("s:", shard, commands).await?;
        let mut participants = Vec::new();
        for chunk in executions.chunks(CHUNK) {
            let flags = self
                .withdraw(shard, chunk, &Event::Expired, now, retention)
                .await?;
            let ended = chunk
                .iter()
                .zip(flags)
                .filter(|(_, flag)| *flag == Withdrawn::TakenBack);
            participants.extend(ended.map(|((_, participant), _)| participant.clone()));
        }
        Ok(participants)
    }

    async fn due(
        &self,
        key: &str,
        now: Timestamp,
        count: isize,
    ) -> Result<Vec<CommandId>, StoreError> {
        let due = redis::Cmd::zrangebyscore_limit(key, "-inf", now.as_millis(), 0, count);
        let ids: Vec<String> = self.redis.command(&due).await?;
        let read = |id: &String| {
            id.parse()
                .map_err(|_| StoreError::lacking("the id of a command that is due"))
        };
        ids.iter().map(read).collect()
    }

    /// The participants of which these commands have a field that begins so, in the order of the commands.
    async fn participants_with(
        &self,
        field: &str,
        shard: Shard,
        commands: &[CommandId],
    ) -> Result<Vec<(CommandId, ParticipantId)>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.hkeys(self.keys.command(shard, *command));
        }
        let names: Vec<Vec<String>> = self.redis.pipeline(&pipeline).await?;
        let mut executions = Vec::new();
        for (command, names) in commands.iter().zip(&names) {
            let participants = names.iter().filter_map(|name| name.strip_prefix(field));
            let participants = participants.filter_map(|participant| participant.parse().ok());
            executions.extend(participants.map(|participant| (*command, participant)));
        }
        Ok(executions)
    }

    async fn remove(&self, key: &str, commands: &[CommandId]) -> Result<(), StoreError> {
        if commands.is_empty() {
            return Ok(());
        }
        let members = commands.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.redis
            .command::<()>(&redis::Cmd::zrem(key, members))
            .await
    }
}
