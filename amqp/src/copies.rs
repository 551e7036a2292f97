//! Copies of dispatches for people: RabbitMQ refuses to show what stands in a queue with a single active consumer.
//!
//! Invariant: nobody waits for a copy and nobody misses one. It has a connection of its own, is neither persistent nor
//! confirmed, and is left out whenever RabbitMQ is slow, blocked or away.
//! Not here: how many are kept and for how long (`topology`).

use std::time::Duration;

use lapin::{Channel, options::BasicPublishOptions, types::ShortString};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    error::LinkError,
    link::{Backoff, Link, LinkSettings, LinkState},
    message::Message,
    session::{Session, within},
};

/// The most copies that wait to be written. Each may be as large as a dispatch.
const WAITING: usize = 16;
/// How long one copy may take.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How AMQP says that a message is not written to disk.
const TRANSIENT: u8 = 1;

/// Takes copies. Clones share the way.
#[derive(Debug, Clone)]
pub struct Copies(mpsc::Sender<Copied>);

#[derive(Debug)]
struct Copied {
    routing_key: String,
    message: Message,
}

impl Copies {
    /// Copies go to `exchange`, as long as the writer runs.
    pub fn new(link: LinkSettings, exchange: String) -> (Self, CopyWriter) {
        let (sender, waiting) = mpsc::channel(WAITING);
        let link = Link::new(link);
        let writer = CopyWriter {
            backoff: link.backoff(),
            link,
            exchange,
            waiting,
            connected: None,
            not_before: Instant::now(),
        };
        (Self(sender), writer)
    }

    /// Leaves a copy, if there is room for it.
    pub fn leave(&self, routing_key: &str, message: &Message) {
        if let Ok(room) = self.0.try_reserve() {
            room.send(Copied {
                routing_key: routing_key.to_owned(),
                message: message.clone(),
            });
        }
    }
}

/// Writes what was left.
pub struct CopyWriter {
    link: Link,
    exchange: String,
    waiting: mpsc::Receiver<Copied>,
    connected: Option<(Session, Channel)>,
    backoff: Backoff,
    /// No attempt to connect before this moment.
    not_before: Instant,
}

impl CopyWriter {
    /// Writes until asked to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(copied)) = stop.run_until_cancelled(self.waiting.recv()).await {
            let writing = stop.run_until_cancelled(self.write(&copied)).await;
            if let Some(Err(error)) = writing {
                let error: &(dyn std::error::Error + 'static) = &error;
                debug!(error, "a copy of a dispatch was not written");
                self.connected = None;
                self.not_before = Instant::now() + self.backoff.next();
            }
        }
        if let Some((session, _)) = self.connected.take() {
            session.close().await;
        }
    }

    async fn write(&mut self, copied: &Copied) -> Result<(), LinkError> {
        if self.connected.is_none() && Instant::now() < self.not_before {
            return Ok(());
        }
        let Ok(properties) = copied.message.properties() else {
            return Ok(());
        };
        let properties = properties.with_delivery_mode(TRANSIENT);
        let exchange = ShortString::try_new(&self.exchange).map_err(|_| LinkError::Name)?;
        let key = ShortString::try_new(&copied.routing_key).map_err(|_| LinkError::Name)?;
        let state = self.link.state();
        // The library would keep what cannot be written, without a limit.
        if matches!(*state.borrow(), LinkState::Blocked(_)) {
            return Ok(());
        }
        let (options, body) = (BasicPublishOptions::default(), &copied.message.body);
        let channel = self.channel().await?;
        let publishing = channel.basic_publish(exchange, key, options, body, properties);
        within(WRITE_LIMIT, "take a copy", publishing).await?;
        self.backoff.reset();
        Ok(())
    }

    async fn channel(&mut self) -> Result<&Channel, LinkError> {
        let usable = |(session, channel): &(Session, Channel)| {
            session.is_usable() && channel.status().connected()
        };
        if !self.connected.as_ref().is_some_and(usable) {
            self.connected = None;
            let session = self.link.connect().await?;
            let channel = session.channel().await?;
            session.mark_ready();
            self.connected = Some((session, channel));
        }
        let connected = self.connected.as_ref();
        Ok(connected
            .map(|(_, channel)| channel)
            .expect("it was usable, or it was just put there"))
    }
}
