//! The adapter put together: its parts in the order in which a dispatch travels, and the order in which they end.
//!
//! Invariant: parts end from the front: first nothing more comes in, then what began is carried out, written down,
//! reported and acknowledged, and then the connections close. Each part ends when those before it are gone.

use std::sync::Arc;

use amqp::{Consumer, ConsumerSettings, LinkState, Publisher};
use service::{
    Shutdown,
    configuration::Problems,
    exit::Chain,
    telemetry::{BindError, Condition, InstallError, Readiness, Signals, install_metrics},
    watched::WatchedError,
};
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Duration, sleep},
};
use tracing::{info, warn};

use crate::{
    api::Api,
    caches::{Caches, StandIn},
    config::{Configuration, Kind},
    intake::Intake,
    jobs::{Jobs, Pace, Poller, Teller},
    journal::{Journal, JournalError},
    lanes::Lanes,
    ledger::Ledger,
    metrics,
    progress::HowFar,
    report::Reporter,
    signing::Signing,
    system::{Callbacks, System},
    worker::{Carrier, Work, Worker},
};

/// What goes out with every report beside it: how far we are, and who signs.
type Said = (HowFar, Arc<Signing>);

/// The pause before connecting again where RabbitMQ names none.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Why the adapter cannot start.
#[derive(Debug, Error)]
#[error("cannot start")]
pub struct StartError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StartError {
    pub(crate) fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl From<InstallError> for StartError {
    fn from(error: InstallError) -> Self {
        Self::of(error)
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::of(error)
    }
}

impl From<WatchedError> for StartError {
    fn from(error: WatchedError) -> Self {
        Self::of(error)
    }
}

impl From<JournalError> for StartError {
    fn from(error: JournalError) -> Self {
        match &error {
            // Where it is, the configuration said.
            JournalError::Folder { .. } => Self::of(Problems::one("journal.folder", Chain(&error))),
            _ => Self::of(error),
        }
    }
}

/// A part of the adapter failed.
#[derive(Debug, Error)]
enum WorkerError {
    /// A worker panicked.
    #[error("a worker ended")]
    Ended(#[from] JoinError),
    /// The journal does not work. What was under way stays unsettled, and is delivered again.
    #[error("nothing can be done without the journal")]
    Journal(#[from] JournalError),
}

/// Runs until `shutdown`, and at most the drain time longer.
pub async fn run(configuration: Configuration, shutdown: Shutdown) -> Result<(), StartError> {
    let readiness = Readiness::new();
    let measured = install_metrics(metrics::TABLE)?;
    let signals = Signals::bind(configuration.signals.listen).await?;
    signals.start(measured, readiness.clone(), &shutdown);

    start(&configuration, None, &readiness, &shutdown).await?;
    info!(participant.id = %configuration.participant, kind = ?configuration.kind, "started");
    shutdown.asked().await;
    if let Err(error) = shutdown.drain(configuration.drain_time).await {
        // Nothing is lost: what is not acknowledged is delivered again, and what the journal has is answered from it.
        warn!(error = %Chain(&error), "ending before everything is reported");
    }
    Ok(())
}

/// Starts all parts of one adapter. Several may run in one process, each for its own participant; with a stand-in they call
/// no server (`Caches::answered_by`).
pub async fn start(
    configuration: &Configuration,
    stand_in: Option<StandIn>,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let how_far = HowFar::default();
    let (participant, remembered) = (&configuration.participant, configuration.journal.keep_for);
    let signing = Signing::open(&configuration.signing, participant, remembered)?;
    let said = (how_far, Arc::new(signing));
    let journal = start_reporting(configuration, said.clone(), readiness, shutdown)?;
    let carrier = start_carrier(configuration, stand_in, &journal, shutdown).await?;
    let (lanes, worker) = start_workers(configuration, carrier, journal, shutdown);
    let intake = (lanes, worker, said);
    start_intake(configuration, intake, readiness, shutdown);
    Ok(())
}

/// The end of the way: the journal's writer and the reporter behind it.
fn start_reporting(
    configuration: &Configuration,
    (how_far, signing): Said,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<Journal, StartError> {
    let publisher = Publisher::new(configuration.link("reports"), configuration.publisher());
    let link = keep_connected(publisher.clone(), readiness.condition("reporting"));
    let asked = shutdown.clone();
    shutdown.spawn("report connection", async move {
        tokio::select! {
            () = asked.asked() => {}
            () = link => {}
        }
    });

    let (sender, reports) = mpsc::channel(configuration.report.executions_per_message);
    shutdown.spawn(
        "reporter",
        Reporter::new(configuration, (publisher, signing), reports, how_far).run(),
    );

    let (journal, writer) =
        Journal::open(&configuration.journal, &configuration.participant, sender)?;
    shutdown.spawn("journal", async move {
        let writing = tokio::task::spawn_blocking(move || writer.run());
        writing
            .await
            .map_err(WorkerError::from)?
            .map_err(WorkerError::from)
    });
    Ok(journal)
}

async fn start_carrier(
    configuration: &Configuration,
    stand_in: Option<StandIn>,
    journal: &Journal,
    shutdown: &Shutdown,
) -> Result<Carrier, StartError> {
    let (calls, private) = (&configuration.calls, &configuration.private_networks);
    let parts = (configuration, journal, shutdown);
    match configuration.kind {
        Kind::Caches => {
            let caches = Caches::new(
                calls,
                configuration.execution,
                configuration.probes,
                configuration.reach(),
            );
            let caches = caches.map_err(StartError::of)?;
            let caches = match stand_in {
                Some(stand_in) => caches.answered_by(stand_in),
                None => caches,
            };
            Ok(Carrier::Caches(Box::new(caches)))
        }
        Kind::InvocationSystem => {
            let settings = &configuration.invocation_system;
            let system = System::new(settings, calls, private)?;
            let teller = Teller::System(Arc::new(system));
            let jobs = start_jobs(teller, settings.jobs_at_once, settings.pace(), parts).await;
            if let Some(address) = settings.callback_listen {
                let callbacks = Callbacks::bind(address, jobs.news())
                    .await
                    .map_err(StartError::of)?;
                shutdown.spawn("callbacks", callbacks.run(shutdown.token()));
            }
            Ok(Carrier::System(jobs))
        }
        Kind::Api => {
            let settings = &configuration.api;
            let api = Api::new(configuration).map_err(StartError::of)?;
            let teller = Teller::Api(Arc::new(api));
            let jobs = start_jobs(teller, settings.jobs_at_once, settings.polls(), parts).await;
            Ok(Carrier::Api(jobs))
        }
    }
}

/// Starts the poller, with the jobs of the process before.
async fn start_jobs(
    teller: Teller,
    at_once: usize,
    pace: Pace,
    (configuration, journal, shutdown): (&Configuration, &Journal, &Shutdown),
) -> Jobs {
    let (jobs, news) = Jobs::new(teller.clone(), at_once);
    let participant = configuration.participant.clone();
    let poller = Poller::new(teller, journal.clone(), participant, pace, news);
    shutdown.spawn("poller", poller.run(shutdown.token()));
    jobs.resume(journal.jobs()).await;
    jobs
}

/// A fixed number of tasks takes executions from the lanes; none is started for a single execution.
fn start_workers(
    configuration: &Configuration,
    carrier: Carrier,
    journal: Journal,
    shutdown: &Shutdown,
) -> (Arc<Lanes<Work>>, Arc<Worker>) {
    let lanes = Arc::new(Lanes::new());
    let participant = configuration.participant.clone();
    let worker = Arc::new(Worker {
        participant,
        journal,
        ledger: Ledger::default(),
        carrier,
    });
    let mut workers = JoinSet::new();
    for _ in 0..configuration.execution.concurrency {
        workers.spawn(work(Arc::clone(&worker), Arc::clone(&lanes)));
    }
    shutdown.spawn("workers", async move {
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok::<(), WorkerError>(())
    });
    (lanes, worker)
}

async fn work(worker: Arc<Worker>, lanes: Arc<Lanes<Work>>) -> Result<(), JournalError> {
    let mut due = lanes.next().await;
    while let Some((work, turn)) = due {
        worker.carry_out_with_neighbours(work, &turn).await?;
        due = match turn.pass() {
            Some(next) => Some(next),
            None => lanes.next().await,
        };
    }
    Ok(())
}

fn start_intake(
    configuration: &Configuration,
    (lanes, worker, said): (Arc<Lanes<Work>>, Arc<Worker>, Said),
    readiness: &Readiness,
    shutdown: &Shutdown,
) {
    let participant = configuration.participant.clone();
    let settings = ConsumerSettings {
        queue: configuration.topology().commands_queue(&participant),
        consumer_tag: format!("adapter/{participant}/{}", std::process::id()),
        prefetch: configuration.amqp.prefetch,
    };
    let consumer = Consumer::start(configuration.link("commands"), settings, &shutdown.token());
    let shown = show(consumer.state(), readiness.condition("consuming"));
    shutdown.spawn_beside("state of the commands' connection", shown);
    shutdown.spawn(
        "intake",
        Intake::new(consumer, participant, lanes, worker, said).run(),
    );
}

/// Connects before the first report and after each loss, so that readiness is known on a quiet day.
async fn keep_connected(publisher: Publisher, condition: Condition) {
    let mut state = publisher.state();
    let showing = show(publisher.state(), condition);
    let connecting = async {
        loop {
            while publisher.connect().await.is_err() {
                sleep(CONNECT_PAUSE).await;
            }
            let lost = |state: &LinkState| *state == LinkState::Connecting;
            if state.wait_for(lost).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(showing, connecting);
}

/// Shows the state of a connection as readiness, for as long as there is one.
async fn show(mut state: watch::Receiver<LinkState>, condition: Condition) {
    loop {
        match &*state.borrow_and_update() {
            LinkState::Ready => condition.met(),
            LinkState::Connecting => condition.unmet("not connected to RabbitMQ"),
            LinkState::Blocked(reason) => condition.unmet(format!("RabbitMQ blocks: {reason}")),
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
