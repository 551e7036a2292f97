//! Deleting settled commands when their retention has passed; the indexes shrink with them.
//!
//! Invariant: only settled commands are ever noted for deletion, and deleting one twice is harmless.

use domain::{CommandId, Timestamp};

use super::{Shard, Store, StoreError};

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
        let ids: Vec<String> = self.redis.command(&due).await?;
        for id in &ids {
            if let Ok(id) = id.parse() {
                self.delete(shard, id).await?;
            } else {
                let key = self.keys.retire(shard);
                self.redis.command::<()>(&redis::Cmd::zrem(key, id)).await?;
            }
        }
        Ok(ids.len())
    }

    async fn delete(&self, shard: Shard, id: CommandId) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        // A record that cannot be read goes too; what it left in an index is passed over there.
        if let Ok(Some(stored)) = self.command(id).await {
            let command = stored.command;
            pipeline
                .zrem(
                    self.keys.commands(shard, &command.originator),
                    id.to_string(),
                )
                .ignore();
            if let Some(request) = command.request_id {
                pipeline
                    .unlink(self.keys.request(shard, &command.originator, request))
                    .ignore();
            }
        }
        pipeline.unlink(self.keys.command(shard, id)).ignore();
        pipeline
            .zrem(self.keys.retire(shard), id.to_string())
            .ignore();
        self.redis.pipeline(&pipeline).await
    }
}
