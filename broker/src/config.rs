//! The broker's configuration: one checked struct; `default.toml` is its documentation.

mod listen;
mod rules;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use amqp::QueueLimits;
use domain::{OperationName, ParticipantId};
use serde::Deserialize;
use service::{
    configuration::{Secret, SecretUrl},
    exit::Settings,
    telemetry::LogSettings,
};

pub use self::listen::{Connections, Listen};
use crate::signing::SigningSettings;

/// The compiled-in default, which is also the documentation.
pub const DEFAULT: &str = include_str!("../default.toml");
/// In front of every variable of the environment.
pub const ENVIRONMENT_PREFIX: &str = "BROKER";

/// All of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// What is logged.
    pub logs: LogSettings,
    /// The gRPC side.
    pub listen: Listen,
    /// The limits of a connection.
    pub connections: Connections,
    /// The operator's side.
    pub signals: SignalsAt,
    /// Redis.
    pub redis: RedisAt,
    /// What stands in Redis.
    pub store: StoreSettings,
    /// RabbitMQ.
    pub amqp: AmqpSettings,
    /// The way out.
    pub outbox: OutboxSettings,
    /// When silence ends.
    pub deadlines: Deadlines,
    /// What one caller may ask of us.
    pub limits: Limits,
    /// What one caller may ask of us over time.
    pub quotas: QuotaSettings,
    /// Who did what.
    pub audit: AuditSettings,
    /// How it ends.
    pub shutdown: ShutdownSettings,
    /// Signatures.
    pub signing: SigningSettings,
    /// Custom operations.
    pub operations: BTreeMap<OperationName, OperationSettings>,
}

/// The same for a replica that serves, and so opens its certificate, its keys and its lists besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Serving(pub Config);

/// The same where only what concerns Redis is asked for: no other rule is held against it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct AtRedis(pub Config);

/// Where metrics and health are served.
#[derive(Debug, Clone, Deserialize)]
pub struct SignalsAt {
    /// The address.
    pub listen: SocketAddr,
}

/// Where Redis is.
#[derive(Debug, Clone, Deserialize)]
pub struct RedisAt {
    /// `redis://` or `rediss://`.
    pub url: SecretUrl,
    /// Certificates (PEM) to trust instead of the machine's own.
    pub certificate_authority: Option<Secret>,
    /// For a Redis that asks for a certificate (PEM).
    pub client_certificate: Option<Secret>,
    /// Its key (PEM).
    pub client_key: Option<Secret>,
}

/// What stands in Redis.
#[derive(Debug, Clone, Deserialize)]
pub struct StoreSettings {
    /// In front of every key.
    pub prefix: String,
    /// How many shards.
    pub shards: u16,
    /// How long a settled command is kept.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long receipts are kept.
    #[serde(with = "humantime_serde")]
    pub receipts: Duration,
    /// Receipts of one configuration that are kept, the latest.
    pub receipts_at_most: u64,
}

/// RabbitMQ.
#[derive(Debug, Clone, Deserialize)]
pub struct AmqpSettings {
    /// `amqp://` or `amqps://`.
    pub url: SecretUrl,
    /// The same with a user that may configure; `url` when absent.
    pub provision_url: Option<SecretUrl>,
    /// Certificates (PEM) to trust besides the machine's own.
    pub certificate_authority: Option<Secret>,
    /// For a RabbitMQ that asks for a certificate (PEM).
    pub client_certificate: Option<Secret>,
    /// Its key (PEM).
    pub client_key: Option<Secret>,
    /// Who makes participants' users.
    pub management: Management,
    /// In front of every name.
    pub prefix: String,
    /// Channels for publishing.
    pub publish_channels: usize,
    /// Reports worked on at a time.
    pub report_prefetch: std::num::NonZeroU16,
    /// Messages that may wait for one participant.
    pub commands_length: u32,
    /// Reports that may wait for us.
    pub replies_length: u32,
    /// Deliveries before a message counts as poison.
    pub delivery_limit: u32,
    /// Copies of the latest dispatches to each participant, for people at RabbitMQ's console.
    pub console_copies: u32,
}

/// Making RabbitMQ's users.
#[derive(Debug, Clone, Deserialize)]
pub struct Management {
    /// `http://` or `https://`, with a user that may make users; without it, they are the operator's to make.
    pub url: Option<SecretUrl>,
    /// What adapters connect to; `amqp.url` without its user when absent.
    pub adapters_url: Option<SecretUrl>,
    /// Connections that a participant's user may have.
    pub connections: u32,
    /// Channels that it may have.
    pub channels: u32,
}

