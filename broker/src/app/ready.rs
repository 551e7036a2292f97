//! What `/readyz` says of the servers that a replica stands on.

use std::time::Duration;

use amqp::{LinkState, Publisher};
use service::{Shutdown, exit::Chain, telemetry::Condition};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often Redis and the publisher's connection are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shows in `/readyz` whether a connection works.
pub(super) fn watch_link(
    shutdown: &Shutdown,
    condition: Condition,
    mut state: watch::Receiver<LinkState>,
) {
    let token = shutdown.token();
    shutdown.spawn("readiness", async move {
        loop {
            match &*state.borrow_and_update() {
                LinkState::Ready => condition.met(),
                LinkState::Connecting => condition.unmet("connecting"),
                LinkState::Blocked(why) => condition.unmet(why.clone()),
            }
            if !matches!(
                token.run_until_cancelled(state.changed()).await,
                Some(Ok(()))
            ) {
                token.cancelled().await;
                return;
            }
        }
    });
}

/// Shows in `/readyz` whether Redis answers.
pub(super) async fn watch_store(store: Store, condition: Condition, stop: CancellationToken) {
    loop {
        match store.ping().await {
            Ok(()) => condition.met(),
            Err(error) => condition.unmet(Chain(&error).to_string()),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Connects the publisher before the first message, and again when it lost its connection.
pub(super) async fn keep_connected(publisher: Publisher, stop: CancellationToken) {
    loop {
        // An error is shown by the link's state, and logged by whoever publishes.
        let _ = publisher.connect().await;
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}
