//! The adapter's configuration, checked as a whole before anything starts.
//!
//! Invariant: `default.toml` documents every key; what is loaded keeps all rules, so nobody checks again later.
//! Not here: where the values come from (`service::configuration`).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use amqp::{LinkSettings, PublisherSettings, QueueLimits, Topology};
use domain::ParticipantId;
use serde::Deserialize;
use service::{
    backoff::BackoffSettings,
    configuration::{Check, Checked, Problems, Secret, SecretUrl, load},
    exit::Settings,
    telemetry::LogSettings,
};
use url::Url;

use crate::address::AllowedAddress;

/// The compiled-in default, which documents every key.
pub const DEFAULT: &str = include_str!("../default.toml");

/// What environment variables of the adapter begin with, before `__`.
pub const ENVIRONMENT_PREFIX: &str = "ADAPTER";

/// All of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Configuration {
    /// Whose adapter this is.
    pub participant: ParticipantId,
    /// Where orders go.
    pub kind: Kind,
    /// Where the adapter may connect.
    pub allowed_addresses: Vec<AllowedAddress>,
    /// The longest time for finishing after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_time: Duration,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// How much at a time.
    pub execution: Execution,
    /// One call and its repetitions.
    pub calls: Calls,
    /// What is remembered.
    pub journal: Journal,
    /// What goes into one message.
    pub report: Report,
    /// The participant's own system.
    pub invocation_system: InvocationSystem,
    /// Metrics and health.
    pub signals: Signals,
    /// The log.
    pub logs: LogSettings,
}

/// Where orders go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To each server, in its own dialect.
    Caches,
    /// To the participant's own system.
    InvocationSystem,
}

/// RabbitMQ.
#[derive(Debug, Clone, Deserialize)]
pub struct Amqp {
    /// With the participant's own user.
    pub url: SecretUrl,
    /// What all names begin with.
    pub prefix: String,
    /// Dispatches that are here and not settled.
    pub prefetch: std::num::NonZeroU16,
    /// From the first packet to an open connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How often both sides say that they live.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Certificates (PEM) to trust.
    pub certificate_authority: Option<Secret>,
}

/// How much at a time.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Execution {
    /// Executions.
    pub concurrency: usize,
    /// Servers of one execution.
    pub servers_at_once: usize,
}

/// One call and its repetitions.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Calls {
    /// The longest time for one call.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The same for a load.
    #[serde(with = "humantime_serde")]
    pub load_timeout: Duration,
    /// The longest time until connected.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How often one call is tried.
    pub attempts: u32,
    /// For how long one call is tried, pauses included.
    #[serde(with = "humantime_serde")]
    pub total_time: Duration,
    /// Between two tries.
    pub pause: BackoffSettings,
    /// Bytes of an answer.
    pub answer_limit: u64,
    /// Bytes of a loaded object.
    pub load_limit: u64,
    /// Connections kept open to each server.
    pub idle_connections: usize,
    /// How long a name is remembered.
    #[serde(with = "humantime_serde")]
    pub name_lifetime: Duration,
    /// How long looking it up may take.
    #[serde(with = "humantime_serde")]
    pub name_timeout: Duration,
}

/// What is remembered.
#[derive(Debug, Clone, Deserialize)]
pub struct Journal {
    /// Where.
    pub folder: PathBuf,
    /// For how long.
    #[serde(with = "humantime_serde")]
    pub keep_for: Duration,
    /// How many executions.
    pub keep_at_most: u64,
    /// Bytes of memory.
    pub cache: usize,
}

/// What goes into one message.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Report {
    /// Executions.
    pub executions_per_message: usize,
    /// Bytes.
    pub bytes_per_message: usize,
    /// The longest wait for a confirm.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// Before a message is published again.
    pub pause: BackoffSettings,
}

/// The participant's own system.
#[derive(Debug, Clone, Deserialize)]
pub struct InvocationSystem {
    /// Where it is.
    pub base_url: Option<Url>,
    /// What it knows us by.
    pub token: Option<Secret>,
    /// How often it is asked.
    #[serde(with = "humantime_serde")]
    pub poll_every: Duration,
    /// Questions at a time.
    pub polls_at_once: usize,
    /// For how long it is asked.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
    /// Executions that may be under way there.
    pub jobs_at_once: usize,
    /// Where it may call us.
    pub callback_listen: Option<SocketAddr>,
    /// The URL of the same, as it sees us.
    pub callback_url: Option<Url>,
}

