//! One connection that stands or stood, and the eye on it.
//!
//! Invariant: the shown state is never better than the connection: it falls back when the connection ends,
//! whoever ended it.
//! Not here: making the next one (`link`).

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use lapin::{Channel, Connection, ConnectionStatus, Event};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use crate::{
    dial::Socket,
    error::LinkError,
    link::{CHANNEL_LIMIT, CLOSE_LIMIT, LinkState},
};

/// How often an idle connection is looked at: a close by the server is not among the library's events.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// AMQP's code for an orderly close.
const REPLY_SUCCESS: u16 = 200;

/// One connection that stands or stood. Dropping it cuts it off, without a goodbye.
pub(crate) struct Session {
    connection: Connection,
    socket: Socket,
    state: Arc<watch::Sender<LinkState>>,
    watcher: AbortHandle,
}

impl Session {
    pub(crate) fn watch(
        connection: Connection,
        socket: Socket,
        state: Arc<watch::Sender<LinkState>>,
    ) -> Self {
        let events = connection.events_listener();
        let watching = watch_events(events, connection.status().clone(), Arc::clone(&state));
        let watcher = tokio::spawn(watching).abort_handle();
        Self {
            connection,
            socket,
            state,
            watcher,
        }
    }

    pub(crate) fn mark_ready(&self) {
        self.state.send_if_modified(|state| {
            let connecting = *state == LinkState::Connecting;
            if connecting {
                *state = LinkState::Ready;
            }
            connecting
        });
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) async fn channel(&self) -> Result<Channel, LinkError> {
        within(
            CHANNEL_LIMIT,
            "open a channel",
            self.connection.create_channel(),
        )
        .await
    }

    /// Says goodbye, but does not insist.
    pub(crate) async fn close(self) {
        let goodbye = self.connection.close(REPLY_SUCCESS, "OK".into());
        let _ = within(CLOSE_LIMIT, "close the connection", goodbye).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.socket.cut();
        self.watcher.abort();
        self.state.send_replace(LinkState::Connecting);
    }
}

/// Runs one call of the client library with a limit.
pub(crate) async fn within<T>(
    limit: Duration,
    step: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, LinkError> {
    timeout(limit, call)
        .await
        .map_err(|_| LinkError::TimedOut { step, limit })?
        .map_err(|source| LinkError::Broken { step, source })
}

async fn watch_events(
    mut events: impl Stream<Item = Event> + Unpin,
    status: ConnectionStatus,
    state: Arc<watch::Sender<LinkState>>,
) {
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = look.tick() => {
                if status.connected() {
                    continue;
                }
                None
            }
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                warn!(reason, "RabbitMQ blocks publishing");
                state.send_replace(LinkState::Blocked(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                info!("RabbitMQ takes messages again");
                state.send_replace(LinkState::Ready);
            }
            Some(Event::Error(_)) | None => {
                state.send_replace(LinkState::Connecting);
                return;
            }
            Some(_) => {}
        }
    }
}
