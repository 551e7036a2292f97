//! Publishing: a call that returns `Ok` means that a queue holds the message on disk.
//!
//! Invariant: on one channel there is never more than one message without an answer. The client library gives the
//! oldest returned message to the next confirm, whichever that is, and RabbitMQ confirms several at once; with two
//! in flight a message that went nowhere can look stored. Many channels give the speed back.
//! Not here: trying again. A message has an id, so the caller may, whenever the outcome is unknown.

use std::{sync::Arc, time::Duration};

use deadpool::managed::{Pool, PoolError, TimeoutType};
use lapin::{
    BasicProperties, Channel, Confirmation, options::BasicPublishOptions, protocol::AMQPErrorKind,
    types::ShortString,
};
use tokio::{sync::watch, time::timeout};

use crate::{
    channels::{Channels, Lease, unavailable},
    error::{LinkError, PublishError},
    link::{CHANNEL_LIMIT, Link, LinkSettings, LinkState},
    message::{Message, short},
};

/// When to look again at a connection that is blocked, or whose channels are all busy.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// How much is published at a time, and how long one message may take.
#[derive(Debug, Clone, Copy)]
pub struct PublisherSettings {
    /// The most channels, and so the most messages without an answer.
    pub max_channels: usize,
    /// The longest wait for a free channel.
    pub channel_timeout: Duration,
    /// The longest wait for a confirm.
    pub confirm_timeout: Duration,
    /// Whether each message names our RabbitMQ user (`user_id`), which RabbitMQ compares with the connection's: whoever
    /// reads it knows that it is true.
    pub says_user: bool,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            max_channels: 64,
            channel_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            says_user: false,
        }
    }
}

/// Publishes over one connection that is used for nothing else. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    pool: Pool<Channels>,
    settings: PublisherSettings,
    user: Option<Arc<str>>,
    state: watch::Receiver<LinkState>,
}

impl Publisher {
    /// Connects with the first message, not before.
    pub fn new(link: LinkSettings, settings: PublisherSettings) -> Self {
        let create_limit = link.connect_timeout + 3 * CHANNEL_LIMIT;
        let user = link.user().filter(|_| settings.says_user);
        let link = Link::new(link);
        let state = link.state();
        let pool = Pool::builder(Channels::new(link))
            .max_size(settings.max_channels.max(1))
            .wait_timeout(Some(settings.channel_timeout))
            .create_timeout(Some(create_limit))
            .recycle_timeout(Some(CHANNEL_LIMIT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .expect("a pool with timeouts needs a runtime, and it has one");
        Self {
            pool,
            settings,
            user: user.map(Arc::from),
            state,
        }
    }

    /// The state of the connection, as it changes.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Connects now, if there is no connection: for a check of readiness that should not wait for a message.
    pub async fn connect(&self) -> Result<(), PublishError> {
        self.lease().await?.give_back();
        Ok(())
    }

    /// Sends `message` and waits until a queue has it. May be dropped at any point: the message is then stored
    /// or not, as after a timeout.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        message: &Message,
    ) -> Result<(), PublishError> {
        let to = Address {
            exchange: short("exchange name", exchange)?,
            routing_key: short("routing key", routing_key)?,
        };
        let mut properties = message.properties()?;
        if let Some(user) = &self.user {
            properties = properties.with_user_id(short("user id", user)?);
        }
        self.refuse_while_blocked()?;
        let lease = self.lease().await?;
        let limit = self.settings.confirm_timeout;
        let confirmation = timeout(limit, send(lease.channel(), &to, properties, &message.body))
            .await
            .map_err(|_| PublishError::TimedOut { limit })?
            .map_err(|source| to.broken(source))?;
        lease.give_back();
        to.judge(confirmation)
    }

    /// Closes the connection. Later calls are refused, and messages under way may end as lost: stop sending first.
    pub async fn close(&self) {
        self.pool.close();
        self.pool.manager().close().await;
    }

    fn refuse_while_blocked(&self) -> Result<(), PublishError> {
        match &*self.state.borrow() {
            LinkState::Blocked(reason) => Err(PublishError::Unavailable {
                retry_after: BUSY_RETRY,
                source: LinkError::Blocked {
                    reason: reason.clone(),
                },
            }),
            LinkState::Connecting | LinkState::Ready => Ok(()),
        }
    }

    async fn lease(&self) -> Result<Lease, PublishError> {
        match self.pool.get().await {
            Ok(object) => Ok(Lease::new(object)),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let limit = self.settings.channel_timeout;
                Err(unavailable(BUSY_RETRY, LinkError::Busy { limit }))
            }
            Err(PoolError::Timeout(_)) => {
                let source = LinkError::TimedOut {
                    step: "open a channel",
                    limit: CHANNEL_LIMIT,
                };
                Err(unavailable(BUSY_RETRY, source))
            }
            Err(
                PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_),
            ) => Err(unavailable(BUSY_RETRY, LinkError::Closed)),
        }
    }
}

/// Where one message goes.
struct Address {
    exchange: ShortString,
    routing_key: ShortString,
}

impl Address {
    fn judge(&self, confirmation: Confirmation) -> Result<(), PublishError> {
        let (exchange, routing_key) = (self.exchange.to_string(), self.routing_key.to_string());
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                let reply = returned.reply_text.to_string();
                Err(PublishError::Unroutable {
                    exchange,
                    routing_key,
                    reply,
                })
            }
            Confirmation::Nack(None) | Confirmation::NotRequested => Err(PublishError::Refused {
                exchange,
                routing_key,
            }),
        }
    }

    /// A channel that RabbitMQ closes with a soft error has said no to this message; any other end says nothing.
    fn broken(&self, source: lapin::Error) -> PublishError {
        let denied = match source.kind() {
            lapin::ErrorKind::ProtocolError(error) => {
                matches!(error.kind(), AMQPErrorKind::Soft(_))
            }
            _ => false,
        };
        if denied {
            PublishError::Denied {
                exchange: self.exchange.to_string(),
                source,
            }
        } else {
            PublishError::Lost { source }
        }
    }
}

async fn send(
    channel: &Channel,
    to: &Address,
    properties: BasicProperties,
    body: &[u8],
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let (exchange, routing_key) = (to.exchange.clone(), to.routing_key.clone());
    channel
        .basic_publish(exchange, routing_key, options, body, properties)
        .await?
        .await
}
