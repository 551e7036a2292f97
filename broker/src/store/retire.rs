//! Deleting settled commands when their retention has passed; the indexes shrink with them.
//!
//! Invariant: only settled commands are ever noted for deletion, and deleting one twice is harmless. A step takes three
//! round trips and one flush to disk, however many it deletes: it must keep up with what is accepted.

use domain::{CommandId, ParticipantId, RequestId, Timestamp};
use serde::Deserialize;

use super::{Shard, Store, StoreError};

/// What of a command's body stands in indexes.
#[derive(Deserialize)]
struct Indexed {
    originator: ParticipantId,
    #[serde(default)]
    request_id: Option<RequestId>,
}

impl Store {
    /// Deletes commands of a shard whose time has come, at most `count`; answers how many.
    pub async fn retire(
        &self,
        shard: Shard,
        now: Timestamp,
        count: isize,
    ) -> Result<usize, StoreError> {
        let due = redis::Cmd::zrangebyscore_limit(
            self.keys.retire(shard),
            "-inf",
            now.as_millis(),
            0,
            count,
        );
        let due: Vec<String> = self.redis.command(&due).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let ids: Vec<CommandId> = due.iter().filter_map(|id| id.parse().ok()).collect();
        let indexed = self.indexed(shard, &ids).await?;
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .zrem(self.keys.retire(shard), &due)
            .ignore();
        for (id, indexed) in ids.iter().zip(indexed) {
            pipeline.unlink(self.keys.command(shard, *id)).ignore();
            // A record that cannot be read goes too; what it left in an index is passed over there.
            let Some(Indexed {
                originator,
                request_id,
            }) = indexed
            else {
                continue;
            };
            let index = self.keys.commands(shard, &originator);
            pipeline.zrem(index, id.to_string()).ignore();
            if let Some(request) = request_id {
                let key = self.keys.request(shard, &originator, request);
                pipeline.unlink(key).ignore();
            }
        }
        self.redis.pipeline::<()>(&pipeline).await?;
        Ok(due.len())
    }

    /// What is in indexes of each command; nothing of one that is gone or cannot be read.
    async fn indexed(
        &self,
        shard: Shard,
        ids: &[CommandId],
    ) -> Result<Vec<Option<Indexed>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.hget(self.keys.command(shard, *id), "body");
        }
        let bodies: Vec<Option<String>> = self.redis.pipeline(&pipeline).await?;
        let read = |body: Option<String>| serde_json::from_str(&body?).ok();
        Ok(bodies.into_iter().map(read).collect())
    }
}
