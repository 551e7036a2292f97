//! RabbitMQ as the crate `amqp` uses it: what it promises is asked of a real server.

mod consuming;
mod outage;
mod publishing;
mod topology;

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use ::amqp::{
    Consumer, ConsumerSettings, Delivery, LinkSettings, Message, Provisioner, Publisher,
    PublisherSettings, QueueLimits, Topology,
};
use anyhow::{Context, Result};
use domain::{ParticipantId, Timestamp};
use reqwest::Method;
use tests::{prefix, rabbitmq::Management, shared, wait};
use tokio_util::sync::CancellationToken;

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// A topology of its own with the participant `b`.
struct Stage {
    url: String,
    management: Management,
    prefix: String,
    topology: Topology,
    participant: ParticipantId,
    limits: QueueLimits,
}

impl Stage {
    async fn new(limits: QueueLimits) -> Result<Self> {
        let shared = shared()?;
        let management = Management::new(&shared.management)?;
        Self::on(shared.amqp, management, limits).await
    }

    async fn on(url: String, management: Management, limits: QueueLimits) -> Result<Self> {
        let prefix = format!("{}.", prefix());
        let topology = Topology::new(&prefix, limits)?;
        let participant = "b".parse()?;
        let stage = Self {
            url,
            management,
            prefix,
            topology,
            participant,
            limits,
        };
        let provisioner = stage.provisioner(limits)?;
        provisioner.declare_base().await?;
        provisioner.declare_participant(&stage.participant).await?;
        Ok(stage)
    }

    /// Settings of a connection with a name that no other has.
    fn link(&self, name: &str) -> LinkSettings {
        LinkSettings {
            backoff_minimum: Duration::from_millis(50),
            backoff_maximum: Duration::from_secs(1),
            ..LinkSettings::new(self.url.clone().into(), format!("{}{name}", self.prefix))
        }
    }

    fn provisioner(&self, limits: QueueLimits) -> Result<Provisioner> {
        let topology = Topology::new(&self.prefix, limits)?;
        Ok(Provisioner::new(self.link("provisioner"), topology))
    }

    fn publisher(&self, max_channels: usize) -> Publisher {
        let settings = PublisherSettings {
            max_channels,
            ..PublisherSettings::default()
        };
        Publisher::new(self.link("publisher"), settings)
    }

    fn consumer(&self, name: &str, queue: &str, prefetch: u16) -> Result<Consumer> {
        self.consumer_until(name, queue, prefetch, &CancellationToken::new())
    }

    fn consumer_until(
        &self,
        name: &str,
        queue: &str,
        prefetch: u16,
        shutdown: &CancellationToken,
    ) -> Result<Consumer> {
        let settings = ConsumerSettings {
            queue: queue.to_owned(),
            consumer_tag: name.to_owned(),
            prefetch: NonZeroU16::new(prefetch).context("a prefetch of zero has no limit")?,
        };
        Ok(Consumer::start(self.link(name), settings, shutdown))
    }

    fn commands(&self) -> String {
        self.topology.commands_queue(&self.participant)
    }

    fn dead_letters(&self) -> String {
        self.topology.dead_letters_queue(&self.participant)
    }

    /// Publishes to the participant messages whose ids are these numbers.
    async fn dispatch(
        &self,
        publisher: &Publisher,
        numbers: impl Iterator<Item = u32>,
    ) -> Result<()> {
        for number in numbers {
            let exchange = self.topology.commands_exchange();
            publisher
                .publish(&exchange, self.participant.as_str(), &message(number))
                .await?;
        }
        Ok(())
    }

    /// Closes the connection of that name as an operator does it in the console.
    async fn cut(&self, name: &str) -> Result<()> {
        let wanted = format!("{}{name}", self.prefix);
        let connection = wait::until(LIMIT, "the console lists the connection", async || {
            let all = self.management.get("connections").await?;
            all.as_array()
                .and_then(|all| {
                    all.iter()
                        .find(|one| one["client_properties"]["connection_name"] == wanted.as_str())
                })
                .and_then(|one| one["name"].as_str().map(str::to_owned))
                .context("not listed")
        })
        .await?;
        self.management
            .call(Method::DELETE, &format!("connections/{connection}"), None)
            .await?;
        Ok(())
    }
}

fn message(number: u32) -> Message {
    Message {
        message_id: number.to_string(),
        kind: "federation.dispatch.v1".to_owned(),
        app_id: "tests".to_owned(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        correlation_id: None,
        headers: BTreeMap::from([("count".to_owned(), 1.into())]),
        body: format!("{{\"number\":{number}}}").into_bytes(),
    }
}

async fn next(consumer: &mut Consumer) -> Result<Delivery> {
    tokio::time::timeout(LIMIT, consumer.next())
        .await
        .context("no delivery came")?
        .context("the consumer has ended")
}

/// Takes and acknowledges `count` deliveries, and gives their ids.
async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<String>> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = next(consumer).await?;
        ids.push(delivery.message.message_id.clone());
        delivery.ack().await?;
    }
    Ok(ids)
}

fn ids(numbers: impl Iterator<Item = u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}
