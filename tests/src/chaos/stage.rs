//! Everything that a run breaks: private RabbitMQ and Redis, two replicas, two adapters for each participant, and a relay
//! on every link between them.
//!
//! Invariant: the real binaries with real configuration files. Dropping it ends all of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use ::redis::AsyncCommands as _;
use anyhow::{Context, Result, ensure};
use futures::TryStreamExt as _;
use tempfile::TempDir;

use super::{
    program::Program,
    recorder::Recorder,
    traffic::{self, ONCE, PARTICIPANTS},
};
use crate::{
    binaries,
    federation::client,
    ports,
    rabbitmq::{Management, RabbitMq},
    redis::Redis,
    relay::Relay,
    wait,
};

/// Messages that a participant's queue holds: few, so that it can be filled.
pub(super) const QUEUE_LENGTH: u32 = 100;
/// Keys that Redis looks at in one call: with a million of them, all at once would take too long.
const PAGE: usize = 10_000;
/// How long RabbitMQ's console may take to show something.
const SHOWN: Duration = Duration::from_secs(20);

/// What may differ between runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    /// Adapters of each participant: one works, the others stand by.
    pub(super) adapters: usize,
    /// Messages that a participant's queue holds.
    pub(super) queue_length: u32,
    /// Executions that an outbox holds.
    pub(super) outbox_limit: u64,
    /// Seconds for which a settled command is kept.
    pub(super) retention_seconds: u32,
    /// Bytes of memory for an adapter's journal.
    pub(super) journal_cache: u32,
    /// A participant, and how many calls a second one replica allows it.
    pub(super) quota: Option<(&'static str, u32)>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            adapters: 2,
            queue_length: QUEUE_LENGTH,
            outbox_limit: 1_000_000,
            retention_seconds: 7 * 24 * 60 * 60,
            journal_cache: 64 * 1024 * 1024,
            quota: None,
        }
    }
}

/// A broker and its links.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) program: Program,
    /// Where it serves gRPC.
    pub(super) address: SocketAddr,
    pub(super) to_rabbitmq: Relay,
    pub(super) to_redis: Relay,
}

/// An adapter and its link.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) program: Program,
    pub(super) to_rabbitmq: Relay,
}

/// A running federation.
#[derive(Debug)]
pub(super) struct Stage {
    // Dropped in this order: those who use others first.
    pub(super) adapters: Vec<Vec<Hand>>,
    pub(super) brokers: Vec<Replica>,
    pub(super) recorder: Recorder,
    pub(super) rabbitmq: RabbitMq,
    pub(super) redis: Redis,
    folder: TempDir,
}

impl Stage {
    /// Starts everything and waits until it is ready.
    pub(super) async fn start(build: Build) -> Result<Self> {
        let (rabbitmq, redis) = tokio::try_join!(RabbitMq::start(), Redis::start())?;
        let folder = TempDir::with_prefix("federation-chaos-")?;
        let mut stage = Self {
            adapters: Vec::new(),
            brokers: Vec::new(),
            recorder: Recorder::start(&PARTICIPANTS).await?,
            rabbitmq,
            redis,
            folder,
        };
        for name in ["broker-a", "broker-b"] {
            let replica = stage.replica(name, build).await?;
            stage.brokers.push(replica);
        }
        stage.provision().await?;
        for broker in &mut stage.brokers {
            broker.program.start().await?;
        }
        let operator = client(stage.brokers[0].address, "operator/chaos")?;
        traffic::register(operator, &stage.recorder).await?;
        for participant in PARTICIPANTS {
            let mut hands = Vec::new();
            for number in 1..=build.adapters {
                let mut hand = stage.hand(participant, number, build).await?;
                hand.program.start().await?;
                hands.push(hand);
            }
            stage.adapters.push(hands);
        }
        Ok(stage)
    }

    /// Where the replicas serve gRPC.
    pub(super) fn addresses(&self) -> [SocketAddr; 2] {
        [self.brokers[0].address, self.brokers[1].address]
    }

    /// Every program, the brokers first.
    pub(super) fn programs(&mut self) -> impl Iterator<Item = &mut Program> {
        let adapters = self
            .adapters
            .iter_mut()
            .flatten()
            .map(|hand| &mut hand.program);
        let brokers = self.brokers.iter_mut().map(|replica| &mut replica.program);
        brokers.chain(adapters)
    }

    /// RabbitMQ's management API.
    pub(super) fn management(&self) -> Result<Management> {
        self.rabbitmq.management()
    }

    /// Which adapter of a participant works while the others stand by, as RabbitMQ sees it.
    pub(super) async fn active(&self, participant: usize) -> Result<usize> {
        let management = self.management()?;
        let queue = commands_queue(PARTICIPANTS[participant]);
        let hands = &self.adapters[participant];
        wait::until(SHOWN, "one adapter works", async || {
            let shown = management.queue(&queue).await?;
            let consumers = shown["consumer_details"].as_array();
            let mut consumers = consumers.into_iter().flatten();
            let active = consumers.find(|one| one["activity_status"] == "single_active");
            let tag = active
                .and_then(|one| one["consumer_tag"].as_str())
                .unwrap_or_default();
            let pid = tag.rsplit('/').next().and_then(|pid| pid.parse().ok());
            let active = hands
                .iter()
                .position(|hand| pid.is_some() && hand.program.pid() == pid);
            active.with_context(|| format!("{tag} is none of ours"))
        })
        .await
    }

