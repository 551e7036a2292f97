//! Commands that wait for a second person's word.
//!
//! Invariant: a command's field `p` is written once: the approval, or a dash where its time was over first. Whoever writes it has
//! decided, so what was approved goes and what was not ends, whatever two replicas do at once. Until then its orders lie with it
//! as those of a scheduled command do; an approved one is scheduled, for now or for its own time.

use domain::{Command, CommandId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Shard, Store, StoreError};
use crate::translate::Planned;

/// Stands where an approval would, of a command that nobody approved in time.
const LAPSED: &str = "-";

/// KEYS: command, approvals, scheduled. ARGV: command id, approval, when it goes, now, changes channel. Answers `now`, or `before`
/// with the approval that it has, or `not`.
pub(super) const APPROVE: &str = r"
local given = redis.call('HGET', KEYS[1], 'p')
if given and given ~= '-' then return {'before', given} end
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
if given or not deadline or tonumber(deadline) <= tonumber(ARGV[4]) then return {'not', ''} end
local revision, rest = string.match(redis.call('HGET', KEYS[1], 'n'), '^(%d+)( .*)$')
redis.call('HSET', KEYS[1], 'p', ARGV[2], 'n', string.format('%d', revision + 1) .. rest)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return {'now', ''}
";

/// What is asked for of a second person, and what was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAsked {
    /// Who must not be the one: the one who submitted it.
    pub submitted_by: String,
    /// By when.
    pub until: Timestamp,
    /// What was given.
    #[serde(skip)]
    pub given: Option<Approval>,
}

/// A second person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When, by the clock of the replica that was called.
    pub at: Timestamp,
    /// Why, in that person's words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved {
    /// It goes.
    Now,
    /// It had one.
    Before(Approval),
    /// It waits for none: it has ended, or its time is over.
    NotWaiting,
}

impl ApprovalAsked {
    /// What is asked for before this goes; `None` where nobody need approve.
    pub(super) fn of(planned: &Planned) -> Option<Self> {
        Some(Self {
            submitted_by: planned.submitted_by.clone(),
            until: planned.approve_until?,
            given: None,
        })
    }

    /// What the fields of a command say of it.
    pub(super) fn read(
        asked: &str,
        given: Option<&str>,
        unreadable: impl Fn(serde_json::Error) -> StoreError,
    ) -> Result<Self, StoreError> {
        let asked: Self = serde_json::from_str(asked).map_err(&unreadable)?;
        let given = given.filter(|given| *given != LAPSED);
        Ok(Self {
            given: given
                .map(serde_json::from_str)
                .transpose()
                .map_err(unreadable)?,
            ..asked
        })
    }
}

impl Store {
    /// Lets a command go that waits.
    pub async fn approve(
        &self,
        command: &Command,
        approval: &Approval,
    ) -> Result<Approved, StoreError> {
        let shard = self.keys.shard_of(&command.configuration);
        let goes = command
            .not_before
            .map_or(approval.at, |moment| moment.max(approval.at));
        let unreadable = |error| StoreError::unreadable("an approval", error);
        let mut call = self.scripts.approve.prepare_invoke();
        call.key(self.keys.command(shard, command.id))
            .key(self.keys.approvals(shard))
            .key(self.keys.scheduled(shard));
        call.arg(command.id.to_string())
            .arg(serde_json::to_string(approval).map_err(unreadable)?)
            .arg(goes.as_millis())
            .arg(approval.at.as_millis())
            .arg(self.keys.changes(shard));
        let (word, given): (String, String) = self.redis.script(&call).await?;
        Ok(match word.as_str() {
            "now" => Approved::Now,
            "before" => Approved::Before(serde_json::from_str(&given).map_err(unreadable)?),
            _ => Approved::NotWaiting,
        })
    }

    /// Decides of commands whose time to be approved is over that they were not; answers those of which that is so.
    pub(super) async fn lapse(
        &self,
        shard: Shard,
        commands: &[CommandId],
    ) -> Result<Vec<CommandId>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for command in commands {
            let key = self.keys.command(shard, *command);
            pipeline.hset_nx(&key, "p", LAPSED).ignore().hget(&key, "p");
        }
        let words: Vec<Option<String>> = self.redis.pipeline(&pipeline).await?;
        let lapsed = commands.iter().zip(words);
        let lapsed = lapsed.filter(|(_, word)| word.as_deref() == Some(LAPSED));
        Ok(lapsed.map(|(command, _)| *command).collect())
    }
}