/// Metrics and health.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Signals {
    /// Where they are served.
    pub listen: SocketAddr,
}

impl Configuration {
    /// Loads it from the default, `file` and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Problems> {
        load(DEFAULT, file, ENVIRONMENT_PREFIX)
    }

    /// The names in RabbitMQ.
    pub fn topology(&self) -> Topology {
        Topology::new(&self.amqp.prefix, QueueLimits::default())
            .expect("the prefix was checked with the configuration")
    }

    /// How RabbitMQ is reached, for a connection with this purpose.
    pub fn link(&self, purpose: &str) -> LinkSettings {
        let name = format!(
            "adapter/{}/{purpose}/{}",
            self.participant,
            env!("CARGO_PKG_VERSION")
        );
        let authority = self.amqp.certificate_authority.as_ref();
        LinkSettings {
            connect_timeout: self.amqp.connect_timeout,
            heartbeat: self.amqp.heartbeat,
            certificate_authority: authority.map(|authority| authority.expose().to_owned()),
            ..LinkSettings::new(self.amqp.url.expose().to_owned().into(), name)
        }
    }

    /// One message is under way at a time, so one channel is enough.
    pub fn publisher(&self) -> PublisherSettings {
        PublisherSettings {
            max_channels: 1,
            confirm_timeout: self.report.confirm_timeout,
            ..PublisherSettings::default()
        }
    }
}

impl Settings for Configuration {
    fn logs(&self) -> &LogSettings {
        &self.logs
    }
}

impl Checked for Configuration {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "participant",
            Topology::check_participant(&self.participant).is_ok(),
            "must not be `replies`",
        );
        match self.kind {
            Kind::Caches => check.require(
                "allowed_addresses",
                !self.allowed_addresses.is_empty(),
                "must name at least one network or host: an adapter connects nowhere else",
            ),
            Kind::InvocationSystem => check.within("invocation_system", &self.invocation_system),
        }
        positive(check, "drain_time", self.drain_time);
        check.within("amqp", &self.amqp);
        check.within("execution", &self.execution);
        check.within("calls", &self.calls);
        check.within("journal", &self.journal);
        check.within("report", &self.report);
        check.within("logs", &self.logs);
    }
}

impl Checked for Amqp {
    fn check(&self, check: &mut Check<'_>) {
        let scheme = self.url.redacted().scheme();
        check.require(
            "url",
            matches!(scheme, "amqp" | "amqps"),
            "must begin with amqp:// or amqps://",
        );
        let topology = Topology::new(&self.prefix, QueueLimits::default());
        if let Err(error) = topology {
            check.require("prefix", false, error);
        }
        positive(check, "connect_timeout", self.connect_timeout);
        check.require(
            "heartbeat",
            self.heartbeat >= Duration::from_secs(1),
            "must be at least 1s",
        );
    }
}

impl Checked for Execution {
    fn check(&self, check: &mut Check<'_>) {
        let within = |count| (1..=10_000).contains(&count);
        check.require(
            "concurrency",
            within(self.concurrency),
            "must be 1 to 10000",
        );
        check.require(
            "servers_at_once",
            within(self.servers_at_once),
            "must be 1 to 10000",
        );
    }
}

impl Checked for Calls {
    fn check(&self, check: &mut Check<'_>) {
        for (key, time) in [
            ("timeout", self.timeout),
            ("load_timeout", self.load_timeout),
            ("connect_timeout", self.connect_timeout),
            ("total_time", self.total_time),
            ("name_lifetime", self.name_lifetime),
            ("name_timeout", self.name_timeout),
        ] {
            positive(check, key, time);
        }
        check.require("attempts", self.attempts > 0, "must be more than 0");
        check.require("answer_limit", self.answer_limit > 0, "must be more than 0");
        check.require("load_limit", self.load_limit > 0, "must be more than 0");
        check.within("pause", &self.pause);
    }
}