    /// What is left in RabbitMQ's queues and in Redis' outboxes, by name.
    pub(super) async fn left_over(&self) -> Result<Vec<(String, u64)>> {
        let mut left = Vec::new();
        let queues = self.management()?.get("queues/%2f").await?;
        for queue in queues.as_array().context("a list of queues")? {
            let name = queue["name"].as_str().unwrap_or_default().to_owned();
            left.push((name, queue["messages"].as_u64().unwrap_or_default()));
        }
        let mut connection = crate::redis::connect(&self.redis.url()).await?;
        for (pattern, command) in [("*:outbox:*", "XLEN"), ("*:unreported:*", "ZCARD")] {
            let page = redis::ScanOptions::default()
                .with_pattern(pattern)
                .with_count(PAGE);
            let keys = connection.scan_options::<String>(page).await?;
            let keys: Vec<String> = keys.try_collect().await?;
            for key in keys {
                let length = redis::cmd(command)
                    .arg(&key)
                    .query_async(&mut connection)
                    .await?;
                left.push((key, length));
            }
        }
        left.retain(|(_, count)| *count > 0);
        Ok(left)
    }

    /// Leaves the logs and configurations behind, and says where.
    pub(super) fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    async fn replica(&self, name: &str, build: Build) -> Result<Replica> {
        let to_rabbitmq = Relay::start(address_in(&self.rabbitmq.amqp_url())?).await?;
        let to_redis = Relay::start(address_in(&self.redis.url())?).await?;
        let (address, signals) = (loopback()?, loopback()?);
        let text = format!(
            "[logs]\nfilter = \"warn,broker::dispatch=info,amqp=info,lapin=off\"\n\
             [listen]\naddress = \"{address}\"\ninsecure = true\n[signals]\nlisten = \"{signals}\"\n\
             [redis]\nurl = \"redis://{}\"\n[store]\nshards = 2\nretention = \"{}s\"\n\
             [amqp]\nurl = \"amqp://guest:guest@{}/%2f\"\ncommands_length = {}\n\
             [outbox]\nlimit = {}\n[operations.{ONCE}]\nrepeatable = false\n{}",
            to_redis.address(),
            build.retention_seconds,
            to_rabbitmq.address(),
            build.queue_length,
            build.outbox_limit,
            build.quota.map_or_else(String::new, quota),
        );
        let program = Program::new(
            name,
            binaries::broker()?,
            self.folder.path(),
            &text,
            signals,
        )?;
        Ok(Replica {
            program,
            address,
            to_rabbitmq,
            to_redis,
        })
    }

    async fn hand(&self, participant: &str, number: usize, build: Build) -> Result<Hand> {
        let to_rabbitmq = Relay::start(address_in(&self.rabbitmq.amqp_url())?).await?;
        let signals = loopback()?;
        let name = format!("{participant}-adapter-{number}");
        let journal = self.folder.path().join(format!("{name}-journal"));
        let text = format!(
            "participant = \"{participant}\"\nallowed_addresses = [\"127.0.0.0/8\"]\n\
             [logs]\nfilter = \"warn,amqp=info,lapin=off\"\n\
             [amqp]\nurl = \"amqp://guest:guest@{}/%2f\"\n[journal]\nfolder = \"{}\"\ncache = {}\n\
             [signals]\nlisten = \"{signals}\"\n",
            to_rabbitmq.address(),
            journal.display(),
            build.journal_cache,
        );
        let program = Program::new(
            &name,
            binaries::adapter()?,
            self.folder.path(),
            &text,
            signals,
        )?;
        Ok(Hand {
            program,
            to_rabbitmq,
        })
    }

    async fn provision(&self) -> Result<()> {
        let mut command = tokio::process::Command::new(binaries::broker()?);
        let configuration = self.folder.path().join("broker-a.toml");
        command.arg("--config").arg(configuration).arg("provision");
        let output = command.stdin(std::process::Stdio::null()).output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "provisioning failed: {errors}");
        Ok(())
    }
}

impl Drop for Stage {
    /// Ended gently each of them would take seconds, to save what is deleted with the folder.
    fn drop(&mut self) {
        for program in self.programs() {
            program.kill9();
        }
    }
}

/// The queue of a participant; runs have no prefix, for their servers are their own.
pub(super) fn commands_queue(participant: &str) -> String {
    format!("commands.{participant}")
}

fn loopback() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?)))
}

/// The address in a URL such as `amqp://guest:guest@127.0.0.1:5672/%2f`.
fn address_in(url: &str) -> Result<SocketAddr> {
    let (_, rest) = url.split_once("://").context("a URL has a scheme")?;
    let place = rest.split('/').next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    place
        .parse()
        .with_context(|| format!("{url} names no address"))
}

/// The lines of a broker's configuration that allow a participant so many calls a second.
fn quota((participant, calls): (&str, u32)) -> String {
    format!(
        "[quotas]\nburst = \"1s\"\n[quotas.participants.{participant}]\ncalls = {calls}\nselectors = 1000000\n\
         open_commands = 1000000\n"
    )
}
