//! One lane: batches from the outbox to RabbitMQ, one message in flight, in order.
//!
//! Invariant: an execution is marked as dispatched before it is sent, and its entry stays until RabbitMQ has confirmed the
//! message; a crash in between sends it again, never loses it. While a message waits for its confirm the next batch
//! gathers, so a quiet lane sends one execution at once and a busy one packs hundreds.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::{
    Message, PublishError,
    envelope::{DISPATCH_TYPE, Dispatch},
    header,
};
use domain::State;
use metrics::{counter, gauge, histogram};
use serde::Deserialize;
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::Shared;
use crate::{
    metrics as names,
    pipeline::now,
    store::{BatchLimits, Entry, Lane, Lease, Mark, StoreError},
};

/// How often an idle lane looks even when nobody woke it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a lane looks again whose window is full.
const WINDOW_EVERY: Duration = Duration::from_millis(100);
/// How often another replica's lease is tried.
const LEASE_EVERY: Duration = Duration::from_millis(500);
/// A lease is renewed when so much of it has passed, as a divisor.
const RENEWALS_PER_LEASE: u32 = 3;
/// How often the depth of the outbox is shown.
const GAUGE_EVERY: Duration = Duration::from_secs(5);
/// Pauses after a failure: short, for RabbitMQ's return should be noticed within seconds.
const PAUSES: BackoffSettings = BackoffSettings {
    first: Duration::from_millis(100),
    max: Duration::from_secs(2),
    factor: 2.0,
};

/// Empties one lane.
pub(super) struct Worker {
    shared: Arc<Shared>,
    lane: Lane,
    waker: Arc<Notify>,
    /// Names this worker and no other, not even a later one of the same replica.
    holder: String,
    backoff: Backoff,
    renewed: Instant,
    measured: Option<Instant>,
}

/// What a turn came to.
enum Turn {
    /// A message was confirmed.
    Sent,
    /// Nothing waits.
    Idle,
    /// Too much is out without a report.
    WindowFull,
    /// Another replica has the lease.
    LostLease,
}

