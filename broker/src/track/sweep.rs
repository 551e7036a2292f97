//! Ending silence, and deleting what has had its time; and what waits for a moment of its own (`due`).
//!
//! Invariant: every replica may sweep at any time: an execution is declared `unanswered` by the same state machine that
//! takes reports, so a report that came first wins, and one that comes late replaces the silence.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{Event, ParticipantId};
use metrics::counter;
use rand::Rng as _;
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Tracker, due, leftovers};
use crate::{
    directory::Directory,
    metrics as names,
    pipeline::now,
    store::{Applied, Outcome, Shard, StoreError},
};

/// Executions in one step of a sweep.
const STEP: isize = 500;
/// Commands of a shard that are deleted in one sweep, and what one step more deletes.
const DELETED: usize = 20_000;

/// Sweeps on one replica.
pub struct Sweeper {
    /// What is applied where.
    pub tracker: Tracker,
    /// Who takes part.
    pub directory: Arc<Directory>,
    /// How often.
    pub every: Duration,
}

impl Sweeper {
    /// Sweeps until asked to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(
            self.sweep_regularly(&stop),
            due::watch_the_clock(&self.tracker, &stop)
        );
    }

    async fn sweep_regularly(&self, stop: &CancellationToken) {
        let mut more = false;
        loop {
            // Replicas that were started together do not sweep together. What is due and was left is gone on with at once, or the
            // store would grow for as long as more is accepted than one sweep deletes.
            let pause = self.every.mul_f64(rand::rng().random_range(0.5..1.5));
            let pause = if more { Duration::ZERO } else { pause };
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
            let swept = self.sweep().await.inspect_err(|error| {
                warn!(error = %Chain(error), "cannot sweep");
            });
            more = swept.unwrap_or(false);
        }
    }

    /// Whether more may be due.
    async fn sweep(&self) -> Result<bool, StoreError> {
        let participants = self
            .directory
            .read()
            .participants
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>();
        let mut more = false;
        for shard in self.tracker.store.keys().shards() {
            for participant in &participants {
                self.end_silence(shard, participant).await?;
            }
            for participant in self.tracker.store.told_in(shard).await? {
                if !participants.contains(&participant)
                    && leftovers::end(&self.tracker, shard, &participant).await?
                {
                    self.end_silence(shard, &participant).await?;
                }
            }
            more |= self.retire(shard).await?;
        }
        Ok(more)
    }

    /// Deletes until nothing is due, within a bound that leaves time for the rest; whether more may be due.
    async fn retire(&self, shard: Shard) -> Result<bool, StoreError> {
        let mut deleted = 0;
        while deleted < DELETED {
            let retired = self.tracker.store.retire(shard, now()).await?;
            counter!(names::RETIRED_TOTAL).increment(retired.commands as u64);
            if !retired.more {
                return Ok(false);
            }
            deleted += retired.commands;
        }
        Ok(true)
    }

    async fn end_silence(
        &self,
        shard: Shard,
        participant: &ParticipantId,
    ) -> Result<(), StoreError> {
        let overdue = self
            .tracker
            .store
            .overdue(shard, participant, now(), STEP)
            .await?;
        if overdue.is_empty() {
            return Ok(());
        }
        let silent = |command| Outcome {
            command,
            event: Event::Silence,
            results: Vec::new(),
            receipt: None,
        };
        let outcomes = overdue.into_iter().map(silent).collect::<Vec<_>>();
        let applied = self.tracker.apply(shard, participant, &outcomes).await?;
        let ended = applied
            .iter()
            .filter(|applied| matches!(applied, Applied::Moved | Applied::Settled))
            .count();
        if ended > 0 {
            info!(participant.id = %participant, executions = ended, "nobody reported in time");
        }
        Ok(())
    }
}
