//! RabbitMQ, once: what stands in it, how a message looks, and how it is published and consumed so that it
//! arrives whatever breaks.
//!
//! Invariant: this is the only crate that names the AMQP library or calls RabbitMQ's management API, and the only place where a name of an
//! exchange or a queue is made.
//! Not here: when something is sent, and what happens with what arrives.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps nothing fails there"
    )
)]

pub mod envelope;
pub mod gathering;

mod channels;
mod consumer;
mod copies;
mod credentials;
mod dead_letters;
mod delivery;
mod dial;
mod error;
mod link;
mod management;
mod message;
mod provision;
mod publisher;
mod rights;
mod sealed;
mod session;
mod topology;

pub use consumer::{Consumer, ConsumerSettings};
pub use copies::{Copies, CopyWriter};
pub use credentials::Credentials;
pub use dead_letters::{Browser, DeadLetter, Death, DeathReason};
pub use delivery::{Delivery, SETTLE_LIMIT};
pub use error::{LinkError, LookError, PublishError, SettleError, TopologyError};
pub use link::{CHANNEL_LIMIT, CLOSE_LIMIT, ClientCertificate, LinkSettings, LinkState};
pub use management::{ManagementError, ManagementSettings, UrlParts, UserLimits, Users, parts_of};
pub use message::{HeaderValue, Message, header};
pub use provision::{DECLARE_LIMIT, Provisioner};
pub use publisher::{Publisher, PublisherSettings};
pub use rights::Rights;
pub use topology::{PREFIX_LENGTH, QueueLimits, REPLIES, Topology};

/// A log directive that silences the AMQP library. It logs the whole body of every message that RabbitMQ gives
/// back, and repeats every error that it also returns to us; what matters we log ourselves.
pub const LOG_DIRECTIVE: &str = "lapin=off";
