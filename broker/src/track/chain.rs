//! Lengthens the chains of receipts, and forgets what is old enough.
//!
//! Invariant: every replica may do it at any time; the store takes one of two that do the same.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use domain::Timestamp;
use metrics::counter;
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    metrics as names,
    pipeline::now,
    store::{Chained, Keep, Shard, Store, StoreError},
};

/// How often it is looked for receipts that wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Receipts that are chained in one call.
const STEP: isize = 500;
/// Calls for one shard in one look.
const STEPS: u32 = 40;
/// How often it is looked for what is old enough to be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// Chains receipts on one replica.
pub struct Chainer {
    store: Store,
    kept: Duration,
    most: u64,
    cursors: HashMap<Shard, u64>,
    forgot: Instant,
}

impl Chainer {
    /// Keeps each record for so long, and of each chain so many.
    pub fn new(store: Store, kept: Duration, most: u64) -> Self {
        Self {
            store,
            kept,
            most,
            cursors: HashMap::new(),
            forgot: Instant::now(),
        }
    }

    /// Runs until asked to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            if let Err(error) = self.look().await {
                warn!(error = %Chain(&error), "cannot chain receipts");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let shards: Vec<_> = self.store.keys().shards().collect();
        let forgets = self.forgot.elapsed() >= FORGET_EVERY;
        for shard in shards {
            for _ in 0..STEPS {
                let chained = self.store.chain_receipts(shard, now(), STEP).await?;
                // None: another replica was faster, and goes on.
                let chained = chained.unwrap_or_default();
                count(chained);
                if chained.taken < STEP.unsigned_abs() {
                    break;
                }
            }
            if forgets {
                self.forget(shard).await?;
            }
        }
        if forgets {
            self.forgot = Instant::now();
        }
        Ok(())
    }

    async fn forget(&mut self, shard: Shard) -> Result<(), StoreError> {
        let kept = u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX);
        let keep = Keep {
            oldest: Timestamp::from_millis(now().as_millis().saturating_sub(kept)),
            most: self.most,
        };
        let cursor = self.cursors.entry(shard).or_default();
        *cursor = self.store.forget_receipts(shard, *cursor, keep).await?;
        Ok(())
    }
}

fn count(chained: Chained) {
    let count = |result: &'static str, number: usize| {
        if number > 0 {
            counter!(names::RECEIPTS_TOTAL, "result" => result).increment(number as u64);
        }
    };
    let odd = chained.told_otherwise + chained.unreadable;
    count("chained", chained.taken.saturating_sub(odd));
    count("told_otherwise", chained.told_otherwise);
    count("unreadable", chained.unreadable);
    if odd > 0 {
        error!(
            told_otherwise = chained.told_otherwise,
            unreadable = chained.unreadable,
            "receipts are not of what was told, or cannot be read"
        );
    }
}
