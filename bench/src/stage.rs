//! What is measured: a RabbitMQ and a Redis of its own, one broker, and 64 participants whose adapters answer at once.
//!
//! Invariant: real programs with their default configurations, but for addresses and limits that a measurement would run
//! into; every write is on disk before it is answered, as in production.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use proto::v1;
use tests::{
    Shared,
    federation::{Client, Federation, Program, purge},
    ports,
    process::Process,
    rabbitmq::RabbitMq,
    redis::Redis,
};

use crate::processes::Watched;

/// Participants that carry something out.
pub(crate) const PARTICIPANTS: usize = 64;
/// The participant that owns all configurations and submits all commands; it has no servers.
const OWNER: &str = "owner";

/// How often RabbitMQ counts for its console: its own default.
const STATISTICS: Duration = Duration::from_secs(5);

/// How many participants a command reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    One,
    Eight,
    All,
}

impl Reach {
    /// All of them.
    pub(crate) const EACH: [Self; 3] = [Self::One, Self::Eight, Self::All];

    /// How many that are.
    pub(crate) const fn participants(self) -> usize {
        match self {
            Self::One => 1,
            Self::Eight => 8,
            Self::All => PARTICIPANTS,
        }
    }

    /// Configurations that its commands are spread over: executions of one are carried out one after the other.
    pub(crate) const fn configurations(self) -> usize {
        match self {
            Self::One => 16,
            Self::Eight | Self::All => 8,
        }
    }

    fn configuration(self, number: usize) -> String {
        format!("reach-{}-{number}", self.participants())
    }

    fn host(self, number: usize) -> String {
        format!("{}.example", self.configuration(number))
    }

