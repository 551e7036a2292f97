//! Probes: again and again a command that is submitted, watched, and timed, as an originator would.
//!
//! Invariant: a probe ends only when its command has settled. One that waits during a fault is what the fault costs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use proto::v1;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    ledger::Ledger,
    load::is_passing,
    traffic::{self, ORIGINATORS},
};
use crate::federation::{Client, client};

/// Between two probes, unless more are needed.
pub(super) const EVERY: Duration = Duration::from_millis(100);
/// How long a replica may take to answer a probe, or to say something new about one.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The pause after a replica that did not.
const PAUSE: Duration = Duration::from_millis(50);
/// Probes under way; more would measure the probes.
const UNDER_WAY: usize = 500;

/// Probes of all participants in turn, until told to end.
#[derive(Debug)]
pub(super) struct Probes {
    tasks: TaskTracker,
    stop: CancellationToken,
    seen: Arc<Mutex<Vec<Probe>>>,
}

/// One probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// When it was first submitted.
    pub(super) began: Instant,
    /// When its watcher heard that it has settled.
    pub(super) settled: Option<Instant>,
}

impl Probe {
    /// How long it took, or has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.settled
            .map_or_else(|| self.began.elapsed(), |settled| settled - self.began)
    }
}

impl Probes {
    /// Begins.
    pub(super) fn start(
        brokers: [SocketAddr; 2],
        ledger: &Arc<Ledger>,
        participants: &'static [&'static str],
        pause: Duration,
    ) -> Result<Self> {
        let identity = format!("participant/{}", ORIGINATORS[0]);
        let clients = [
            client(brokers[0], &identity)?,
            client(brokers[1], &identity)?,
        ];
        let probes = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            seen: Arc::default(),
        };
        let (seen, ledger) = (Arc::clone(&probes.seen), Arc::clone(ledger));
        let (tasks, stop) = (probes.tasks.clone(), probes.stop.clone());
        probes.tasks.spawn(async move {
            let mut every = interval(pause);
            every.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut number = 0_usize;
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                if tasks.len() > UNDER_WAY {
                    continue;
                }
                let one = One {
                    clients: clients.clone(),
                    ledger: Arc::clone(&ledger),
                    participant: participants[number % participants.len()],
                    number,
                };
                let place = begin(&seen);
                let seen = Arc::clone(&seen);
                tasks.spawn(async move {
                    one.run().await;
                    lock(&seen)[place].settled = Some(Instant::now());
                });
                number += 1;
            }
        });
        probes.tasks.close();
        Ok(probes)
    }

    /// The probes that began at or after a moment.
    pub(super) fn since(&self, moment: Instant) -> Vec<Probe> {
        let seen = lock(&self.seen);
        let first = seen.partition_point(|probe| probe.began < moment);
        seen[first..].to_vec()
    }

    /// Begins no more, and waits until all have settled.
    pub(super) async fn end(&self, limit: Duration) -> Result<()> {
        self.stop.cancel();
        timeout(limit, self.tasks.wait())
            .await
            .with_context(|| format!("probes did not settle within {limit:?}"))
    }
}

fn begin(seen: &Mutex<Vec<Probe>>) -> usize {
    let mut seen = lock(seen);
    seen.push(Probe {
        began: Instant::now(),
        settled: None,
    });
    seen.len() - 1
}

fn lock(seen: &Mutex<Vec<Probe>>) -> MutexGuard<'_, Vec<Probe>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One probe under way.
struct One {
    clients: [Client; 2],
    ledger: Arc<Ledger>,
    participant: &'static str,
    number: usize,
}

impl One {
    async fn run(&self) {
        let request = Uuid::now_v7();
        self.ledger.ask(request, true);
        let mut turn = self.number;
        let command = loop {
            if let Ok(command) = self.submit(turn, request).await {
                break command;
            }
            turn += 1;
            sleep(PAUSE).await;
        };
        self.ledger.acknowledge(request, &command);
        while self.watch(turn, &command).await.is_err() {
            turn += 1;
            sleep(PAUSE).await;
        }
    }

    async fn submit(&self, turn: usize, request: Uuid) -> Result<String> {
        let number = u64::try_from(self.number).unwrap_or_default();
        let asked = v1::SubmitCommandRequest {
            draft: Some(traffic::probe(self.participant, number)),
            request_id: request.to_string(),
            validate_only: false,
        };
        let mut client = self.clients[turn % 2].commands.clone();
        let answer = timeout(PATIENCE, client.submit_command(asked)).await?;
        if let Err(status) = &answer
            && !is_passing(status.code())
        {
            self.ledger.refuse(status.message());
        }
        let command = answer?.into_inner().command.context("a command")?;
        Ok(command.id)
    }

    /// Watches until it has settled, and looks at it then.
    async fn watch(&self, turn: usize, command: &str) -> Result<()> {
        let mut client = self.clients[turn % 2].clone();
        let asked = v1::WatchCommandRequest {
            command_id: command.to_owned(),
            ..v1::WatchCommandRequest::default()
        };
        let watching = client.commands.watch_command(asked);
        let mut news = timeout(PATIENCE, watching).await??.into_inner();
        loop {
            let news = timeout(PATIENCE, news.message()).await??;
            let standing = news.context("the watch goes on")?.standing;
            if standing.is_some_and(|standing| standing.settled) {
                break;
            }
        }
        let command = timeout(PATIENCE, client.get(command)).await??;
        ensure!(command.standing.is_some(), "a command has a standing");
        self.ledger.see(&command);
        Ok(())
    }
}
