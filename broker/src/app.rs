//! The wiring: every long-running part is built here, gets the shutdown token, and is waited for.
//!
//! Invariant: nothing is global but logs and metrics; a replica keeps no state that another could not rebuild.

mod links;
mod ready;

use std::{error::Error, sync::Arc};

use amqp::{Copies, LinkSettings, Provisioner, Publisher, PublisherSettings, Topology};
use domain::ParticipantId;
use service::{
    Shutdown,
    backoff::BackoffSettings,
    configuration::Problems,
    telemetry::{Readiness, Signals, install_metrics},
};
use tracing::info;
use uuid::Uuid;

use self::{
    links::{
        access, link, open_store, provisioner, reports_consumer, restrict_ourselves, topology,
    },
    ready::{keep_connected, watch_link, watch_store},
};
use crate::{
    audit::Audit,
    config::Config,
    dead_letters::{DeadLetters, Depths},
    directory::{Directory, Follower},
    dispatch::{self, Dispatcher, Wakers},
    ingress::{self, Gate, IdentitySource, Services, Trust},
    metrics,
    pipeline::Pipeline,
    quotas::Quotas,
    receipts::Receipts,
    registry::{Access, Registrar},
    signing::Signing,
    store::{self, Keys, Store},
    track::{self, Chainer, Reports, Sweeper, Tracker, Watchers},
    verify::Registered,
};

/// What can stop a replica from starting or running.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Serves until asked to stop, then drains.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Failure> {
    let drain = config.shutdown.drain;
    Replica::build(config).await?.start(&shutdown);
    shutdown.asked().await;
    Ok(shutdown.drain(drain).await?)
}

/// Declares in RabbitMQ what the registry asks for, and ends. Run it once before the first replica of a deployment.
pub async fn provision(config: Config, _: Shutdown) -> Result<(), Failure> {
    let (provisioner, access) = (provisioner(&config, "provision")?, access(&config)?);
    provisioner.declare_base().await?;
    restrict_ourselves(&config, &access).await?;
    let (_, follower, directory) = open_store(&config).await?;
    follower.load().await?;
    let participants = directory
        .read()
        .participants
        .keys()
        .cloned()
        .collect::<Vec<ParticipantId>>();
    for participant in &participants {
        provisioner.declare_participant(participant).await?;
        access.prepare(participant).await?;
    }
    info!(participants = participants.len(), "RabbitMQ is provisioned");
    Ok(())
}

/// Redis' list of users, with the one that this configuration connects as.
pub fn redis_acl(config: &Config) -> Result<String, Problems> {
    let keys = Keys::new(&config.store.prefix, config.store.shards);
    let problem = |what: &str| Problems::one("redis.url", what);
    let acl =
        store::acl(&keys, &config.redis.url).map_err(|_| problem("must be an address of Redis"))?;
    acl.ok_or_else(|| problem("must name a user and a password"))
}

/// Everything that one replica is made of.
struct Replica {
    config: Config,
    name: String,
    readiness: Readiness,
    signals: Signals,
    trust: Trust,
    metrics: service::telemetry::Metrics,
    store: Store,
    follower: Follower,
    directory: Arc<Directory>,
    publisher: Publisher,
    topology: Topology,
    signing: Arc<Signing>,
    provisioner: Arc<Provisioner>,
    access: Arc<Access>,
}

impl Replica {
    async fn build(config: Config) -> Result<Self, Failure> {
        let metrics = install_metrics(metrics::TABLE)?;
        let signals = Signals::bind(config.signals.listen).await?;
        let trust = Trust::open(&config.listen).await?;
        let name = Uuid::now_v7().to_string();
        let (store, follower, directory) = open_store(&config).await?;
        follower.load().await?;
        let settings = PublisherSettings {
            max_channels: config.amqp.publish_channels,
            ..PublisherSettings::default()
        };
        let publisher = Publisher::new(
            link(&config.amqp, &format!("broker {name} publish")),
            settings,
        );
        Ok(Self {
            topology: topology(&config)?,
            signing: Arc::new(Signing::open(&config.signing)?),
            provisioner: Arc::new(provisioner(&config, &name)?),
            access: Arc::new(access(&config)?),
            readiness: Readiness::new(),
            config,
            name,
            signals,
            trust,
            metrics,
            store,
            follower,
            directory,
            publisher,
        })
    }

    /// Starts every part, those that take in last.
    fn start(self, shutdown: &Shutdown) {
        let (watchers, wakers) = (Arc::<Watchers>::default(), Wakers::default());
        let services = self.services(&watchers, shutdown);
        self.start_tracking(&watchers, &wakers, shutdown);
        self.start_dispatch(wakers, shutdown);
        let token = shutdown.token();
        shutdown.spawn(
            "directory",
            self.follower.run(token.clone(), BackoffSettings::default()),
        );
        shutdown.spawn(
            "grpc",
            ingress::serve(
                self.config.listen,
                self.config.connections,
                self.config.limits,
                self.trust,
                services,
                token,
            ),
        );
        self.signals.start(self.metrics, self.readiness, shutdown);
    }

