//! Passing on at once what other replicas did.
//!
//! Invariant: when the connection breaks everybody is told to look, so nothing is missed for longer than a reconnect.

use std::sync::Arc;

use futures::StreamExt as _;
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Watchers;
use crate::{
    dispatch::Wakers,
    store::{Heard, Store, StoreError},
};

/// Listens until asked to stop.
pub async fn hear(store: Store, watchers: Arc<Watchers>, wakers: Wakers, stop: CancellationToken) {
    let mut backoff = Backoff::new(BackoffSettings::default());
    while let Some(outcome) = stop
        .run_until_cancelled(listen(&store, &watchers, &wakers, &mut backoff))
        .await
    {
        let pause = backoff.next_delay();
        if let Err(error) = outcome {
            warn!(error = %Chain(&error), retry_ms = pause.as_millis(), "cannot hear other replicas");
        }
        watchers.tell_all();
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

async fn listen(
    store: &Store,
    watchers: &Watchers,
    wakers: &Wakers,
    backoff: &mut Backoff,
) -> Result<(), StoreError> {
    let mut heard = std::pin::pin!(store.listen().await?);
    backoff.reset();
    watchers.tell_all();
    while let Some(heard) = heard.next().await {
        match heard {
            Heard::Filled(shard, participants) => wakers.wake(shard, participants),
            Heard::Changed(commands) => watchers.tell(&commands),
        }
    }
    Ok(())
}
