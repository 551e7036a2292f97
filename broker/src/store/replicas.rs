//! Which broker replicas live.
//!
//! Invariant: time is Redis' own, so clocks of replicas that disagree make nobody look dead.

use std::time::Duration;

use super::{Store, StoreError, outbox::millis};

/// KEYS: replicas. ARGV: replica, how long a sign of life counts in ms. Answers the living, by name.
pub(super) const BEAT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local living = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(living)
return living
";

impl Store {
    /// Says that this replica lives, and learns who else does.
    pub async fn replicas(
        &self,
        replica: &str,
        counts_for: Duration,
    ) -> Result<Vec<String>, StoreError> {
        let mut call = self.scripts.beat.prepare_invoke();
        call.key(self.keys.registry("replicas"))
            .arg(replica)
            .arg(millis(counts_for));
        self.redis.script(&call).await
    }

    /// Says that this replica ends, so that the others need not wait.
    pub async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.redis
            .command(&redis::Cmd::zrem(self.keys.registry("replicas"), replica))
            .await
    }
}
