//! One lane: batches from the outbox to RabbitMQ, one message in flight, in order.
//!
//! Invariant: an execution is marked as dispatched before it is sent, and its entry stays until RabbitMQ has confirmed the
//! message; a crash in between sends it again, never loses it. While a message waits for its confirm the next batch
//! gathers, so a quiet lane sends one execution at once and a busy one packs hundreds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::{LinkState, Message, PublishError};
use domain::{State, Timestamp};
use metrics::{counter, histogram};
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Shared,
    ahead::{self, Ahead},
    depth::Depth,
    message,
};
use crate::{
    metrics as names,
    pipeline::now,
    store::{
        AbsorbedEntry, Batch, BatchLimits, Gone, Lane, Lease, Mark, Marked, Marking, Marks,
        StoreError,
    },
};

/// How often an idle lane looks even when nobody woke it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a lane looks again whose window is full.
const WINDOW_EVERY: Duration = Duration::from_millis(100);
/// How often another replica's lease is tried.
const LEASE_EVERY: Duration = Duration::from_millis(500);
/// A lease is renewed when so much of it has passed, as a divisor.
const RENEWALS_PER_LEASE: u32 = 3;
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
    depth: Depth,
    ahead: Ahead,
}

/// What a turn came to.
enum Turn {
    /// A message was confirmed.
    Sent,
    /// What was chosen had changed meanwhile.
    Again,
    /// Nothing waits.
    Idle,
    /// Too much is out without a report.
    WindowFull,
    /// Another replica has the lease.
    LostLease,
}

/// What marking a batch came to.
enum Chosen {
    LostLease,
    /// These were to do the work of others too, and have ended instead.
    Ended(Vec<u64>),
    All(AllMarks),
}

/// What to do with a batch, and with what it absorbs.
struct AllMarks {
    batch: Marks,
    absorbed: Vec<Mark>,
}