/// The way out.
#[derive(Debug, Clone, Deserialize)]
pub struct OutboxSettings {
    /// Executions that may wait for one participant in one shard; as many again may be scheduled.
    pub limit: u64,
    /// Executions in one message.
    pub batch: usize,
    /// Bytes of one message.
    pub batch_bytes: Bytes,
    /// Executions that may be out without a report.
    pub window: u64,
    /// Executions of a backlog that are looked at for one message.
    pub lookahead: usize,
    /// How long a lease lasts.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

/// When silence ends.
#[derive(Debug, Clone, Deserialize)]
pub struct Deadlines {
    /// For a report.
    #[serde(with = "humantime_serde")]
    pub report: Duration,
    /// For a native job.
    #[serde(with = "humantime_serde")]
    pub running: Duration,
    /// For a second person's approval.
    #[serde(with = "humantime_serde")]
    pub approval: Duration,
    /// How often we look.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
}

/// What one caller may ask of us.
#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    /// Bytes of one request.
    pub request_bytes: Bytes,
    /// Bytes of one answer.
    pub answer_bytes: Bytes,
    /// Calls that one connection may have open.
    pub concurrent_calls: usize,
    /// Calls and streams that all connections together may have open.
    pub open_calls: usize,
    /// How long the answer to a call may take.
    #[serde(with = "humantime_serde")]
    pub call_time: Duration,
}

/// What one caller may ask of one replica.
#[derive(Debug, Clone, Deserialize)]
pub struct QuotaSettings {
    /// How much may be asked at once, as the time in which it comes back.
    #[serde(with = "humantime_serde")]
    pub burst: Duration,
    /// What every caller may ask.
    pub each: Allowance,
    /// What a selector costs, by its breadth.
    pub prices: Prices,
    /// What certain participants may ask instead.
    pub participants: BTreeMap<ParticipantId, Allowance>,
}

/// What a caller may ask.
#[derive(Debug, Clone, Deserialize)]
pub struct Allowance {
    /// Calls a second; each command of a stream is one.
    pub calls: u32,
    /// What the selectors of an operation's commands may cost in a second.
    pub selectors: u32,
    /// The same for certain operations instead.
    #[serde(default)]
    pub operations: BTreeMap<String, u32>,
    /// Commands in one shard that have not settled.
    pub open_commands: u64,
}

/// What a selector costs.
#[derive(Debug, Clone, Deserialize)]
pub struct Prices {
    /// One URL.
    pub url: u32,
    /// The beginning of a path.
    pub prefix: u32,
    /// A pattern.
    pub wildcard: u32,
    /// A regular expression.
    pub regex: u32,
    /// A tag.
    pub tag: u32,
    /// A host name.
    pub host: u32,
    /// A configuration.
    pub everything: u32,
}

/// Who did what.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditSettings {
    /// How long a record is kept.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How many are kept in one shard.
    pub records: u64,
}

/// How it ends.
#[derive(Debug, Clone, Deserialize)]
pub struct ShutdownSettings {
    /// How long what is in flight may take.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

/// A custom operation.
#[derive(Debug, Clone, Deserialize)]
pub struct OperationSettings {
    /// Whether doing it twice does the same as doing it once.
    pub repeatable: bool,
}

/// A number of bytes: `512KiB`, `4MiB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub usize);

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (number, unit) = match text.trim() {
            text if text.ends_with("KiB") => (text.trim_end_matches("KiB"), 1 << 10),
            text if text.ends_with("MiB") => (text.trim_end_matches("MiB"), 1 << 20),
            text => (text, 1),
        };
        let number = number
            .trim()
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(unit));
        number
            .map(Self)
            .ok_or("must be a number of bytes such as \"512KiB\" or \"4MiB\"")
    }
}

impl AmqpSettings {
    /// The limits that RabbitMQ fixes when a queue is made.
    pub const fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            commands_length: self.commands_length,
            replies_length: self.replies_length,
            delivery_limit: self.delivery_limit,
            console_copies: self.console_copies,
        }
    }
}

impl Settings for Config {
    fn logs(&self) -> &LogSettings {
        &self.logs
    }
}

impl Settings for Serving {
    fn logs(&self) -> &LogSettings {
        &self.0.logs
    }
}