    /// A purge of so many objects that no other command names.
    pub(crate) fn draft(self, number: u64, urls: u64) -> v1::CommandDraft {
        let host = self.host(usize::try_from(number).unwrap_or_default() % self.configurations());
        let urls = (0..urls).map(|url| format!("http://{host}/images/{number}/{url}.jpg"));
        let urls: Vec<_> = urls.collect();
        purge(&urls.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// A running federation.
pub(crate) struct Stage {
    // Dropped in this order: those who use others first.
    adapters: Process,
    broker: Program,
    federation: Federation,
    rabbitmq: RabbitMq,
    redis: Redis,
}

impl Stage {
    /// Starts everything, registers everybody, and waits until each participant has carried something out.
    pub(crate) async fn start(retention: &str) -> Result<Self> {
        let (rabbitmq, redis) =
            tokio::try_join!(RabbitMq::with_statistics_every(STATISTICS), Redis::start())?;
        let shared = Shared {
            amqp: rabbitmq.amqp_url(),
            management: rabbitmq.management_url(),
            redis: redis.url(),
        };
        let settings = format!("[store]\nretention = \"{retention}\"\n");
        let federation = Federation::with_settings(shared, &settings).await?;
        let broker = federation.broker("broker").await?;
        register(&mut federation.client(&broker, "operator/bench")?).await?;
        let adapters = start_adapters(&federation).await?;
        let stage = Self {
            adapters,
            broker,
            federation,
            rabbitmq,
            redis,
        };
        let mut client = stage.client()?;
        for reach in Reach::EACH {
            for number in 0..reach.configurations() as u64 {
                crate::latency::settle(&mut client, reach.draft(number, 1)).await?;
            }
        }
        Ok(stage)
    }

    /// A client with a connection of its own, as the owner of all configurations.
    pub(crate) fn client(&self) -> Result<Client> {
        self.federation
            .client(&self.broker, &format!("participant/{OWNER}"))
    }

    /// Starts the broker anew with another retention; what has settled keeps its own.
    pub(crate) async fn keep_for(&mut self, retention: Duration, sweep: Duration) -> Result<()> {
        self.federation.broker_settings = format!(
            "[store]\nretention = \"{}ms\"\n[deadlines]\nsweep_every = \"{}ms\"\n",
            retention.as_millis(),
            sweep.as_millis(),
        );
        // Gently: its outboxes are free at once.
        self.broker.process.terminate();
        self.broker = self.federation.broker("broker").await?;
        Ok(())
    }

    /// Lets the adapters do nothing for a while, or go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        if frozen {
            self.adapters.pause()
        } else {
            self.adapters.resume()
        }
    }

    /// RabbitMQ's address.
    pub(crate) fn amqp(&self) -> String {
        self.rabbitmq.amqp_url()
    }

    /// Every process that is measured, by its name.
    pub(crate) fn processes(&mut self) -> Vec<Watched> {
        vec![
            Watched::new("broker", self.broker.process.pid()),
            Watched::new("adapters", self.adapters.pid()),
            Watched::new("redis", self.redis.process().pid()),
            Watched::new("rabbitmq", self.rabbitmq.process().pid()),
            Watched::new("load_generator", std::process::id()),
        ]
    }

    /// Executions that have settled since the broker started.
    pub(crate) async fn settled(&self) -> Result<u64> {
        self.counted("broker_execution_settle_seconds_count").await
    }

    /// Commands that were deleted since the broker started.
    pub(crate) async fn retired(&self) -> Result<u64> {
        self.counted("broker_commands_retired_total").await
    }

    /// Keys of Redis: one for each command, and some more.
    pub(crate) async fn keys(&self) -> Result<u64> {
        self.redis.keys().await
    }

    /// Messages to adapters and from them.
    pub(crate) async fn messages(&self) -> Result<[u64; 2]> {
        Ok([
            self.counted("broker_dispatches_total").await?,
            self.counted("broker_reports_total").await?,
        ])
    }

    /// Bytes that RabbitMQ received and sent, as its console counts them.
    pub(crate) async fn bytes(&self) -> Result<u64> {
        let connections = self.rabbitmq.management()?.get("connections").await?;
        let connections = connections.as_array().context("a list of connections")?;
        let of = |name: &str| {
            let ours = connections
                .iter()
                .filter(|one| !one["client_properties"]["connection_name"].is_null());
            ours.filter_map(|one| one[name].as_u64()).sum::<u64>()
        };
        Ok(of("recv_oct") + of("send_oct"))
    }

    async fn counted(&self, name: &str) -> Result<u64> {
        let url = format!("http://{}/metrics", self.broker.signals);
        let text = tests::http().get(url).send().await?.text().await?;
        let of = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        Ok(text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(of)
            .sum())
    }
}

/// How many messages came of each kind, for each of so many commands.
#[expect(clippy::cast_precision_loss, reason = "a quotient")]
pub(crate) fn per_command(before: [u64; 2], after: [u64; 2], count: u64) -> [f64; 2] {
    let of = |kind: usize| after[kind].saturating_sub(before[kind]) as f64 / count as f64;
    [of(0), of(1)]
}

async fn register(operator: &mut Client) -> Result<()> {
    operator.create_participant(OWNER).await?;
    let nowhere = "192.0.2.1:80".parse()?;
    for number in 0..PARTICIPANTS {
        let participant = format!("cdn-{number}");
        operator.create_participant(&participant).await?;
        let server = format!("server-{number}");
        operator
            .create_server(&server, &participant, "varnish", nowhere)
            .await?;
    }
    for reach in Reach::EACH {
        for number in 0..reach.configurations() {
            let (configuration, host) = (reach.configuration(number), reach.host(number));
            operator
                .create_configuration(&configuration, OWNER, &[&host])
                .await?;
            for participant in 0..reach.participants() {
                operator
                    .deploy(&configuration, &format!("cdn-{participant}"))
                    .await?;
            }
        }
    }
    Ok(())
}

async fn start_adapters(federation: &Federation) -> Result<Process> {
    let (folder, shared) = (federation.folder(), federation.shared());
    let signals = format!("127.0.0.1:{}", ports::free()?);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("adapters");
    for number in 0..PARTICIPANTS {
        let journal = folder.join(format!("journal-{number}"));
        let text = format!(
            "participant = \"cdn-{number}\"\nallowed_addresses = [\"192.0.2.0/24\"]\n\
             [amqp]\nurl = \"{}\"\nprefix = \"{}\"\n[journal]\nfolder = \"{}\"\n[signals]\nlisten = \"{signals}\"\n",
            shared.amqp,
            federation.prefix(),
            journal.display(),
        );
        let file = folder.join(format!("cdn-{number}.toml"));
        std::fs::write(&file, text)?;
        command.arg(file);
    }
    let mut process = Process::start("adapters", folder, command)?;
    let ready = format!("http://{signals}/readyz");
    let http = tests::http();
    process
        .ready(Duration::from_mins(1), async || {
            let answer = http.get(&ready).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await?;
    Ok(process)
}