/// Why a turn failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error("cannot read the outbox")]
    Store(#[from] StoreError),
    #[error("cannot send a dispatch")]
    Publish(#[from] PublishError),
    #[error("cannot write a dispatch")]
    Encode(#[from] serde_json::Error),
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, lane: Lane, waker: Arc<Notify>) -> Self {
        let holder = format!("{}/{}", shared.replica, Uuid::now_v7());
        Self {
            shared,
            lane,
            waker,
            holder,
            backoff: Backoff::new(PAUSES),
            renewed: Instant::now(),
            measured: None,
        }
    }

    /// Takes the lease when it is free, and empties the lane while it has it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self
                .shared
                .store
                .own(&self.lane, &self.holder, self.shared.outbox.lease)
                .await
            {
                Ok(Some(lease)) => {
                    self.renewed = Instant::now();
                    info!(participant.id = %self.lane.participant, shard = self.lane.shard.number(), "took an outbox over");
                    self.empty(&lease, &stop).await;
                    self.release(&lease).await;
                    continue;
                }
                Ok(None) => LEASE_EVERY,
                Err(error) => self.failed(&TurnError::Store(error)),
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Turn after turn until asked to stop, or until the lease is another's.
    async fn empty(&mut self, lease: &Lease, stop: &CancellationToken) {
        let mut gone = Vec::new();
        while !stop.is_cancelled() {
            self.measure().await;
            let turn = match self.keep_lease(lease).await {
                Ok(true) => self.turn(lease, &mut gone).await,
                Ok(false) => Ok(Turn::LostLease),
                Err(error) => Err(error.into()),
            };
            match turn {
                Ok(Turn::Sent) => self.backoff.reset(),
                Ok(Turn::LostLease) => break,
                Ok(Turn::Idle) => self.rest(LOOK_EVERY, stop).await,
                Ok(Turn::WindowFull) => self.rest(WINDOW_EVERY, stop).await,
                Err(error) => {
                    // A failure waits its time out; new work must not cut its pause short.
                    let pause = self.failed(&error);
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
        self.forget(&gone).await;
    }

    /// Waits for work, or for the next regular look.
    async fn rest(&self, limit: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.waker.notified() => {}
            () = tokio::time::sleep(limit) => {}
        }
    }

    async fn turn(&mut self, lease: &Lease, gone: &mut Vec<u64>) -> Result<Turn, TurnError> {
        let shared = Arc::clone(&self.shared);
        let limits = BatchLimits {
            entries: shared.outbox.batch,
            bytes: shared.outbox.batch_bytes.0,
            window: shared.outbox.window,
        };
        let batch = shared.store.next_entries(&self.lane, gone, limits).await?;
        gone.clear();
        if batch.entries.is_empty() {
            return Ok(if batch.held_back {
                Turn::WindowFull
            } else {
                Turn::Idle
            });
        }
        let entries = batch.entries;
        let marked = now();
        let deadline = marked.plus(shared.deadlines.report);
        let marks = shared
            .store
            .mark_dispatched(&self.lane, lease, &entries, marked, deadline)
            .await?;
        let Some(marks) = marks else {
            return Ok(Turn::LostLease);
        };
        let marked = entries
            .iter()
            .zip(&marks)
            .filter(|(_, mark)| **mark != Mark::Drop)
            .collect::<Vec<_>>();
        if !marked.is_empty() {
            let message = self.message(&marked)?;
            self.publish(lease, &message, marked.len()).await?;
        }
        for _ in marks.iter().filter(|mark| **mark == Mark::Send) {
            names::count_execution(&self.lane.participant, &State::Dispatched);
        }
        gone.extend(entries.iter().map(|entry| entry.sequence));
        Ok(Turn::Sent)
    }

    /// Publishes, and renews the lease while RabbitMQ takes its time.
    async fn publish(
        &mut self,
        lease: &Lease,
        message: &Message,
        count: usize,
    ) -> Result<(), TurnError> {
        let (shared, participant) = (Arc::clone(&self.shared), self.lane.participant.clone());
        let exchange = shared.topology.commands_exchange();
        let started = Instant::now();
        let publishing = shared
            .publisher
            .publish(&exchange, participant.as_str(), message);
        tokio::pin!(publishing);
        let confirmed = loop {
            tokio::select! {
                confirmed = &mut publishing => break confirmed,
                () = tokio::time::sleep(self.renewal_interval()) => {
                    // A lease that cannot be renewed ends by itself; the message in flight is harmless then, for
                    // the next owner sends the same executions again.
                    let _ = self.renew(lease).await;
                }
            }
        };
        let result = confirmed.as_ref().map_or_else(word, |()| "confirmed");
        counter!(names::DISPATCHES_TOTAL, "participant" => self.lane.participant.to_string(), "result" => result).increment(1);
        confirmed?;
        histogram!(names::PUBLISH_SECONDS).record(started.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a histogram of batch sizes")]
        histogram!(names::DISPATCH_EXECUTIONS).record(count as f64);
        Ok(())
    }

    fn message(&self, marked: &[(&Entry, &Mark)]) -> Result<Message, serde_json::Error> {
        let sent = marked.iter().map(|(entry, _)| *entry).collect::<Vec<_>>();
        let again = marked.iter().filter(|(_, mark)| **mark == Mark::SendAgain);
        let sequence = |entry: Option<&&Entry>| entry.map_or(0, |entry| entry.sequence);
        let (first, last) = (sequence(sent.first()), sequence(sent.last()));
        let body = serde_json::to_vec(&Dispatch {
            participant: self.lane.participant.clone(),
            executions: sent.iter().map(|entry| &*entry.order).collect(),
            sent_before: again.map(|(entry, _)| entry.sequence).collect(),
        })?;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX).into();
        let mut headers = BTreeMap::from([
            (header::COUNT.to_owned(), number(sent.len() as u64)),
            (header::SEQUENCE_FIRST.to_owned(), number(first)),
            (header::SEQUENCE_LAST.to_owned(), number(last)),
        ]);
        if let Some(traceparent) = sent.first().and_then(|entry| traceparent(entry)) {
            headers.insert(header::TRACEPARENT.to_owned(), traceparent.into());
        }
        Ok(Message {
            message_id: format!(
                "{}-{}-{first}-{last}",
                self.lane.participant,
                self.lane.shard.number()
            ),
            kind: DISPATCH_TYPE.to_owned(),
            app_id: "broker".to_owned(),
            timestamp: now(),
            correlation_id: None,
            headers,
            body,
        })
    }

    fn renewal_interval(&self) -> Duration {
        self.shared.outbox.lease / RENEWALS_PER_LEASE
    }

    /// Renews the lease where it is time; `false` when it is another's.
    async fn keep_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        if self.renewed.elapsed() < self.renewal_interval() {
            Ok(true)
        } else {
            self.renew(lease).await
        }
    }

    async fn renew(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let held = self
            .shared
            .store
            .own(&self.lane, &self.holder, self.shared.outbox.lease)
            .await?;
        self.renewed = Instant::now();
        Ok(held.as_ref() == Some(lease))
    }

    async fn release(&self, lease: &Lease) {
        self.show(0, 0, Duration::ZERO);
        if let Err(error) = self.shared.store.release(&self.lane, lease).await {
            warn!(participant.id = %self.lane.participant, error = %Chain(&error), "cannot give an outbox back; its lease will end");
        }
    }

    /// Removes what was confirmed last, so that the next owner need not send it again.
    async fn forget(&self, gone: &[u64]) {
        let nothing = BatchLimits {
            entries: 0,
            bytes: 0,
            window: 0,
        };
        if let Err(error) = self
            .shared
            .store
            .next_entries(&self.lane, gone, nothing)
            .await
        {
            warn!(participant.id = %self.lane.participant, error = %Chain(&error), "confirmed executions will be sent again");
        }
    }

    fn failed(&mut self, error: &TurnError) -> Duration {
        let pause = self.backoff.next_delay();
        warn!(
            participant.id = %self.lane.participant,
            error = %Chain(error),
            retry_ms = pause.as_millis(),
            "an outbox cannot be emptied"
        );
        pause
    }

    /// Shows how full the lane is, not more often than anybody looks.
    async fn measure(&mut self) {
        if self
            .measured
            .is_some_and(|measured| measured.elapsed() < GAUGE_EVERY)
        {
            return;
        }
        self.measured = Some(Instant::now());
        if let Ok(state) = self.shared.store.outbox_state(&self.lane).await {
            let age = state
                .oldest
                .map_or(Duration::ZERO, |oldest| now().since(oldest));
            self.show(state.waiting, state.unreported, age);
        }
    }

    fn show(&self, waiting: u64, unreported: u64, age: Duration) {
        let labels = [
            ("participant", self.lane.participant.to_string()),
            ("shard", self.lane.shard.number().to_string()),
        ];
        #[expect(clippy::cast_precision_loss, reason = "gauges")]
        {
            gauge!(names::OUTBOX_EXECUTIONS, &labels).set(waiting as f64);
            gauge!(names::UNREPORTED_EXECUTIONS, &labels).set(unreported as f64);
        }
        gauge!(names::OUTBOX_AGE_SECONDS, &labels).set(age);
    }
}

/// The trace of an order, without reading the rest of it.
fn traceparent(entry: &Entry) -> Option<String> {
    #[derive(Deserialize)]
    struct Traced {
        traceparent: Option<String>,
    }
    serde_json::from_str::<Traced>(entry.order.get())
        .ok()?
        .traceparent
}

fn word(error: &PublishError) -> &'static str {
    match error {
        PublishError::Unroutable { .. }
        | PublishError::Denied { .. }
        | PublishError::TooLong { .. } => "unroutable",
        PublishError::Refused { .. } => "refused",
        PublishError::TimedOut { .. } | PublishError::Lost { .. } => "timed_out",
        PublishError::Unavailable { .. } => "unavailable",
    }
}
