//! Consuming: deliveries of one queue, for as long as the program runs, whatever happens to RabbitMQ meanwhile.
//!
//! Invariant: order survives every end. When a stream of deliveries ends, its channel goes too: RabbitMQ 4.3 can
//! keep a cancelled consumer registered, and a queue with a single active consumer would wait for it for ever. And
//! it ends by cutting the connection off, never by cancelling the consumer or closing the channel: those let the
//! next consumer start with what nobody has seen yet, and only then put back what was unsettled. After a cut all
//! of it is put back first, in order (seen on 3.10).
//! Not here: what a delivery means, and when it is done.

use std::{num::NonZeroU16, time::Duration};

use futures::StreamExt;
use lapin::{
    Channel,
    message::Delivery as Raw,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    delivery::Delivery,
    error::LinkError,
    link::{Backoff, CHANNEL_LIMIT, Link, LinkSettings, LinkState},
    session::{Session, within},
};

/// A session that lasted this long was healthy; the next pause is short again.
const HEALTHY: Duration = Duration::from_secs(30);

/// What to read, and how much of it at a time.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// The queue.
    pub queue: String,
    /// What RabbitMQ's console shows beside the queue.
    pub consumer_tag: String,
    /// The most deliveries that are not settled yet. All of them count as failed attempts when this program
    /// dies, so it should not be much more than what is worked on at a time.
    pub prefetch: NonZeroU16,
}

/// Reads one queue over a connection that is used for nothing else.
///
/// Dropping it stops the reading; what is unsettled then is delivered again.
pub struct Consumer {
    deliveries: mpsc::Receiver<Delivery>,
    state: watch::Receiver<LinkState>,
    stopped: CancellationToken,
    finished: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Starts reading. After `shutdown` no more deliveries are handed out.
    pub fn start(
        link: LinkSettings,
        settings: ConsumerSettings,
        shutdown: &CancellationToken,
    ) -> Self {
        let (sender, deliveries) = mpsc::channel(settings.prefetch.get().into());
        let link = Link::new(link);
        let state = link.state();
        let stopped = shutdown.child_token();
        let finished = CancellationToken::new();
        let reader = Reader {
            link,
            settings,
            sender,
            stopped: stopped.clone(),
            finished: finished.clone(),
        };
        let task = Some(tokio::spawn(reader.run()));
        Self {
            deliveries,
            state,
            stopped,
            finished,
            task,
        }
    }

    /// The next delivery. `None` only after shutdown. May be dropped at any point without losing a delivery.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stopped.cancelled() => return None,
                delivery = self.deliveries.recv() => delivery?,
            };
            // What an ended channel left behind comes again on the next one.
            if delivery.is_current() {
                return Some(delivery);
            }
        }
    }

    /// The state of the connection, as it changes. Ready means that the queue is being read.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Ends the connection. What is not settled is delivered again, first and in order.
    pub async fn close(mut self) {
        self.stopped.cancel();
        self.finished.cancel();
        if let Some(task) = self.task.take() {
            let limit = 2 * CHANNEL_LIMIT;
            if timeout(limit, task).await.is_err() {
                warn!(
                    limit_ms = limit.as_millis(),
                    "a consumer did not close in time"
                );
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stopped.cancel();
        self.finished.cancel();
    }
}

/// A consumer on its connection. The fields are dropped in this order: cut off first, so that the library's
/// goodbyes for the channel and the stream reach nobody.
struct Subscription {
    _session: Session,
    channel: Channel,
    stream: lapin::Consumer,
}

/// The task behind a consumer.
struct Reader {
    link: Link,
    settings: ConsumerSettings,
    sender: mpsc::Sender<Delivery>,
    stopped: CancellationToken,
    finished: CancellationToken,
}

impl Reader {
    async fn run(self) {
        let mut backoff = self.link.backoff();
        while !self.stopped.is_cancelled() {
            let since = Instant::now();
            let Err(error) = self.read_once().await else {
                return;
            };
            if self.stopped.is_cancelled() {
                return;
            }
            if since.elapsed() >= HEALTHY {
                backoff.reset();
            }
            self.pause(error, &mut backoff).await;
        }
    }

    /// One session, from connecting to its end. `Ok` means that it ended because we wanted it to.
    async fn read_once(&self) -> Result<(), LinkError> {
        let mut subscription = tokio::select! {
            () = self.stopped.cancelled() => return Ok(()),
            subscription = self.subscribe() => subscription?,
        };
        self.read(&mut subscription.stream).await?;
        // Settling goes on over this channel until the owner of the consumer is done.
        self.finished.cancelled().await;
        self.flush(&subscription.channel).await
    }

    async fn subscribe(&self) -> Result<Subscription, LinkError> {
        let queue = ShortString::try_new(&self.settings.queue).map_err(|_| LinkError::Name)?;
        let tag = ShortString::try_new(&self.settings.consumer_tag).map_err(|_| LinkError::Name)?;
        let session = self.link.connect().await?;
        let channel = session.channel().await?;
        self.flush(&channel).await?;
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue, tag, options, FieldTable::default());
        let stream = within(CHANNEL_LIMIT, "start a consumer", consuming).await?;
        session.mark_ready();
        info!(queue = %self.settings.queue, consumer.tag = %self.settings.consumer_tag, "consuming");
        Ok(Subscription {
            _session: session,
            channel,
            stream,
        })
    }

    /// Sets the prefetch. The answer comes behind all that was sent before, so the last acknowledgement is through.
    async fn flush(&self, channel: &Channel) -> Result<(), LinkError> {
        let options = BasicQosOptions { global: false };
        let answer = channel.basic_qos(self.settings.prefetch.get(), options);
        within(CHANNEL_LIMIT, "set the prefetch", answer).await
    }

    async fn read(&self, stream: &mut lapin::Consumer) -> Result<(), LinkError> {
        loop {
            let next = tokio::select! {
                () = self.stopped.cancelled() => return Ok(()),
                next = stream.next() => next,
            };
            match next {
                Some(Ok(raw)) => self.hand_over(raw).await,
                Some(Err(source)) => {
                    return Err(LinkError::Broken {
                        step: "go on delivering",
                        source,
                    });
                }
                None => return Err(LinkError::Cancelled),
            }
        }
    }

    /// Waits while the owner is busy. Nothing piles up: RabbitMQ sends no more than the prefetch.
    async fn hand_over(&self, raw: Raw) {
        tokio::select! {
            () = self.stopped.cancelled() => {}
            _ = self.sender.send(Delivery::new(raw)) => {}
        }
    }

    async fn pause(&self, error: LinkError, backoff: &mut Backoff) {
        let pause = backoff.next();
        self.log(&error, pause);
        tokio::select! {
            () = self.stopped.cancelled() => {}
            () = sleep(pause) => {}
        }
    }

    fn log(&self, error: &(dyn std::error::Error + 'static), pause: Duration) {
        let queue = &self.settings.queue;
        warn!(error, %queue, retry_in_ms = pause.as_millis(), "consuming broke off");
    }
}
