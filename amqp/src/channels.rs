//! The publisher's channels: one connection, and channels in confirm mode that are lent out for one message each.
//!
//! Invariant: a channel comes back only with all its answers given; every other one is thrown away. While
//! RabbitMQ is out of reach a request fails at once, until the next attempt is due.
//! Not here: what is sent and what an answer means (`publisher`).

use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use lapin::{Channel, options::ConfirmSelectOptions};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::{
    error::{LinkError, PublishError},
    link::{Backoff, CHANNEL_LIMIT, Link},
    session::{Session, within},
};

/// A channel for one message. It goes back to the pool only after an answer; otherwise, also when the caller
/// stops waiting, it is thrown away, or the next message would get this one's answer.
pub(crate) struct Lease(Option<Object<Channels>>);

impl Lease {
    pub(crate) fn new(object: Object<Channels>) -> Self {
        Self(Some(object))
    }

    pub(crate) fn channel(&self) -> &Channel {
        self.0
            .as_ref()
            .expect("only `give_back` and `drop` empty it, and both end its life")
    }

    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// Opens channels in confirm mode, on a connection that it makes when there is none.
pub(crate) struct Channels {
    link: Link,
    slot: Mutex<Slot>,
}

struct Slot {
    session: Option<Session>,
    backoff: Backoff,
    /// No attempt before this moment.
    not_before: Instant,
}

impl managed::Manager for Channels {
    type Type = Channel;
    type Error = PublishError;

    async fn create(&self) -> Result<Channel, PublishError> {
        let mut slot = self.slot.lock().await;
        let opened = match self.session(&mut slot).await {
            Ok(session) => open_confirming(session).await,
            Err(error) => return Err(error),
        };
        opened.map_err(|source| {
            // A connection on which no channel opens in time is dead, whatever the library thinks of it.
            if matches!(source, LinkError::TimedOut { .. }) {
                slot.session = None;
            }
            unavailable(slot.pause(), source)
        })
    }

    async fn recycle(&self, channel: &mut Channel, _: &Metrics) -> RecycleResult<PublishError> {
        if channel.status().connected() {
            Ok(())
        } else {
            Err(RecycleError::message("the channel is closed"))
        }
    }
}

impl Channels {
    pub(crate) fn new(link: Link) -> Self {
        let slot = Slot {
            session: None,
            backoff: link.backoff(),
            not_before: Instant::now(),
        };
        Self {
            link,
            slot: Mutex::new(slot),
        }
    }

    async fn session<'slot>(&self, slot: &'slot mut Slot) -> Result<&'slot Session, PublishError> {
        if !slot.session.as_ref().is_some_and(Session::is_usable) {
            slot.session = None;
            let pause = slot.not_before.saturating_duration_since(Instant::now());
            if !pause.is_zero() {
                return Err(unavailable(pause, LinkError::Pausing));
            }
            match self.link.connect().await {
                Ok(session) => slot.keep(session),
                Err(source) => {
                    let pause = slot.pause();
                    log(&source, pause);
                    return Err(unavailable(pause, source));
                }
            }
        }
        Ok(slot
            .session
            .as_ref()
            .expect("it was usable, or it was just put there"))
    }

    pub(crate) async fn close(&self) {
        if let Some(session) = self.slot.lock().await.session.take() {
            session.close().await;
        }
    }
}

impl Slot {
    fn keep(&mut self, session: Session) {
        session.mark_ready();
        self.session = Some(session);
        self.backoff.reset();
    }

    fn pause(&mut self) -> Duration {
        let pause = self.backoff.next();
        self.not_before = Instant::now() + pause;
        pause
    }
}

async fn open_confirming(session: &Session) -> Result<Channel, LinkError> {
    let channel = session.channel().await?;
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    within(CHANNEL_LIMIT, "confirm messages on a channel", confirming).await?;
    Ok(channel)
}

fn log(error: &(dyn std::error::Error + 'static), pause: Duration) {
    warn!(
        error,
        retry_in_ms = pause.as_millis(),
        "cannot connect for publishing"
    );
}

pub(crate) fn unavailable(retry_after: Duration, source: LinkError) -> PublishError {
    PublishError::Unavailable {
        retry_after,
        source,
    }
}
