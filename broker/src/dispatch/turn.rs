//! One turn of a lane: a batch from the outbox, or what was handed over, to RabbitMQ. One message in flight, in order.
//!
//! Invariant: an execution is marked as dispatched before it is sent, and its entry stays until RabbitMQ has confirmed the
//! message; a crash in between sends it again, never loses it. While a message waits for its confirm the next batch
//! gathers, so a quiet lane sends one execution at once and a busy one packs hundreds. What is handed over is sent only where it
//! comes right behind what was sent last; else the outbox is read, which has all in order.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::Message;
use domain::{State, Timestamp};
use metrics::histogram;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    ahead::{self, Ahead},
    lane::{Turn, TurnError, Worker},
    message,
    tenure::{Permit, Tenure},
};
use crate::{
    metrics as names,
    pipeline::now,
    store::{
        AbsorbedEntry, Batch, BatchLimits, Entry, Gone, Mark, Marked, Marking, Marks, StoreError,
    },
};

/// How long a lane waits for its turn.
const TURN_WAIT: Duration = Duration::from_millis(50);

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

impl Worker {
    /// Sends what was handed over, if that is all that there is, or else what the outbox holds.
    pub(super) async fn turn(&mut self, tenure: &mut Tenure) -> Result<Turn, TurnError> {
        let (shared, limits) = (Arc::clone(&self.shared), self.limits());
        if !self.is_asked_to_look() && tenure.has_something_handed() {
            let permit = its_turn(&shared.turns).await;
            if !self.keep_lease(&tenure.lease).await? {
                return Ok(Turn::LostLease);
            }
            let entries = tenure.take(limits);
            if !entries.is_empty() {
                return self.send_handed(tenure, entries, permit).await;
            }
        }
        if !self.keep_lease(&tenure.lease).await? {
            return Ok(Turn::LostLease);
        }
        self.send_read(tenure, limits).await
    }

    fn limits(&self) -> BatchLimits {
        let outbox = &self.shared.outbox;
        BatchLimits {
            entries: outbox.batch,
            bytes: outbox.batch_bytes.0,
            window: outbox.window,
        }
    }

    /// What was handed over is marked already. What was sent before leaves the outbox meanwhile.
    async fn send_handed(
        &mut self,
        tenure: &mut Tenure,
        entries: Vec<Entry>,
        permit: Permit<'_>,
    ) -> Result<Turn, TurnError> {
        let (shared, moment) = (Arc::clone(&self.shared), now());
        let sent: Vec<_> = entries.iter().map(|entry| (entry, &Mark::Send)).collect();
        let message = message::of(&self.lane, &sent, &[], &[], &shared.directory, moment)?;
        let gone = mem::take(&mut tenure.gone);
        let (store, lane) = (&shared.store, self.lane.clone());
        let forgetting = async {
            if gone.is_empty() {
                return Ok(());
            }
            store.forget_entries(&lane, &gone).await
        };
        let (confirmed, forgotten) = tokio::join!(
            self.sign_and_publish(tenure, message, entries.len(), permit),
            forgetting
        );
        if forgotten.is_err() {
            tenure.gone = gone;
        }
        confirmed?;
        tenure
            .gone
            .sequences
            .extend(entries.iter().map(|entry| entry.sequence));
        forgotten?;
        Ok(Turn::SentHanded(entries.len()))
    }

