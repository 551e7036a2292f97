//! Reports from adapters: who sent it, what it says, and what becomes of it.
//!
//! Invariant: a report speaks only for the participant whose entry exchange it came through. It is acknowledged when the
//! store has it; one that cannot be read or speaks of what is not there goes to the dead letters, and the next one
//! is read.

use std::{collections::BTreeMap, sync::Arc};

use amqp::{
    Consumer, Delivery, Message, Topology,
    envelope::{ExecutionReport, Progress, SignedStatements},
};
use domain::{
    Event, Evidence, Fault, Outcome as ServerOutcome, ParticipantId, Timestamp, limits,
    signing::{SealError, TimedKey},
};
use metrics::counter;
use serde::Deserialize;
use serde_json::value::RawValue;
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{Tracker, heard::Heard, statements::Statements};
use crate::{
    directory::Directory,
    metrics as names,
    pipeline::now,
    signing::Signing,
    store::{Applied, Outcome, Shard, StoreError},
};

/// Executions in one call to the store: a call keeps Redis from everybody else while it lasts.
const CHUNK: usize = 500;

/// Takes reports on one replica.
#[derive(Clone)]
pub struct Reports {
    /// Where they go.
    pub tracker: Tracker,
    /// Whose exchange is whose.
    pub topology: Topology,
    /// Who has which keys.
    pub directory: Arc<Directory>,
    /// Whose signatures are asked for.
    pub signing: Arc<Signing>,
}

/// A report whose sender may speak for what it speaks of.
struct Readable {
    participant: ParticipantId,
    /// When its adapter wrote it, as far as it is signed; otherwise now.
    written_at: Timestamp,
    batches: BTreeMap<Shard, Vec<Outcome>>,
    progress: Vec<Progress>,
    /// Executions that no broker of this store named.
    unknown: usize,
    /// Why the first of those that cannot be read cannot be read; its neighbours are applied all the same.
    unreadable: Option<serde_json::Error>,
}

/// An [`amqp::envelope::Report`] whose executions are still to be read: one of a newer adapter leaves the others unharmed.
#[derive(Deserialize)]
struct Unread<'a> {
    participant: ParticipantId,
    #[serde(borrow)]
    executions: Vec<&'a RawValue>,
    #[serde(default)]
    progress: Vec<Progress>,
    #[serde(default)]
    receipts: Option<SignedStatements>,
}

/// Why a report is not taken. It will not be better when it comes again.
#[derive(Debug, Error)]
enum Refusal {
    #[error("it is no report, or a part of it is none")]
    Unreadable(#[source] serde_json::Error),
    #[error("it came through an exchange that is no participant's")]
    NoParticipant,
    #[error("it speaks for participant `{0}`, whose exchange it did not come through")]
    Foreign(ParticipantId),
    #[error(
        "it was sent by the RabbitMQ user of participant `{0}`, whose exchange it did not come through"
    )]
    ForeignUser(ParticipantId),
    #[error("nobody can vouch for it")]
    NotBelieved(#[source] SealError),
    #[error("it speaks of {0} executions that are not there")]
    UnknownExecutions(usize),
    #[error("it cannot be written down")]
    NotWritten(#[source] StoreError),
}

impl Refusal {
    const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NoParticipant | Self::Foreign(_) | Self::ForeignUser(_) => "foreign",
            Self::UnknownExecutions(_) => "unknown_execution",
            Self::NotWritten(_) => "store_broken",
            Self::NotBelieved(why) => why.word(),
        }
    }
}