/// Why a turn failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error("cannot read the outbox")]
    Store(#[from] StoreError),
    #[error("cannot send a dispatch")]
    Publish(#[from] PublishError),
    #[error("RabbitMQ takes no messages now: {0}")]
    Blocked(String),
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
            depth: Depth::default(),
            ahead: Ahead::default(),
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
        let mut gone = Gone::default();
        while !stop.is_cancelled() {
            self.depth.show(&self.shared.store, &self.lane).await;
            let turn = match self.keep_lease(lease).await {
                Ok(true) => self.turn(lease, &mut gone).await,
                Ok(false) => Ok(Turn::LostLease),
                Err(error) => Err(error.into()),
            };
            match turn {
                Ok(Turn::Sent) => self.backoff.reset(),
                Ok(Turn::Again) => {}
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

    async fn turn(&mut self, lease: &Lease, gone: &mut Gone) -> Result<Turn, TurnError> {
        let shared = Arc::clone(&self.shared);
        let limits = BatchLimits {
            entries: shared.outbox.batch,
            bytes: shared.outbox.batch_bytes.0,
            window: shared.outbox.window,
        };
        let within = self.ahead.window(limits);
        let mut batch = shared.store.next_entries(&self.lane, gone, within).await?;
        *gone = Gone::default();
        if batch.entries.is_empty() && batch.cancels.is_empty() {
            return Ok(if batch.held_back {
                Turn::WindowFull
            } else {
                Turn::Idle
            });
        }
        self.reach(lease).await?;
        let (store, lookahead) = (&shared.store, shared.outbox.lookahead);
        let absorbed = self
            .ahead
            .compact(store, &self.lane, &mut batch, limits, lookahead)
            .await?;
        let moment = now();
        let marked = match self.mark(lease, &batch, &absorbed, moment).await? {
            Chosen::LostLease => return Ok(Turn::LostLease),
            Chosen::Ended(sequences) => {
                gone.sequences = sequences;
                return Ok(Turn::Again);
            }
            Chosen::All(marked) => marked,
        };
        self.send(lease, &batch, &absorbed, &marked, moment).await?;
        let entries = batch.entries.iter().map(|entry| entry.sequence);
        let absorbed = absorbed.iter().map(|entry| entry.sequence);
        gone.sequences = entries.chain(absorbed).collect();
        gone.cancels = batch.cancels;
        Ok(Turn::Sent)
    }

    /// Marks a batch and what it absorbs, and counts what moved.
    async fn mark(
        &self,
        lease: &Lease,
        batch: &Batch,
        absorbed: &[AbsorbedEntry],
        moment: Timestamp,
    ) -> Result<Chosen, StoreError> {
        let (shared, lane) = (&self.shared, &self.lane);
        let marking = Marking {
            now: moment,
            deadline: moment.plus(shared.deadlines.report),
            retention: shared.retention,
        };
        let marks = shared
            .store
            .mark_dispatched(lane, lease, batch, absorbed, marking);
        let batch = match marks.await? {
            Marked::LostLease => return Ok(Chosen::LostLease),
            Marked::Ended(ended) => {
                let (sequences, marks): (_, Vec<_>) = ended.into_iter().unzip();
                self.count(&marks);
                return Ok(Chosen::Ended(sequences));
            }
            Marked::All(marks) => marks,
        };
        let marks = shared.store.mark_absorbed(lane, lease, absorbed, marking);
        let Some(absorbed) = marks.await? else {
            return Ok(Chosen::LostLease);
        };
        self.count(&batch.entries);
        self.count(&absorbed);
        Ok(Chosen::All(AllMarks { batch, absorbed }))
    }

    /// Says what was marked to be said, if anything was.
    async fn send(
        &mut self,
        lease: &Lease,
        batch: &Batch,
        absorbed: &[AbsorbedEntry],
        marked: &AllMarks,
        moment: Timestamp,
    ) -> Result<(), TurnError> {
        let sent = batch.entries.iter().zip(&marked.batch.entries);
        let sent = sent
            .filter(|(_, mark)| matches!(mark, Mark::Send | Mark::SendAgain))
            .collect::<Vec<_>>();
        let cancels = batch.cancels.iter().zip(&marked.batch.cancels);
        let cancels = cancels
            .filter(|(_, matters)| **matters)
            .map(|(command, _)| *command)
            .collect::<Vec<_>>();
        if sent.is_empty() && cancels.is_empty() {
            return Ok(());
        }
        let (shared, lane) = (Arc::clone(&self.shared), &self.lane);
        let absorbed = ahead::marked(absorbed, &marked.absorbed);
        let mut message = message::of(lane, &sent, &absorbed, &cancels, &shared.directory, moment)?;
        shared.signing.sign(&mut message, &lane.participant, moment);
        self.publish(lease, &message, sent.len()).await?;
        names::count_absorbed(&self.lane.participant, absorbed.len());
        Ok(())
    }

    /// Counts what moved with the marks.
    fn count(&self, marks: &[Mark]) {
        for mark in marks {
            match mark {
                Mark::Send => names::count_execution(&self.lane.participant, &State::Dispatched),
                Mark::Expired => names::count_execution(&self.lane.participant, &State::Expired),
                Mark::SendAgain | Mark::Drop => {}
            }
        }
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
        let confirmed = self.renewing(lease, publishing).await;
        self.count_dispatch(
            confirmed
                .as_ref()
                .map_or_else(names::dispatch_result, |()| "confirmed"),
        );
        confirmed?;
        if let Some(copies) = &shared.copies {
            copies.leave(participant.as_str(), message);
        }
        histogram!(names::PUBLISH_SECONDS).record(started.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a histogram of batch sizes")]
        histogram!(names::DISPATCH_EXECUTIONS).record(count as f64);
        Ok(())
    }

    /// Before anything is marked: what waits while RabbitMQ is away or takes nothing is still taken back for certain.
    async fn reach(&mut self, lease: &Lease) -> Result<(), TurnError> {
        let publisher = self.shared.publisher.clone();
        let reached = if *publisher.state().borrow() == LinkState::Connecting {
            self.renewing(lease, publisher.connect()).await
        } else {
            Ok(())
        };
        let blocked = match &*publisher.state().borrow() {
            LinkState::Blocked(why) => Some(why.clone()),
            LinkState::Connecting | LinkState::Ready => None,
        };
        if reached.is_err() || blocked.is_some() {
            self.count_dispatch("unavailable");
        }
        reached?;
        blocked.map_or(Ok(()), |why| Err(TurnError::Blocked(why)))
    }

    /// Does what takes its time, and renews the lease meanwhile. A lease that cannot be renewed ends by itself; a message
    /// in flight is harmless then, for the next owner sends the same executions again.
    async fn renewing<T>(&mut self, lease: &Lease, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(self.renewal_interval()) => {
                    let _ = self.renew(lease).await;
                }
            }
        }
    }

    fn count_dispatch(&self, result: &'static str) {
        counter!(names::DISPATCHES_TOTAL, "participant" => self.lane.participant.to_string(), "result" => result).increment(1);
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
        Depth::clear(&self.lane);
        if let Err(error) = self.shared.store.release(&self.lane, lease).await {
            warn!(participant.id = %self.lane.participant, error = %Chain(&error), "cannot give an outbox back; its lease will end");
        }
    }

    /// Removes what was confirmed last, so that the next owner need not send it again.
    async fn forget(&self, gone: &Gone) {
        if let Err(error) = self.shared.store.forget_entries(&self.lane, gone).await {
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
}