impl Checked for Journal {
    fn check(&self, check: &mut Check<'_>) {
        positive(check, "keep_for", self.keep_for);
        check.require("keep_at_most", self.keep_at_most > 0, "must be more than 0");
    }
}

impl Checked for Report {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "executions_per_message",
            self.executions_per_message > 0,
            "must be more than 0",
        );
        // RabbitMQ 4 takes 16 MiB by default.
        check.require(
            "bytes_per_message",
            (1_024..=8_388_608).contains(&self.bytes_per_message),
            "must be 1024 to 8388608",
        );
        positive(check, "confirm_timeout", self.confirm_timeout);
        check.within("pause", &self.pause);
    }
}

impl Checked for InvocationSystem {
    fn check(&self, check: &mut Check<'_>) {
        let http = |url: &Url| matches!(url.scheme(), "http" | "https");
        check.require(
            "base_url",
            self.base_url.as_ref().is_some_and(http),
            "must be the invocation system's http or https URL",
        );
        check.require(
            "token",
            self.token.is_some(),
            "must be there, best as `{ file = \"…\" }`",
        );
        positive(check, "poll_every", self.poll_every);
        positive(check, "give_up_after", self.give_up_after);
        check.require(
            "polls_at_once",
            self.polls_at_once > 0,
            "must be more than 0",
        );
        check.require("jobs_at_once", self.jobs_at_once > 0, "must be more than 0");
        check.require(
            "callback_url",
            self.callback_url.is_some() == self.callback_listen.is_some(),
            "belongs together with `callback_listen`: give both or neither",
        );
        check.require(
            "callback_url",
            self.callback_url.as_ref().is_none_or(http),
            "must be an http or https URL",
        );
    }
}

fn positive(check: &mut Check<'_>, key: &str, time: Duration) {
    check.require(key, !time.is_zero(), "must be more than 0");
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use service::configuration::load_with;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Configuration, Problems> {
        let variables = variables.iter().map(|(name, value)| {
            (
                OsString::from(format!("ADAPTER__{name}")),
                OsString::from(value),
            )
        });
        load_with(DEFAULT, None, ENVIRONMENT_PREFIX, variables)
    }

    fn problems(variables: &[(&str, &str)]) -> String {
        with(variables).unwrap_err().to_string()
    }

    /// Two keys are the operator's alone: whose adapter it is and where it may connect.
    #[test]
    fn the_default_lacks_only_the_participant_and_the_addresses() {
        let said = problems(&[]);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("allowed_addresses: must name"), "{said}");
        assert!(said.contains("participant: is missing"), "{said}");
        let whole = with(&[
            ("PARTICIPANT", "cdn-b"),
            ("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"),
        ]);
        assert_eq!(whole.unwrap().kind, Kind::Caches);
    }

    /// An operator mends everything in one go.
    #[test]
    fn every_problem_is_listed() {
        let said = problems(&[
            ("PARTICIPANT", "Not An Id"),
            ("KIND", "invocation-system"),
            ("ALLOWED_ADDRESSES", "[\"nonsense:\"]"),
            ("AMQP__URL", "http://host"),
            ("AMQP__PREFIX", "a b"),
            ("CALLS__ATTEMPTS", "0"),
            ("JOURNAL__KEEP_FOR", "never"),
            ("INVOCATION_SYSTEM__CALLBACK_LISTEN", "127.0.0.1:1"),
            ("EXECUTION__CONCURENCY", "1"),
        ]);
        for key in [
            "participant",
            "allowed_addresses[0]",
            "amqp.url",
            "amqp.prefix",
            "calls.attempts",
            "journal.keep_for",
            "invocation_system.base_url",
            "invocation_system.token",
            "invocation_system.callback_url",
            "execution.concurency",
        ] {
            assert!(
                said.lines()
                    .any(|line| line.starts_with(&format!("{key}: "))),
                "{key}\n{said}"
            );
        }
    }

    /// The AMQP library logs whole messages; nobody should have to know that.
    #[test]
    fn the_default_log_silences_the_amqp_library() {
        let whole = with(&[
            ("PARTICIPANT", "cdn-b"),
            ("ALLOWED_ADDRESSES", "[\"127.0.0.1\"]"),
        ]);
        assert!(whole.unwrap().logs.filter.contains(amqp::LOG_DIRECTIVE));
    }
}
