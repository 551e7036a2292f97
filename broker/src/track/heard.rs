//! How far adapters say they have come, gathered and written once a second.
//!
//! Invariant: a report is never slower for it, and what is lost with a replica is said again by the adapter's next report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use amqp::envelope::Progress;
use domain::{ParticipantId, Timestamp};
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::store::{Shard, Store};

/// How often it is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What one replica has heard since it last wrote: at most one entry for each participant and shard.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Unwritten>>);

/// The highest sequence read, and the moment.
type Unwritten = HashMap<(ParticipantId, Shard), (u64, Timestamp)>;

impl Heard {
    /// Notes a report. One that says nothing of how far its adapter is still shows that it lives.
    pub(super) fn note(
        &self,
        store: &Store,
        participant: &ParticipantId,
        progress: &[Progress],
        now: Timestamp,
    ) {
        let said = progress.iter().filter_map(|one| {
            let shard = store.keys().shard(one.shard)?;
            Some((shard, one.sequence))
        });
        let lives = store.keys().shard(0).map(|shard| (shard, 0));
        let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, sequence) in said.chain(lives) {
            let (highest, moment) = unwritten
                .entry((participant.clone(), shard))
                .or_insert((0, now));
            *highest = sequence.max(*highest);
            *moment = now.max(*moment);
        }
    }

    /// Writes until asked to stop, and once more then.
    pub(super) async fn run(self, store: Store, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(WRITE_EVERY))
            .await
            .is_some()
        {
            self.write(&store).await;
        }
        self.write(&store).await;
    }

    async fn write(&self, store: &Store) {
        let unwritten = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for ((participant, shard), (sequence, moment)) in unwritten {
            let written = store.note_progress(shard, &participant, sequence, moment);
            if let Err(error) = written.await {
                debug!(error = %Chain(&error), "cannot write how far an adapter is");
            }
        }
    }
}
