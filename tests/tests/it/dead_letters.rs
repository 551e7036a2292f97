//! Dead letters: looked at, sent again, thrown away; and what an operator reads in RabbitMQ's console.

mod browsing;
mod console;
mod working;

use std::{num::NonZeroU16, time::Duration};

use ::amqp::{Consumer, ConsumerSettings, LinkSettings, QueueLimits, Topology};
use anyhow::{Context, Result};
use proto::v1;
use tests::{
    federation::{Client, Federation, NOWHERE, Program, purge},
    rabbitmq::Management,
    shared, wait,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take here, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(30);

/// Participant `a` with one server and the content on it; nobody reads its queue.
struct Stage {
    federation: Federation,
    broker: Program,
    owner: Client,
    operator: Client,
    management: Management,
    /// How many messages to `a` were waited for.
    dispatched: usize,
}

impl Stage {
    async fn new(settings: &str) -> Result<Self> {
        let federation = Federation::with_settings(shared()?, settings).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        operator.create_participant("a").await?;
        operator.create_participant("b").await?;
        operator.open_shop("a", ("varnish", NOWHERE)).await?;
        let owner = federation.client(&broker, "participant/a")?;
        let management = Management::new(&federation.shared().management)?;
        Ok(Self {
            federation,
            broker,
            owner,
            operator,
            management,
            dispatched: 0,
        })
    }

    /// The name of a queue.
    fn queue(&self, name: &str) -> String {
        format!("{}{name}", self.federation.prefix())
    }

    /// Submits a purge of this path, and waits until RabbitMQ has confirmed it: what is submitted next is a message of its own.
    /// That it is `dispatched` says less, for it is marked so when it is accepted, and waits for the message before it.
    async fn dispatch(&mut self, path: &str) -> Result<v1::Command> {
        let url = format!("http://www.shop.example/{path}");
        let command = self.owner.submit(purge(&[&url])).await?;
        self.dispatched += 1;
        let confirmed = "broker_dispatches_total{participant=\"a\",result=\"confirmed\"}";
        let line = format!("{confirmed} {}", self.dispatched);
        self.broker.shows(SOON, &line).await?;
        Ok(command)
    }

    async fn becomes(&self, id: &str, expected: v1::ExecutionState) -> Result<v1::Command> {
        let what = format!("the execution is {expected:?}");
        wait::until(SOON, &what, async || {
            let command = self.owner.clone().get(id).await.ok()?;
            (command.executions.first()?.state() == expected).then_some(command)
        })
        .await
    }

    async fn depth(&self, queue: &str, expected: u64) -> Result<()> {
        let name = self.queue(queue);
        wait::until(SOON, &format!("{queue} holds {expected}"), async || {
            let depth = self.management.depth(&name).await?;
            anyhow::ensure!(depth == expected, "{depth}");
            Ok(())
        })
        .await
    }

    /// A consumer of `a`'s queue that takes one message at a time.
    fn consumer(&self) -> Result<Consumer> {
        let topology = Topology::new(self.federation.prefix(), QueueLimits::default())?;
        let link = LinkSettings::new(self.federation.shared().amqp.clone().into(), "raw");
        let settings = ConsumerSettings {
            queue: topology.commands_queue(&"a".parse()?),
            consumer_tag: "raw".to_owned(),
            prefetch: NonZeroU16::MIN,
        };
        Ok(Consumer::start(link, settings, &CancellationToken::new()))
    }

    /// Takes the first message and dies of it, so often.
    async fn die_of_the_first(&self, times: u32) -> Result<()> {
        for _ in 0..times {
            let mut consumer = self.consumer()?;
            let _unsettled = next(&mut consumer).await?;
            // Cuts the connection, as a process does that crashes.
            consumer.close().await;
        }
        Ok(())
    }

    /// Rejects so many messages, as an adapter does that cannot read them.
    async fn reject(&self, count: usize) -> Result<()> {
        let mut consumer = self.consumer()?;
        for _ in 0..count {
            next(&mut consumer).await?.reject(false).await?;
        }
        consumer.close().await;
        self.depth("dead-letters.a", count as u64).await
    }

    async fn list(&self, participant: &str) -> Result<Vec<v1::DeadLetter>> {
        let request = v1::ListDeadLettersRequest {
            participant_id: participant.to_owned(),
            ..v1::ListDeadLettersRequest::default()
        };
        let mut operator = self.operator.clone();
        let answer = operator.dead_letters.list_dead_letters(request).await?;
        Ok(answer.into_inner().letters)
    }

    /// Waits until a line of the broker's metrics begins so.
    async fn metric(&self, line: &str) -> Result<()> {
        wait::until(SOON, line, async || {
            let metrics = self.broker.metrics().await?;
            anyhow::ensure!(metrics.lines().any(|one| one.starts_with(line)));
            Ok(())
        })
        .await
    }
}

async fn next(consumer: &mut Consumer) -> Result<::amqp::Delivery> {
    tokio::time::timeout(SOON, consumer.next())
        .await
        .context("no delivery came")?
        .context("the consumer has ended")
}

fn ids(ids: &[&str]) -> v1::DeadLetterSelection {
    selected(v1::dead_letter_selection::Kind::MessageIds(
        v1::MessageIds {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        },
    ))
}

fn selected(kind: v1::dead_letter_selection::Kind) -> v1::DeadLetterSelection {
    v1::DeadLetterSelection { kind: Some(kind) }
}