    /// What comes back: reports, silence, and what other replicas did.
    fn start_tracking(&self, watchers: &Arc<Watchers>, wakers: &Wakers, shutdown: &Shutdown) {
        let (token, config) = (shutdown.token(), &self.config);
        let hearing = track::hear(
            self.store.clone(),
            Arc::clone(watchers),
            wakers.clone(),
            token.clone(),
        );
        shutdown.spawn("hearing", hearing);
        let condition = self.readiness.condition("store");
        shutdown.spawn(
            "store readiness",
            watch_store(self.store.clone(), condition, token.clone()),
        );
        let tracker = Tracker {
            store: self.store.clone(),
            deadlines: config.deadlines.clone(),
            retention: config.store.retention,
        };
        let consumer = reports_consumer(config, &self.name, &self.topology, &token);
        watch_link(
            shutdown,
            self.readiness.condition("rabbitmq reports"),
            consumer.state(),
        );
        let reports = Reports {
            tracker: tracker.clone(),
            topology: self.topology.clone(),
            directory: Arc::clone(&self.directory),
            signing: Arc::clone(&self.signing),
        };
        shutdown.spawn("reports", reports.run(consumer, token.clone()));
        let kept = (config.store.receipts, config.store.receipts_at_most);
        let chainer = Chainer::new(self.store.clone(), kept.0, kept.1);
        shutdown.spawn("receipts", chainer.run(token.clone()));
        let (directory, every) = (Arc::clone(&self.directory), config.deadlines.sweep_every);
        shutdown.spawn(
            "sweeper",
            Sweeper {
                tracker,
                directory,
                every,
            }
            .run(token),
        );
    }

    /// What goes out.
    fn start_dispatch(&self, wakers: Wakers, shutdown: &Shutdown) {
        let token = shutdown.token();
        watch_link(
            shutdown,
            self.readiness.condition("rabbitmq publish"),
            self.publisher.state(),
        );
        shutdown.spawn(
            "publisher",
            keep_connected(self.publisher.clone(), token.clone()),
        );
        let shared = dispatch::Shared {
            store: self.store.clone(),
            directory: Arc::clone(&self.directory),
            publisher: self.publisher.clone(),
            copies: self.start_copies(shutdown),
            topology: self.topology.clone(),
            signing: Arc::clone(&self.signing),
            outbox: self.config.outbox.clone(),
            deadlines: self.config.deadlines.clone(),
            retention: self.config.store.retention,
            replica: self.name.clone(),
            turns: dispatch::turns(),
        };
        shutdown.spawn("dispatcher", Dispatcher::new(shared, wakers).run(token));
    }

    /// Copies of what goes out, for people.
    fn start_copies(&self, shutdown: &Shutdown) -> Option<Copies> {
        if !self.topology.keeps_copies() {
            return None;
        }
        let exchange = self.topology.copies_exchange();
        let (copies, writer) = Copies::new(self.link("copies"), exchange);
        shutdown.spawn("copies", writer.run(shutdown.token()));
        Some(copies)
    }

    /// What could not be handled.
    fn start_dead_letters(&self, shutdown: &Shutdown) -> DeadLetters {
        let depths = Depths {
            link: self.link("count"),
            topology: self.topology.clone(),
            directory: Arc::clone(&self.directory),
        };
        shutdown.spawn("dead letters", depths.run(shutdown.token()));
        DeadLetters::new(
            self.link("look"),
            self.topology.clone(),
            self.publisher.clone(),
            self.store.clone(),
            Arc::clone(&self.signing),
        )
    }

    fn link(&self, what: &str) -> LinkSettings {
        link(&self.config.amqp, &format!("broker {} {what}", self.name))
    }

    fn services(&self, watchers: &Arc<Watchers>, shutdown: &Shutdown) -> Services {
        let registered = self
            .config
            .operations
            .iter()
            .map(|(name, operation)| (name.clone(), operation.repeatable))
            .collect();
        let registered = Arc::new(Registered(registered));
        let quotas = Arc::new(Quotas::new(self.config.quotas.clone()));
        let audit = Audit::new(self.store.clone(), self.config.audit.clone());
        shutdown.spawn("audit", audit.clone().run(shutdown.token()));
        let pipeline = Pipeline {
            store: self.store.clone(),
            directory: Arc::clone(&self.directory),
            registered: Arc::clone(&registered),
            outbox: self.config.outbox.clone(),
            report_time: self.config.deadlines.report,
            approval_time: self.config.deadlines.approval,
            quotas: Arc::clone(&quotas),
        };
        let identities = if self.config.listen.insecure {
            IdentitySource::Metadata
        } else {
            IdentitySource::Certificate
        };
        let gate = Gate::new(
            identities,
            Arc::clone(&self.directory),
            self.follower.clone(),
            quotas,
            audit,
        );
        let registrar = Registrar::new(
            self.store.clone(),
            self.follower.clone(),
            Arc::clone(&self.directory),
            (Arc::clone(&self.provisioner), Arc::clone(&self.access)),
            registered,
        );
        let receipts = Receipts::new(
            self.store.clone(),
            Arc::clone(&self.directory),
            Arc::clone(&self.signing),
        );
        let (watchers, retention) = (Arc::clone(watchers), self.config.store.retention);
        Services::new(
            pipeline,
            registrar,
            Arc::new(gate),
            watchers,
            (self.start_dead_letters(shutdown), receipts),
            (retention, self.config.limits.answer_bytes.0),
            shutdown.token(),
        )
    }
}