    async fn send_read(
        &mut self,
        tenure: &mut Tenure,
        limits: BatchLimits,
    ) -> Result<Turn, TurnError> {
        let shared = Arc::clone(&self.shared);
        let within = self.ahead.window(limits);
        let mut batch = shared
            .store
            .next_entries(&self.lane, &tenure.gone, within)
            .await?;
        tenure.has_read(batch.reach);
        if batch.entries.is_empty() && batch.cancels.is_empty() {
            tenure.has_dealt_with(batch.reach);
            if batch.held_back {
                return Ok(Turn::WindowFull);
            }
            self.ahead = Ahead::default();
            return Ok(Turn::Idle);
        }
        self.reach(&tenure.lease).await?;
        let permit = its_turn(&shared.turns).await;
        let lookahead = Ahead::looks(&batch, shared.outbox.lookahead);
        if lookahead.is_some() {
            // It chooses among more than was read, and may leave some of it.
            tenure.fell_behind();
            batch.reach.is_all = false;
        }
        let absorbed = self
            .ahead
            .compact(&shared.store, &self.lane, &mut batch, limits, lookahead)
            .await?;
        let moment = now();
        let mut marked = match self.mark(tenure, &batch, &absorbed, moment).await? {
            Chosen::LostLease => return Ok(Turn::LostLease),
            Chosen::Ended(sequences) => {
                tenure.gone.sequences = sequences;
                return Ok(Turn::Again);
            }
            Chosen::All(marked) => marked,
        };
        let entries = batch.entries.iter().map(|entry| entry.sequence);
        let absorbed_ones = absorbed.iter().map(|entry| entry.sequence);
        let AllMarks {
            batch: marks,
            absorbed: absorbed_marks,
        } = &mut marked;
        let of_entries = entries.clone().zip(&mut marks.entries);
        tenure.tries(of_entries.chain(absorbed_ones.clone().zip(absorbed_marks)));
        let sequences = entries.chain(absorbed_ones).collect();
        self.send(tenure, &batch, (&absorbed, &marked), (moment, permit))
            .await?;
        if batch.cancels.len() < limits.entries {
            tenure.has_dealt_with(batch.reach);
        }
        let sent = batch.entries.len();
        tenure.gone = Gone {
            sequences,
            cancels: batch.cancels,
        };
        Ok(Turn::Sent(sent))
    }

    /// Marks a batch and what it absorbs, and counts what moved.
    async fn mark(
        &self,
        tenure: &Tenure,
        batch: &Batch,
        absorbed: &[AbsorbedEntry],
        moment: Timestamp,
    ) -> Result<Chosen, StoreError> {
        let (shared, lane, lease) = (&self.shared, &self.lane, &tenure.lease);
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
        tenure: &Tenure,
        batch: &Batch,
        (absorbed, marked): (&[AbsorbedEntry], &AllMarks),
        (moment, permit): (Timestamp, Permit<'_>),
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
        let absorbed = ahead::marked(absorbed, &marked.absorbed);
        let directory = &self.shared.directory;
        let message = message::of(&self.lane, &sent, &absorbed, &cancels, directory, moment)?;
        self.sign_and_publish(tenure, message, sent.len(), permit)
            .await?;
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

    /// Signs and publishes, and renews the lease while RabbitMQ takes its time.
    async fn sign_and_publish(
        &mut self,
        tenure: &Tenure,
        mut message: Message,
        count: usize,
        permit: Permit<'_>,
    ) -> Result<(), TurnError> {
        let (shared, participant) = (Arc::clone(&self.shared), self.lane.participant.clone());
        let moment = message.timestamp;
        shared.signing.sign(&mut message, &participant, moment);
        let exchange = shared.topology.commands_exchange();
        let started = Instant::now();
        let publisher = &shared.publisher;
        let publishing = publisher.publish(&exchange, participant.as_str(), &message);
        let publishing = tenure.confirmed(publishing, permit);
        let confirmed = self.renewing(&tenure.lease, publishing).await;
        self.count_dispatch(
            confirmed
                .as_ref()
                .map_or_else(names::dispatch_result, |()| "confirmed"),
        );
        confirmed?;
        if let Some(copies) = &shared.copies {
            copies.leave(participant.as_str(), &message);
        }
        histogram!(names::PUBLISH_SECONDS).record(started.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a histogram of batch sizes")]
        histogram!(names::DISPATCH_EXECUTIONS).record(count as f64);
        Ok(())
    }
}

/// Waits for its turn, but never for long: a lane that goes without costs a little more, and none waits for another that stands still.
async fn its_turn(turns: &Semaphore) -> Permit<'_> {
    timeout(TURN_WAIT, turns.acquire()).await.ok()?.ok()
}
