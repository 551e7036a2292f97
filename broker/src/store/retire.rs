//! Deleting settled commands when their retention has passed; the indexes shrink with them.
//!
//! Invariant: only settled commands are ever noted for deletion, and deleting one twice is harmless. So many are deleted with one
//! flush to disk that it keeps up with what is accepted.

use std::collections::BTreeMap;

use domain::{CommandId, ParticipantId, Timestamp};

use super::{Shard, Store, StoreError};

/// Notes in one step; each is of the commands that settled with one call, which are up to 500.
const NOTES: isize = 50;
/// Commands that are deleted together.
const TOGETHER: usize = 500;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// Commands that were deleted.
    pub commands: usize,
    /// Whether more may be due.
    pub more: bool,
}

impl Store {
    /// Deletes commands of a shard whose time has come.
    pub async fn retire(&self, shard: Shard, now: Timestamp) -> Result<Retired, StoreError> {
        let key = self.keys.retire(shard);
        let due = redis::Cmd::zrangebyscore_limit(&key, "-inf", now.as_millis(), 0, NOTES);
        let notes: Vec<String> = self.redis.command(&due).await?;
        let words = notes.iter().flat_map(|note| note.split(' '));
        let ids: Vec<CommandId> = words.filter_map(|id| id.parse().ok()).collect();
        for together in ids.chunks(TOGETHER) {
            self.delete(shard, together).await?;
        }
        if !notes.is_empty() {
            // A step that ended before is taken once more.
            self.redis
                .command::<()>(&redis::Cmd::zrem(&key, &notes))
                .await?;
        }
        Ok(Retired {
            commands: ids.len(),
            more: notes.len() >= NOTES.unsigned_abs(),
        })
    }

    async fn delete(&self, shard: Shard, ids: &[CommandId]) -> Result<(), StoreError> {
        let mut indexed = redis::pipe();
        for id in ids {
            let key = self.keys.command(shard, *id);
            indexed.cmd("HMGET").arg(key).arg("n").arg("q");
        }
        let indexed: Vec<(Option<String>, Option<String>)> = self.redis.pipeline(&indexed).await?;
        let (mut pipeline, mut of) = (redis::pipe(), BTreeMap::<ParticipantId, Vec<String>>::new());
        pipeline.atomic();
        for (id, (n, request)) in ids.iter().zip(indexed) {
            pipeline.unlink(self.keys.command(shard, *id)).ignore();
            // A record that cannot be read goes too; what it left in an index is passed over there.
            let originator = n.and_then(|n| n.split(' ').nth(2)?.parse().ok());
            if let Some(originator) = originator {
                of.entry(originator).or_default().push(id.to_string());
            }
            if let Some(request) = request {
                pipeline.unlink(request).ignore();
            }
        }
        for (originator, ids) in of {
            let index = self.keys.commands(shard, &originator);
            pipeline.zrem(index, ids).ignore();
        }
        self.redis.pipeline(&pipeline).await
    }
}
