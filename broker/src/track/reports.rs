//! Reports from adapters: who sent it, what it says, and what becomes of it.
//!
//! Invariant: a report speaks only for the participant whose entry exchange it came through. It is acknowledged when the
//! store has it; one that cannot be read or speaks of what is not there goes to the dead letters, and the next one
//! is read.

use std::collections::BTreeMap;

use amqp::{Consumer, Delivery, Topology, envelope::Report};
use domain::ParticipantId;
use metrics::counter;
use service::{
    backoff::{Backoff, BackoffSettings},
    exit::Chain,
};
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::Tracker;
use crate::{
    metrics as names,
    store::{Applied, Outcome, Shard},
};

/// Takes reports on one replica.
#[derive(Clone)]
pub struct Reports {
    /// Where they go.
    pub tracker: Tracker,
    /// Whose exchange is whose.
    pub topology: Topology,
}

/// Why a report is not taken. It will not be better when it comes again.
#[derive(Debug, Error)]
enum Refusal {
    #[error("it is no report")]
    Unreadable(#[source] serde_json::Error),
    #[error("it came through an exchange that is no participant's")]
    NoParticipant,
    #[error("it speaks for participant `{0}`, whose exchange it did not come through")]
    Foreign(ParticipantId),
    #[error("it speaks of {0} executions that are not there")]
    UnknownExecutions(usize),
}

impl Refusal {
    const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NoParticipant | Self::Foreign(_) => "foreign",
            Self::UnknownExecutions(_) => "unknown_execution",
        }
    }
}

impl Reports {
    /// Takes reports until asked to stop; what is being written then is finished.
    pub async fn run(self, mut consumer: Consumer, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        // As many at a time as the prefetch lets through.
        while let Some(delivery) = consumer.next().await {
            tasks.spawn(self.clone().take(delivery, stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
        consumer.close().await;
    }

    async fn take(self, delivery: Delivery, stop: CancellationToken) {
        if delivery.redelivered {
            counter!(names::REDELIVERIES_TOTAL).increment(1);
        }
        let settled = match self.read(&delivery) {
            Ok((participant, batches)) => self.write(delivery, &participant, batches, &stop).await,
            Err(refusal) => self.refuse(delivery, &refusal).await,
        };
        if let Err(error) = settled {
            // RabbitMQ delivers it again, and the store takes a report twice without harm.
            debug!(error = %Chain(&error), "a report was not settled");
        }
    }

    fn read(
        &self,
        delivery: &Delivery,
    ) -> Result<(ParticipantId, BTreeMap<Shard, Vec<Outcome>>), Refusal> {
        let participant = self
            .topology
            .participant_of(&delivery.exchange)
            .ok_or(Refusal::NoParticipant)?;
        let report: Report =
            serde_json::from_slice(&delivery.message.body).map_err(Refusal::Unreadable)?;
        if report.participant != participant {
            return Err(Refusal::Foreign(report.participant));
        }
        let mut batches: BTreeMap<Shard, Vec<Outcome>> = BTreeMap::new();
        for entry in report.executions {
            if entry.execution.participant != participant {
                return Err(Refusal::Foreign(entry.execution.participant));
            }
            let shard = self
                .tracker
                .shard_of(&entry.execution)
                .ok_or(Refusal::UnknownExecutions(1))?;
            let event = (&entry.outcome).into();
            let outcome = Outcome {
                command: entry.execution.command,
                event,
                results: entry.results,
            };
            batches.entry(shard).or_default().push(outcome);
        }
        Ok((participant, batches))
    }

    /// Writes until the store takes it: a report is never dropped because Redis is away.
    async fn write(
        &self,
        delivery: Delivery,
        participant: &ParticipantId,
        batches: BTreeMap<Shard, Vec<Outcome>>,
        stop: &CancellationToken,
    ) -> Result<(), amqp::SettleError> {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let mut unknown = 0;
        for (shard, outcomes) in batches {
            loop {
                match self.tracker.apply(shard, participant, &outcomes).await {
                    Ok(applied) => {
                        unknown += applied
                            .iter()
                            .filter(|applied| **applied == Applied::Unknown)
                            .count();
                        break;
                    }
                    Err(error) => {
                        let pause = backoff.next_delay();
                        warn!(error = %Chain(&error), retry_ms = pause.as_millis(), "cannot write a report");
                        if stop
                            .run_until_cancelled(tokio::time::sleep(pause))
                            .await
                            .is_none()
                        {
                            return delivery.nack_requeue().await;
                        }
                    }
                }
            }
        }
        if unknown > 0 {
            return self
                .refuse(delivery, &Refusal::UnknownExecutions(unknown))
                .await;
        }
        counter!(names::REPORTS_TOTAL, "result" => "applied").increment(1);
        delivery.ack().await
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
