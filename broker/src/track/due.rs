//! What is due at a moment of its own: scheduled commands are released, and what was not sent in time expires.
//!
//! Invariant: it happens within about a second of its moment on any replica that lives, whether or not RabbitMQ does. What
//! expires is looked at before what is released, so nothing is released only to expire.

use std::time::Duration;

use domain::{ParticipantId, State};
use rand::Rng as _;
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Tracker;
use crate::{
    metrics as names,
    pipeline::now,
    store::{Shard, StoreError},
};

/// How long nobody looks, even if nothing is known to be due: something may have been accepted meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Replicas that wait for the same moment come to it one after another within this time, so that the first does the work.
const SPREAD: Duration = Duration::from_millis(50);
/// Commands in one step.
const STEP: isize = 100;

/// Does what is due until asked to stop.
pub(super) async fn watch_the_clock(tracker: &Tracker, stop: &CancellationToken) {
    loop {
        let pause = match look(tracker).await {
            Ok(pause) => pause,
            Err(error) => {
                warn!(error = %Chain(&error), "cannot do what is due");
                LOOK_EVERY
            }
        };
        let spread = SPREAD.mul_f64(rand::rng().random_range(0.0..1.0));
        if stop
            .run_until_cancelled(tokio::time::sleep(pause + spread))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Does what is due in every shard; how long nothing will be.
async fn look(tracker: &Tracker) -> Result<Duration, StoreError> {
    let mut pause = LOOK_EVERY;
    for shard in tracker.store.keys().shards() {
        let Some(mut next) = tracker.store.next_due(shard).await? else {
            continue;
        };
        if next <= now() {
            lapse(tracker, shard).await?;
            expire(tracker, shard).await?;
            release(tracker, shard).await?;
            match tracker.store.next_due(shard).await? {
                Some(moment) => next = moment,
                None => continue,
            }
        }
        pause = pause.min(next.since(now()));
    }
    Ok(pause)
}

async fn lapse(tracker: &Tracker, shard: Shard) -> Result<(), StoreError> {
    loop {
        let lapsed = tracker
            .store
            .lapse_due(shard, now(), tracker.retention, STEP)
            .await?;
        count_expired(&lapsed.participants, "nobody approved them in time");
        if !lapsed.more {
            return Ok(());
        }
    }
}

async fn expire(tracker: &Tracker, shard: Shard) -> Result<(), StoreError> {
    loop {
        let expired = tracker
            .store
            .expire_due(shard, now(), tracker.retention, STEP)
            .await?;
        count_expired(&expired.participants, "they were not sent in time");
        if !expired.more {
            return Ok(());
        }
    }
}

fn count_expired(participants: &[ParticipantId], why: &'static str) {
    for participant in participants {
        names::count_execution(participant, &State::Expired);
    }
    if !participants.is_empty() {
        info!(executions = participants.len(), why, "executions expired");
    }
}

async fn release(tracker: &Tracker, shard: Shard) -> Result<(), StoreError> {
    loop {
        let released = tracker.store.release_due(shard, now(), STEP).await?;
        released.participants.iter().for_each(names::count_released);
        if !released.more {
            return Ok(());
        }
    }
}
