//! What can go wrong between us and RabbitMQ, in five questions: could we reach it (`LinkError`), did the
//! message get there (`PublishError`), is the delivery settled (`SettleError`), can we look into a queue
//! (`LookError`), does the topology stand (`TopologyError`).
//!
//! Invariant: no error holds a URL or a password, and none repeats its source in its own words.
//! Not here: what to do about it. The caller decides, from the variant.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

/// Why RabbitMQ could not be reached, or was lost.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The configured URL cannot be used. It is not repeated here: it holds a password.
    #[error("the RabbitMQ URL is not of the form amqp://user:password@host:port/vhost")]
    Url,
    /// The file with user and password cannot be read.
    #[error("the RabbitMQ credentials in {} cannot be read", file.display())]
    Credentials {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// RabbitMQ did not answer in time.
    #[error("RabbitMQ did not {step} within {limit:?}")]
    TimedOut {
        /// What we waited for.
        step: &'static str,
        /// How long we waited.
        limit: Duration,
    },
    /// RabbitMQ refused, or the connection broke.
    #[error("RabbitMQ did not {step}")]
    Broken {
        /// What we waited for.
        step: &'static str,
        /// What the client library saw.
        source: lapin::Error,
    },
    /// RabbitMQ takes no messages on this connection: an alarm on memory or disk.
    #[error("RabbitMQ blocks publishing: {reason}")]
    Blocked {
        /// RabbitMQ's own words.
        reason: String,
    },
    /// The last attempt failed a moment ago, and the next one is not due yet.
    #[error("RabbitMQ was out of reach a moment ago")]
    Pausing,
    /// All channels were busy for too long.
    #[error("no channel became free within {limit:?}")]
    Busy {
        /// How long we waited.
        limit: Duration,
    },
    /// The publisher was closed.
    #[error("the publisher is closed")]
    Closed,
    /// RabbitMQ ended the consumer: its queue was deleted, has lost its leader, or waited too long for an answer.
    #[error("RabbitMQ cancelled the consumer")]
    Cancelled,
    /// The name of a queue or consumer is longer than AMQP can carry.
    #[error("the name of a queue or consumer is longer than 255 bytes")]
    Name,
}

/// Why a message is not known to stand in a queue.
#[derive(Debug, Error)]
pub enum PublishError {
    /// No queue is bound for this routing key. RabbitMQ gave the message back.
    #[error(
        "no queue takes messages of exchange `{exchange}` with routing key `{routing_key}` ({reply})"
    )]
    Unroutable {
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
        /// RabbitMQ's own words.
        reply: String,
    },
    /// A queue refused the message, because it is full. Nothing was stored; try again later.
    #[error("a queue behind exchange `{exchange}` is full for routing key `{routing_key}`")]
    Refused {
        /// Where it was published.
        exchange: String,
        /// With which key.
        routing_key: String,
    },
    /// The exchange does not exist or may not be written. Another try will not help.
    #[error("exchange `{exchange}` does not exist or may not be written")]
    Denied {
        /// Where it was published.
        exchange: String,
        /// What RabbitMQ said.
        source: lapin::Error,
    },
    /// No confirm came in time: it may or may not be stored. Publish again with the same `message_id`.
    #[error("RabbitMQ did not confirm the message within {limit:?}")]
    TimedOut {
        /// How long we waited.
        limit: Duration,
    },
    /// The channel broke before the confirm: it may or may not be stored. Publish again with the same `message_id`.
    #[error("the channel broke before the message was confirmed")]
    Lost {
        /// What the client library saw.
        source: lapin::Error,
    },
    /// Nothing was sent: RabbitMQ is out of reach, blocked or busy.
    #[error("RabbitMQ takes no messages now")]
    Unavailable {
        /// When another try makes sense.
        retry_after: Duration,
        /// Why.
        source: LinkError,
    },
    /// Nothing was sent: a name or property is longer than AMQP can carry.
    #[error("the {field} is longer than the {limit} bytes that AMQP allows")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// The limit of the protocol.
        limit: usize,
    },
}

impl PublishError {
    /// Whether the message may stand in a queue although the call failed.
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Lost { .. })
    }
}

/// Why a delivery could not be settled. In every case RabbitMQ delivers the message again.
#[derive(Debug, Error)]
pub enum SettleError {
    /// The channel that delivered it is gone.
    #[error("the channel of this delivery is gone; the message will be redelivered")]
    ChannelGone,
    /// The channel broke while we answered.
    #[error("the channel of this delivery broke; the message will be redelivered")]
    Broken {
        /// What the client library saw.
        source: lapin::Error,
    },
    /// The answer could not be written in time, as on a blocked connection. It may still get through.
    #[error(
        "the answer could not be sent within {limit:?}; the message will probably be redelivered"
    )]
    TimedOut {
        /// How long we waited.
        limit: Duration,
    },
}

/// Why a queue could not be looked into. What was held goes back.
#[derive(Debug, Error)]
pub enum LookError {
    /// It is not there. The browser can go on with other queues.
    #[error("there is no queue `{queue}`")]
    NoQueue {
        /// Which.
        queue: String,
    },
    /// RabbitMQ could not be reached, refused, or was lost.
    #[error("RabbitMQ does not show its queues")]
    Link(#[from] LinkError),
}

/// Why a part of the topology does not stand.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// The prefix has a character that a name may not have, or is too long.
    #[error(
        "the prefix `{prefix}` of queue names must be at most {limit} letters, digits, dots or hyphens"
    )]
    Prefix {
        /// The prefix as given.
        prefix: String,
        /// The most characters it may have.
        limit: usize,
    },
    /// The participant's id would give it a queue that is already used for something else.
    #[error(
        "`{participant}` cannot be a participant's id: the queue of that name holds the reports that nobody could read"
    )]
    Reserved {
        /// The id.
        participant: String,
    },
    /// It exists with other settings, and RabbitMQ cannot change them.
    #[error(
        "{part} exists with other settings; keep the settings it was made with, or empty it, delete it and provision again"
    )]
    Differs {
        /// `queue commands.b`, for example.
        part: String,
        /// Which setting differs, in RabbitMQ's words.
        source: lapin::Error,
    },
    /// The user of this connection may not do that.
    #[error("this RabbitMQ user may not change {part}; provision as a user with configure rights")]
    Forbidden {
        /// Which part.
        part: String,
        /// What RabbitMQ said.
        source: lapin::Error,
    },
    /// RabbitMQ was lost in between.
    #[error("{part} could not be changed")]
    Failed {
        /// Which part.
        part: String,
        /// Why.
        source: LinkError,
    },
    /// RabbitMQ could not be reached.
    #[error("RabbitMQ could not be reached to change the topology")]
    Unreachable(#[from] LinkError),
}
