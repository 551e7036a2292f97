//! What is left in the outbox of a participant that is registered no longer.
//!
//! Invariant: nothing stays unsettled because nobody empties its outbox. A participant goes only when nothing waits for it, but a
//! replica that has not heard of it yet may accept one command more. That one ends here as failed, by the federation's fault, and
//! is told to nobody, whoever is registered under that id later. Whether somebody is registered is asked of the store: this
//! replica's memory may be behind.

use std::time::Duration;

use domain::{
    Event, Fault, ParticipantId,
    fault::{Again, FaultCode, Side},
};
use tracing::warn;
use uuid::Uuid;

use super::Tracker;
use crate::store::{BatchLimits, Gone, Lane, Outcome, RecordKind, Shard, StoreError};

/// Executions in one step.
const STEP: usize = 500;
/// How long nobody else empties the outbox meanwhile, if this replica dies.
const LEASE: Duration = Duration::from_secs(10);

/// Ends what waits for this participant, if it is registered no longer; answers whether it is so.
pub(super) async fn end(
    tracker: &Tracker,
    shard: Shard,
    participant: &ParticipantId,
) -> Result<bool, StoreError> {
    let store = &tracker.store;
    if store
        .is_registered(RecordKind::Participant, participant.as_str())
        .await?
    {
        return Ok(false);
    }
    let lane = Lane {
        shard,
        participant: participant.clone(),
    };
    if store.outbox_state(&lane).await?.waiting == 0 {
        return Ok(true);
    }
    let holder = format!("leftovers/{}", Uuid::now_v7());
    // A replica that still sends ends by itself when it hears of the change.
    let Some(lease) = store.own(&lane, &holder, LEASE).await? else {
        return Ok(true);
    };
    let ended = end_all(tracker, &lane).await;
    store.release(&lane, &lease).await?;
    ended.map(|()| true)
}

async fn end_all(tracker: &Tracker, lane: &Lane) -> Result<(), StoreError> {
    let limits = BatchLimits {
        entries: STEP,
        bytes: usize::MAX,
        window: u64::MAX,
    };
    let mut gone = Gone::default();
    loop {
        let batch = tracker.store.next_entries(lane, &gone, limits).await?;
        if batch.entries.is_empty() && batch.cancels.is_empty() {
            return Ok(());
        }
        let outcomes = batch.entries.iter().map(|entry| Outcome {
            command: entry.command,
            event: Event::Failed(nobody(&lane.participant)),
            results: Vec::new(),
            receipt: None,
        });
        let outcomes = outcomes.collect::<Vec<_>>();
        tracker
            .apply(lane.shard, &lane.participant, &outcomes)
            .await?;
        warn!(
            participant.id = %lane.participant,
            executions = outcomes.len(),
            "ended what waited for a participant that is registered no longer"
        );
        gone = Gone {
            sequences: batch.entries.iter().map(|entry| entry.sequence).collect(),
            cancels: batch.cancels,
        };
    }
}

fn nobody(participant: &ParticipantId) -> Fault {
    let message = format!("{participant} is registered no longer");
    Fault::new(
        FaultCode::Unreachable,
        Side::Federation,
        Again::Never,
        &message,
    )
}
