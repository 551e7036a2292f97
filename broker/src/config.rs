//! The broker's configuration: one checked struct; `default.toml` is its documentation.

mod listen;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use amqp::{QueueLimits, Topology};
use domain::{OperationName, ParticipantId};
use serde::Deserialize;
use service::{
    configuration::{Check, Checked, Secret, SecretUrl},
    exit::Settings,
    telemetry::LogSettings,
};

pub use self::listen::{Connections, Listen};
use crate::signing::SigningSettings;

/// The compiled-in default, which is also the documentation.
pub const DEFAULT: &str = include_str!("../default.toml");
/// In front of every variable of the environment.
pub const ENVIRONMENT_PREFIX: &str = "BROKER";
/// Shards fit into the last 16 bits of a command id; a few hundred are more than any cluster needs.
const MOST_SHARDS: u16 = 512;
/// Each that is absorbed stands in the message by its id.
const MOST_LOOKAHEAD: usize = 20_000;
/// More copies than that nobody reads in a console.
const MOST_COPIES: u32 = 10_000;

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

impl Checked for Config {
    fn check(&self, check: &mut Check<'_>) {
        check.within("listen", &self.listen);
        check.within("redis", &self.redis);
        check.within("connections", &self.connections);
        check.within("store", &self.store);
        check.within("amqp", &self.amqp);
        check.within("outbox", &self.outbox);
        check.within("signing", &self.signing);
        check.within("quotas", &self.quotas);
        check.require(
            "audit.records",
            self.audit.records > 0,
            "must be more than 0",
        );
        check.require(
            "deadlines.report",
            !self.deadlines.report.is_zero(),
            "must be more than 0",
        );
        check.require(
            "deadlines.running",
            !self.deadlines.running.is_zero(),
            "must be more than 0",
        );
        for name in self.operations.keys() {
            let free = !matches!(name.as_str(), "purge" | "load");
            check.require(
                &format!("operations.{name}"),
                free,
                "must not be called like an operation of our own",
            );
        }
        check.require(
            "deadlines.sweep_every",
            !self.deadlines.sweep_every.is_zero(),
            "must be more than 0",
        );
        check.require(
            "limits.request_bytes",
            self.limits.request_bytes.0 >= 1024,
            "must be at least 1KiB",
        );
        check.require(
            "limits.answer_bytes",
            self.limits.answer_bytes.0 >= 1024,
            "must be at least 1KiB",
        );
        check.require(
            "limits.concurrent_calls",
            self.limits.concurrent_calls > 0,
            "must be more than 0",
        );
        let permits = 1..=tokio::sync::Semaphore::MAX_PERMITS;
        check.require(
            "limits.open_calls",
            permits.contains(&self.limits.open_calls),
            "must be more than 0",
        );
        check.require(
            "limits.call_time",
            !self.limits.call_time.is_zero(),
            "must be more than 0",
        );
        check.require(
            "shutdown.drain",
            !self.shutdown.drain.is_zero(),
            "must be more than 0",
        );
    }
}

impl Checked for RedisAt {
    fn check(&self, check: &mut Check<'_>) {
        let is_tls = self.url.redacted().scheme() == "rediss";
        let given = self.certificate_authority.is_some() || self.client_certificate.is_some();
        check.require(
            "url",
            is_tls || !given,
            "must begin with rediss:// where certificates are given",
        );
        check_pair(
            check,
            self.client_certificate.as_ref(),
            self.client_key.as_ref(),
        );
    }
}

fn check_pair(check: &mut Check<'_>, certificate: Option<&Secret>, key: Option<&Secret>) {
    check.require(
        "client_key",
        certificate.is_some() == key.is_some(),
        "belongs together with `client_certificate`: give both or neither",
    );
}

impl Checked for Management {
    fn check(&self, check: &mut Check<'_>) {
        let is_web = |url: &SecretUrl| matches!(url.redacted().scheme(), "http" | "https");
        check.require(
            "url",
            self.url.as_ref().is_none_or(is_web),
            "must begin with http:// or https://",
        );
        let is_bare = |url: &SecretUrl| {
            let url = url.redacted();
            matches!(url.scheme(), "amqp" | "amqps")
                && url.username().is_empty()
                && url.password().is_none()
        };
        check.require(
            "adapters_url",
            self.adapters_url.as_ref().is_none_or(is_bare),
            "must begin with amqp:// or amqps:// and have no user and no password",
        );
        // One adapter has two of each.
        check.require("connections", self.connections >= 2, "must be at least 2");
        check.require("channels", self.channels >= 2, "must be at least 2");
    }
}

impl Checked for StoreSettings {
    fn check(&self, check: &mut Check<'_>) {
        let shards = (1..=MOST_SHARDS).contains(&self.shards);
        check.require("shards", shards, format!("must be 1 to {MOST_SHARDS}"));
        let plain = !self.prefix.contains(['{', '}', ' ']);
        check.require("prefix", plain, "must have no braces and no spaces");
        check.require(
            "retention",
            !self.retention.is_zero(),
            "must be more than 0",
        );
    }
}

impl Checked for AmqpSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.within("management", &self.management);
        check_pair(
            check,
            self.client_certificate.as_ref(),
            self.client_key.as_ref(),
        );
        let topology = Topology::new(self.prefix.clone(), self.queue_limits());
        check.require(
            "prefix",
            topology.is_ok(),
            "must be letters, digits, dots and hyphens, at most 100",
        );
        check.require(
            "publish_channels",
            self.publish_channels > 0,
            "must be more than 0",
        );
        check.require(
            "delivery_limit",
            self.delivery_limit > 0,
            "must be more than 0",
        );
        check.require(
            "console_copies",
            self.console_copies <= MOST_COPIES,
            format!("must be 0 to {MOST_COPIES}"),
        );
    }
}

impl Checked for QuotaSettings {
    fn check(&self, check: &mut Check<'_>) {
        let burst = self.burst >= Duration::from_millis(100);
        check.require("burst", burst, "must be at least 100ms");
        let own = self.participants.iter();
        let own = own.map(|(id, allowance)| (format!("participants.{id}"), allowance));
        let each = std::iter::once(("each".to_owned(), &self.each));
        for (key, allowance) in each.chain(own) {
            let operations = allowance.operations.values();
            let rates = operations.chain([&allowance.calls, &allowance.selectors]);
            let rates = rates.into_iter().all(|rate| *rate > 0) && allowance.open_commands > 0;
            check.require(&key, rates, "must have no 0");
        }
    }
}

impl Checked for OutboxSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.require("limit", self.limit > 0, "must be more than 0");
        check.require(
            "batch",
            (1..=5_000).contains(&self.batch),
            "must be 1 to 5000",
        );
        // RabbitMQ 4 takes messages of up to 16 MiB.
        let bytes = (1 << 10..=8 << 20).contains(&self.batch_bytes.0);
        check.require("batch_bytes", bytes, "must be 1KiB to 8MiB");
        check.require("window", self.window > 0, "must be more than 0");
        check.require(
            "lookahead",
            self.lookahead <= MOST_LOOKAHEAD,
            format!("must be 0 to {MOST_LOOKAHEAD}"),
        );
        check.require(
            "lease",
            self.lease >= Duration::from_secs(1),
            "must be at least 1s",
        );
    }
}
