//! One lane: who empties it, when, and what becomes of a turn that failed.
//!
//! Invariant: whoever empties it has its lease, renews it in time, and stops when it is another's. A lane that has nothing to do
//! sleeps until it is woken, and looks every second all the same.
//! Not here: what one turn does (`turn`).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use amqp::{LinkState, PublishError, gathering};
use metrics::counter;
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{Shared, Waker, ahead::Ahead, depth::Depth, tenure::Tenure};
use crate::{
    metrics as names,
    store::{Gone, Lane, Lease, StoreError},
};

/// How often a lane looks into its outbox even when nobody woke it, whatever is handed over to it meanwhile.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a lane that sent all that was handed over takes it out of its outbox, where nothing comes with which that goes: by
/// then quick reports of it have come, for which somebody waits.
const TIDY_AFTER: Duration = Duration::from_millis(25);
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
    pub(super) shared: Arc<Shared>,
    pub(super) lane: Lane,
    waker: Waker,
    /// Names this worker and no other, not even a later one of the same replica.
    holder: String,
    backoff: Backoff,
    renewed: Instant,
    depth: Depth,
    pub(super) ahead: Ahead,
}

/// What a turn came to.
pub(super) enum Turn {
    /// A message with so many executions was confirmed.
    Sent(usize),
    /// The same, of what was handed over; the outbox was not read.
    SentHanded(usize),
    /// What was chosen had changed meanwhile.
    Again,
    /// Nothing waits.
    Idle,
    /// Too much is out without a report.
    WindowFull,
    /// Another replica has the lease.
    LostLease,
}

/// Why a turn failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnError {
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
    pub(super) fn new(shared: Arc<Shared>, lane: Lane, waker: Waker) -> Self {
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
        let mut tenure = self.begin(lease);
        while !stop.is_cancelled() {
            self.depth.show(&self.shared.store, &self.lane).await;
            let began = Instant::now();
            match self.turn(&mut tenure).await {
                Ok(Turn::Sent(count)) => self.gather(count, began).await,
                Ok(Turn::SentHanded(count)) => {
                    self.gather(count, began).await;
                    if !tenure.has_something_handed() {
                        self.rest(TIDY_AFTER, stop).await;
                    }
                }
                Ok(Turn::Again) => {}
                Ok(Turn::LostLease) => break,
                Ok(Turn::Idle) => self.rest(LOOK_EVERY, stop).await,
                Ok(Turn::WindowFull) => self.rest(WINDOW_EVERY, stop).await,
                Err(error) => {
                    tenure.fell_behind();
                    // A failure waits its time out; new work must not cut its pause short.
                    let pause = self.failed(&error);
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
        tenure.fell_behind();
        self.forget(&tenure.gone).await;
    }

    fn begin(&self, lease: &Lease) -> Tenure {
        let link = self.shared.publisher.state();
        let can_send = move || matches!(*link.borrow(), LinkState::Ready);
        let waker = Arc::clone(&self.waker.notify);
        let store = &self.shared.store;
        let handed = store.handing_over(&self.lane, lease, waker, can_send);
        Tenure::new(lease.clone(), handed)
    }

    /// Waits for more to send together, after a message with so many executions.
    async fn gather(&mut self, count: usize, began: Instant) {
        self.backoff.reset();
        let gathering = gathering::time_after(count, self.shared.outbox.batch);
        tokio::time::sleep(gathering.saturating_sub(began.elapsed())).await;
    }

    /// Waits for work, or for the next regular look.
    async fn rest(&self, limit: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.waker.notify.notified() => {}
            () = tokio::time::sleep(limit) => {}
        }
    }

    /// Whether something came into the outbox that was not handed over.
    pub(super) fn is_asked_to_look(&self) -> bool {
        self.waker.look.swap(false, Ordering::AcqRel)
    }

    /// Before anything is marked: what waits while RabbitMQ is away or takes nothing is still taken back for certain.
    pub(super) async fn reach(&mut self, lease: &Lease) -> Result<(), TurnError> {
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
    pub(super) async fn renewing<T>(&mut self, lease: &Lease, work: impl Future<Output = T>) -> T {
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

    pub(super) fn count_dispatch(&self, result: &'static str) {
        counter!(names::DISPATCHES_TOTAL, "participant" => self.lane.participant.to_string(), "result" => result).increment(1);
    }

    fn renewal_interval(&self) -> Duration {
        self.shared.outbox.lease / RENEWALS_PER_LEASE
    }

    /// Renews the lease where it is time; `false` when it is another's.
    pub(super) async fn keep_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
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
        if held.as_ref() == Some(lease) {
            self.renewed = Instant::now();
            return Ok(true);
        }
        // Ours had ended and this is another one, under which nothing is done: the next owner need not wait for its end.
        if let Some(another) = &held {
            self.release(another).await;
        }
        Ok(false)
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
