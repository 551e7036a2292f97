//! The adapter's configuration, checked as a whole before anything starts.
//!
//! Invariant: `default.toml` documents every key; what is loaded keeps all rules, so nobody checks again later.
//! Not here: where the values come from (`service::configuration`).

mod api;
mod rules;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use amqp::{ClientCertificate, LinkSettings, PublisherSettings, QueueLimits, Topology};
use domain::ParticipantId;
use ipnet::IpNet;
use serde::Deserialize;
use service::{
    backoff::BackoffSettings,
    configuration::{Problems, Secret, SecretUrl, load},
    exit::Settings,
    telemetry::LogSettings,
};
use url::Url;

pub use self::api::{Account, Api, ApiBudget, TokenHeader};
use crate::{
    address::{AllowedAddress, Ports, Reach},
    jobs, signing,
};

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
    /// Private and special networks that host names may lead into.
    pub private_networks: Vec<IpNet>,
    /// Ports, where an entry of `allowed_addresses` names none.
    pub allowed_ports: Vec<Ports>,
    /// The longest time for finishing after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_time: Duration,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// How much at a time.
    pub execution: Execution,
    /// One call and its repetitions.
    pub calls: Calls,
    /// Looking afterwards.
    pub probes: Probes,
    /// What is remembered.
    pub journal: Journal,
    /// What goes into one message.
    pub report: Report,
    /// Signatures.
    pub signing: signing::Settings,
    /// The participant's own system.
    pub invocation_system: InvocationSystem,
    /// The participant's provider.
    pub api: Api,
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
    /// To the API of the participant's provider, or its own.
    Api,
}

/// RabbitMQ.
#[derive(Debug, Clone, Deserialize)]
pub struct Amqp {
    /// With the participant's own user.
    pub url: SecretUrl,
    /// A file with URL, user and password, which count instead of `url`.
    pub credentials: Option<PathBuf>,
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
    /// For a RabbitMQ that asks for a certificate (PEM).
    pub client_certificate: Option<Secret>,
    /// Its key (PEM).
    pub client_key: Option<Secret>,
}

/// How much at a time.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Execution {
    /// Executions.
    pub concurrency: usize,
    /// Servers of one execution.
    pub servers_at_once: usize,
    /// All calls of one execution, pauses included.
    #[serde(with = "humantime_serde")]
    pub total_time: Duration,
    /// The same for a load.
    #[serde(with = "humantime_serde")]
    pub load_total_time: Duration,
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
    /// When a server that does not answer is left alone.
    pub circuit: Circuit,
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

/// When a server that does not answer is left alone, and for how long.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Circuit {
    /// Calls without an answer, one after the other.
    pub failures: u32,
    /// Until one call tries it again.
    pub pause: BackoffSettings,
}

/// Looking afterwards, where a command asks for it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Probes {
    /// The longest time for one look.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Bytes of a body that are read and compared.
    pub body_limit: u64,
    /// URLs of one server that are looked at at a time.
    pub at_once: usize,
    /// How often a command is told again where it is not proven.
    pub repeats: u32,
    /// Before it is told again.
    pub pause: BackoffSettings,
    /// After it, until an age in whole seconds tells what is older.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
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
    /// By when what is reported already is written down.
    #[serde(with = "humantime_serde")]
    pub written_within: Duration,
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
    /// How long it may stay unsaid how far the adapter has come.
    #[serde(with = "humantime_serde")]
    pub progress_every: Duration,
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
    /// How often it is reported at most how far one execution is.
    #[serde(with = "humantime_serde")]
    pub report_every: Duration,
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

impl InvocationSystem {
    /// How jobs are asked for.
    pub(crate) fn pace(&self) -> jobs::Pace {
        jobs::Pace {
            every: self.poll_every,
            report_every: self.report_every,
            give_up_after: self.give_up_after,
        }
    }
}

impl Configuration {
    /// Loads it from the default, `file` and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Problems> {
        load(DEFAULT, file, ENVIRONMENT_PREFIX)
    }

    /// Where orders may lead.
    pub fn reach(&self) -> Reach {
        Reach {
            allowed: self.allowed_addresses.clone(),
            private: self.private_networks.clone(),
            ports: self.allowed_ports.clone(),
        }
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
        let pem = |secret: &Option<Secret>| secret.as_ref().map(|pem| pem.expose().to_owned());
        let amqp = &self.amqp;
        let own = pem(&amqp.client_certificate).zip(pem(&amqp.client_key));
        LinkSettings {
            credentials: amqp.credentials.clone(),
            connect_timeout: self.amqp.connect_timeout,
            heartbeat: self.amqp.heartbeat,
            certificate_authority: pem(&amqp.certificate_authority),
            client_certificate: own.map(|(certificate, key)| ClientCertificate {
                certificate,
                key: key.into(),
            }),
            ..LinkSettings::new(self.amqp.url.expose().to_owned().into(), name)
        }
    }

    /// One message is under way at a time, so one channel is enough.
    pub fn publisher(&self) -> PublisherSettings {
        PublisherSettings {
            max_channels: 1,
            confirm_timeout: self.report.confirm_timeout,
            says_user: true,
            ..PublisherSettings::default()
        }
    }
}

impl Settings for Configuration {
    fn logs(&self) -> &LogSettings {
        &self.logs
    }
}

#[cfg(test)]
mod tests;
