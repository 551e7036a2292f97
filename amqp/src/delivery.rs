//! One delivery: a message, where it came from, and the three answers to it.
//!
//! Invariant: an answer is given once, and an answer that did not get through is an error that says so; RabbitMQ
//! then delivers the message again.
//! Not here: which answer is right.

use std::time::Duration;

use lapin::{
    Acker,
    message::Delivery as Raw,
    options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions},
};
use tokio::time::timeout;

use crate::{error::SettleError, message::Message};

/// How long an answer may take to be written.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// A message from a queue. Settle it with one of [`ack`](Self::ack), [`reject`](Self::reject) and
/// [`nack_requeue`](Self::nack_requeue); dropped, it stays with this consumer until its connection ends.
#[derive(Debug)]
#[must_use = "an unsettled delivery takes a place in the prefetch until the connection ends"]
pub struct Delivery {
    /// The exchange it was published to: for a report, its participant's entry exchange.
    pub exchange: String,
    /// The key it was published with.
    pub routing_key: String,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// How often it came back before, as far as RabbitMQ counts it. 3.10 counts every return, 4.3 only failures.
    pub delivery_count: u64,
    /// The RabbitMQ user that sent it, where it says so. RabbitMQ has compared that with the connection's user.
    pub user: Option<String>,
    /// The message.
    pub message: Message,
    acker: Acker,
}

impl Delivery {
    pub(crate) fn new(raw: Raw) -> Self {
        let user = raw.properties.user_id().clone();
        let (message, delivery_count) = Message::delivered(&raw.properties, raw.data);
        Self {
            exchange: raw.exchange.to_string(),
            routing_key: raw.routing_key.to_string(),
            redelivered: raw.redelivered,
            delivery_count,
            user: user.map(|user| user.to_string()),
            message,
            acker: raw.acker,
        }
    }

    /// Done: RabbitMQ forgets it.
    pub async fn ack(self) -> Result<(), SettleError> {
        settled(self.acker.ack(BasicAckOptions::default())).await
    }

    /// A failed attempt. With `requeue` it comes again, behind what this consumer holds, until its queue's delivery
    /// limit; without, or past that limit, it goes to the dead letters.
    pub async fn reject(self, requeue: bool) -> Result<(), SettleError> {
        settled(self.acker.reject(BasicRejectOptions { requeue })).await
    }

    /// Not an attempt: it is not for us now. It is delivered again before all that was not delivered yet, but behind
    /// what this consumer holds; so at shutdown rather drop what is held and close the consumer, which keeps order.
    pub async fn nack_requeue(self) -> Result<(), SettleError> {
        settled(self.acker.nack(BasicNackOptions {
            multiple: false,
            requeue: true,
        }))
        .await
    }

    /// Whether its channel still stands, as far as we know.
    pub fn is_current(&self) -> bool {
        self.acker.usable()
    }
}

/// The library answers `false` where the channel is gone: the message was not settled.
pub(crate) async fn settled(
    answer: impl Future<Output = lapin::Result<bool>>,
) -> Result<(), SettleError> {
    match timeout(SETTLE_LIMIT, answer).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(SettleError::ChannelGone),
        Ok(Err(source)) => Err(SettleError::Broken { source }),
        Err(_) => Err(SettleError::TimedOut {
            limit: SETTLE_LIMIT,
        }),
    }
}
