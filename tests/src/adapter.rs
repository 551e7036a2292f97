//! An adapter that does as a test says: it takes dispatches from real RabbitMQ and reports what it is told to.
//!
//! Invariant: nothing is acknowledged or reported but by the test. For tests of the broker; the real adapter has its own.

use std::{num::NonZeroU16, time::Duration};

use amqp::{
    Consumer, ConsumerSettings, Delivery, LinkSettings, Message, Publisher, PublisherSettings,
    QueueLimits, Topology,
    envelope::{Dispatch, ExecutionReport, Order, Progress, REPORT_TYPE, Report, ReportedOutcome},
};
use anyhow::{Context, Result};
use domain::{Evidence, ExecutionId, Outcome, ParticipantId, ServerResult, Timestamp};
use tokio_util::sync::CancellationToken;

/// How long a dispatch may take to come.
const DISPATCH: Duration = Duration::from_secs(20);

/// A participant's place at RabbitMQ.
pub struct ScriptedAdapter {
    participant: ParticipantId,
    topology: Topology,
    consumer: Consumer,
    publisher: Publisher,
    _running: tokio_util::sync::DropGuard,
}

impl ScriptedAdapter {
    /// Reads the queue of `participant` in the federation with this prefix.
    pub fn start(amqp: &str, prefix: &str, participant: &str) -> Result<Self> {
        let participant: ParticipantId = participant.parse()?;
        let topology = Topology::new(prefix, QueueLimits::default())?;
        let link =
            |what: &str| LinkSettings::new(amqp.to_owned().into(), format!("scripted {what}"));
        let settings = ConsumerSettings {
            queue: topology.commands_queue(&participant),
            consumer_tag: "scripted".to_owned(),
            prefetch: NonZeroU16::MAX,
        };
        let running = CancellationToken::new();
        let consumer = Consumer::start(link("consume"), settings, &running);
        let publisher = Publisher::new(link("publish"), PublisherSettings::default());
        Ok(Self {
            participant,
            topology,
            consumer,
            publisher,
            _running: running.drop_guard(),
        })
    }

    /// The next dispatch, and its orders.
    pub async fn next(&mut self) -> Result<(Delivery, Vec<Order>)> {
        let (delivery, orders, _) = self.next_with_cancels().await?;
        Ok((delivery, orders))
    }

    /// The next dispatch, its orders, and the executions that are to be left.
    pub async fn next_with_cancels(&mut self) -> Result<(Delivery, Vec<Order>, Vec<ExecutionId>)> {
        let delivery = tokio::time::timeout(DISPATCH, self.consumer.next())
            .await
            .context("no dispatch came")?;
        let delivery = delivery.context("the consumer ended")?;
        let dispatch: Dispatch<'_> = serde_json::from_slice(&delivery.message.body)?;
        let orders = dispatch
            .executions
            .iter()
            .map(|order| serde_json::from_str(order.get()));
        let orders = orders.collect::<Result<_, _>>()?;
        let cancels = dispatch.cancels;
        Ok((delivery, orders, cancels))
    }

    /// Takes the next dispatch, reports each of its executions as done, with what they absorbed, and acknowledges it.
    pub async fn carry_out(&mut self) -> Result<Vec<Order>> {
        let (delivery, orders) = self.next().await?;
        for order in &orders {
            self.report(order, ReportedOutcome::Done(Evidence::Reported))
                .await?;
        }
        self.report_absorbed(&delivery, &orders).await?;
        delivery.ack().await?;
        Ok(orders)
    }

    /// Reports as done what the executions of a dispatch absorbed, and how far it has come with that.
    pub async fn report_absorbed(&self, delivery: &Delivery, orders: &[Order]) -> Result<()> {
        let dispatch: Dispatch<'_> = serde_json::from_slice(&delivery.message.body)?;
        let absorbed = dispatch.absorbed.into_iter().map(|absorbed| {
            let by = orders.iter().find(|order| order.sequence == absorbed.by);
            Ok(ExecutionReport {
                execution: absorbed.execution,
                outcome: ReportedOutcome::Done(Evidence::Reported),
                results: Vec::new(),
                reported_at: Timestamp::from_millis(0),
                traceparent: None,
                absorbed_by: Some(
                    by.context("the absorber is in the message")?
                        .execution
                        .command,
                ),
                told: None,
            })
        });
        let progress = orders.last().map(|last| Progress {
            shard: dispatch.shard,
            sequence: last.sequence,
        });
        let body = Report {
            progress: progress.into_iter().collect(),
            participant: self.participant.clone(),
            executions: absorbed.collect::<Result<_>>()?,
            receipts: None,
        };
        self.send(serde_json::to_vec(&body)?).await
    }

    /// Reports one execution, every server alike.
    pub async fn report(&self, order: &Order, outcome: ReportedOutcome) -> Result<()> {
        let results = order
            .native
            .iter()
            .flat_map(|native| &native.servers)
            .filter_map(|server| {
                let outcome = match &outcome {
                    ReportedOutcome::Running { .. }
                    | ReportedOutcome::Cancelled
                    | ReportedOutcome::Expired => return None,
                    ReportedOutcome::Done(evidence) => Outcome::Done(*evidence),
                    ReportedOutcome::Failed(fault) => Outcome::Failed(fault.clone()),
                    ReportedOutcome::Unknown => Outcome::Unknown,
                };
                Some(ServerResult {
                    server: server.id.clone(),
                    outcome,
                    findings: Vec::new(),
                    attempts: 1,
                    took_ms: 1,
                    tries: Vec::new(),
                    estimated_at: None,
                    proof: None,
                })
            });
        let results = results.collect();
        let report = ExecutionReport {
            execution: order.execution.clone(),
            outcome: outcome.clone(),
            results,
            reported_at: Timestamp::from_millis(0),
            traceparent: None,
            absorbed_by: None,
            told: None,
        };
        let body = Report {
            progress: Vec::new(),
            participant: self.participant.clone(),
            executions: vec![report],
            receipts: None,
        };
        self.send(serde_json::to_vec(&body)?).await
    }

    /// Sends bytes as a report through this participant's entry exchange.
    pub async fn send(&self, body: Vec<u8>) -> Result<()> {
        let message = Message {
            message_id: uuid::Uuid::now_v7().to_string(),
            kind: REPORT_TYPE.to_owned(),
            app_id: "scripted".to_owned(),
            timestamp: Timestamp::from_millis(0),
            correlation_id: None,
            headers: std::collections::BTreeMap::new(),
            body,
        };
        self.publisher
            .publish(
                &self.topology.entry_exchange(&self.participant),
                "",
                &message,
            )
            .await?;
        Ok(())
    }
}