impl Reports {
    /// Takes reports until asked to stop; what is being written then is finished.
    pub async fn run(self, mut consumer: Consumer, stop: CancellationToken) {
        let (tasks, heard) = (TaskTracker::new(), Heard::default());
        tasks.spawn(heard.clone().run(self.tracker.store.clone(), stop.clone()));
        // As many at a time as the prefetch lets through.
        while let Some(delivery) = consumer.next().await {
            tasks.spawn(self.clone().take(delivery, heard.clone(), stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
        consumer.close().await;
    }

    async fn take(self, delivery: Delivery, heard: Heard, stop: CancellationToken) {
        if delivery.redelivered {
            counter!(names::REDELIVERIES_TOTAL).increment(1);
        }
        let settled = match self.read(&delivery) {
            Ok(readable) => {
                let store = &self.tracker.store;
                heard.note(
                    store,
                    &readable.participant,
                    &readable.progress,
                    readable.written_at,
                );
                self.write(delivery, readable, &stop).await
            }
            Err(refusal) => self.refuse(delivery, &refusal).await,
        };
        if let Err(error) = settled {
            // RabbitMQ delivers it again, and the store takes a report twice without harm.
            debug!(error = %Chain(&error), "a report was not settled");
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Readable, Refusal> {
        let participant = self
            .topology
            .participant_of(&delivery.exchange)
            .ok_or(Refusal::NoParticipant)?;
        // RabbitMQ lets nobody else write there and lets nobody lie about it; where its rights are wrong, this is the second door.
        let user = delivery.user.as_deref();
        let sender = user.and_then(|user| self.topology.participant_of_user(user));
        if let Some(sender) = sender.filter(|sender| *sender != participant) {
            return Err(Refusal::ForeignUser(sender));
        }
        // Before anything of the body is believed.
        let moment = now();
        let signed_at = self.check(&delivery.message, &participant, moment)?;
        let report: Unread<'_> =
            serde_json::from_slice(&delivery.message.body).map_err(Refusal::Unreadable)?;
        if report.participant != participant {
            return Err(Refusal::Foreign(report.participant));
        }
        let mut readable = Readable {
            participant,
            // What is played back shows no life of today.
            written_at: signed_at.map_or(moment, |signed| signed.min(moment)),
            batches: BTreeMap::new(),
            progress: report.progress,
            unknown: 0,
            unreadable: None,
        };
        let mut statements = Statements::default();
        let mut batches: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
        for entry in report.executions {
            let entry = match serde_json::from_str::<ExecutionReport>(entry.get()) {
                Ok(entry) => entry,
                Err(error) => {
                    readable.unreadable.get_or_insert(error);
                    continue;
                }
            };
            if entry.execution.participant != readable.participant {
                return Err(Refusal::Foreign(entry.execution.participant));
            }
            let place = statements.add(&entry);
            match self.tracker.shard_of(&entry.execution) {
                Some(shard) => batches
                    .entry(shard)
                    .or_default()
                    .push((place, outcome(entry))),
                None => readable.unknown += 1,
            }
        }
        let keys = self.keys_of(&readable.participant);
        let receipts = report
            .receipts
            .and_then(|signed| statements.receipts(&signed, &keys));
        let mut receipts = receipts.unwrap_or_default();
        for (shard, outcomes) in batches {
            let of = |(place, outcome): (Option<usize>, Outcome)| Outcome {
                receipt: place.and_then(|place| receipts.get_mut(place)?.take()),
                ..outcome
            };
            readable
                .batches
                .insert(shard, outcomes.into_iter().map(of).collect());
        }
        Ok(readable)
    }

    /// When the report was signed, where that is asked for.
    fn check(
        &self,
        message: &Message,
        participant: &ParticipantId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let keys = self.keys_of(participant);
        let checked = self.signing.check(message, participant, &keys, now);
        checked.map_err(Refusal::NotBelieved)
    }

    fn keys_of(&self, participant: &ParticipantId) -> Vec<TimedKey> {
        let record = self.directory.participant(participant);
        record.map_or_else(Vec::new, |record| record.signing_keys.clone())
    }

    /// Writes what is known, then settles the message.
    async fn write(
        &self,
        delivery: Delivery,
        readable: Readable,
        stop: &CancellationToken,
    ) -> Result<(), amqp::SettleError> {
        let mut unknown = readable.unknown;
        for (shard, outcomes) in readable.batches {
            for chunk in outcomes.chunks(CHUNK) {
                match self.apply(shard, &readable.participant, chunk, stop).await {
                    Ok(Some(count)) => unknown += count,
                    Ok(None) => return delivery.nack_requeue().await,
                    Err(error) => {
                        return self.refuse(delivery, &Refusal::NotWritten(error)).await;
                    }
                }
            }
        }
        if let Some(error) = readable.unreadable {
            return self.refuse(delivery, &Refusal::Unreadable(error)).await;
        }
        if unknown > 0 {
            return self
                .refuse(delivery, &Refusal::UnknownExecutions(unknown))
                .await;
        }
        counter!(names::REPORTS_TOTAL, "result" => "applied").increment(1);
        delivery.ack().await
    }

    /// Tries until the store takes it, for a report is never dropped because Redis is away or has locked us out; how many
    /// executions were unknown, or `None` when we are asked to stop first.
    ///
    /// # Errors
    /// Where what the store holds keeps it from taking this one. Tried for ever it would take a place from the others.
    async fn apply(
        &self,
        shard: Shard,
        participant: &ParticipantId,
        outcomes: &[Outcome],
        stop: &CancellationToken,
    ) -> Result<Option<usize>, StoreError> {
        let mut backoff = Backoff::new(BackoffSettings::default());
        loop {
            match self.tracker.apply(shard, participant, outcomes).await {
                Ok(applied) => {
                    let unknown = applied.iter().filter(|one| **one == Applied::Unknown);
                    return Ok(Some(unknown.count()));
                }
                Err(error) if error.is_of_data() => return Err(error),
                Err(error) => {
                    let pause = backoff.next_delay();
                    warn!(error = %Chain(&error), retry_ms = pause.as_millis(), "cannot write a report");
                    let pausing = stop.run_until_cancelled(tokio::time::sleep(pause));
                    if pausing.await.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn refuse(&self, delivery: Delivery, refusal: &Refusal) -> Result<(), amqp::SettleError> {
        counter!(names::REPORTS_TOTAL, "result" => refusal.word()).increment(1);
        warn!(
            exchange = delivery.exchange,
            message.id = delivery.message.message_id,
            error = %Chain(refusal),
            "a report goes to the dead letters"
        );
        delivery.reject(false).await
    }
}

/// What a report says of one execution, never better than what it says of its servers, and within our limits.
fn outcome(mut report: ExecutionReport) -> Outcome {
    report.results.truncate(limits::SERVERS_PER_DEPLOYMENT);
    let (mut faults, mut evidence, mut unknown) = (Vec::new(), None, false);
    for result in &mut report.results {
        result.findings.truncate(limits::FINDINGS_PER_RESULT);
        match &result.outcome {
            ServerOutcome::Failed(fault) => faults.push(fault),
            ServerOutcome::Unknown => unknown = true,
            ServerOutcome::Done(one) => {
                evidence = Some(evidence.map_or(*one, |weakest: Evidence| weakest.min(*one)));
            }
        }
    }
    let event = match Event::from(&report.outcome) {
        Event::Done(_) if unknown => Event::Interrupted,
        Event::Done(said) => match Fault::fold(faults) {
            Some(fault) => Event::Failed(fault),
            None => Event::Done(evidence.map_or(said, |weakest| weakest.min(said))),
        },
        other => other,
    };
    Outcome {
        command: report.execution.command,
        event,
        results: report.results,
        receipt: None,
    }
}
