//! The raw ceiling: what RabbitMQ does by itself through the same client library with the same promises, one message for
//! each command: quorum queues, persistent messages, a confirm for each, acknowledged when the next step is confirmed.
//!
//! Two hops: the command goes out to a worker, its report comes back. And the same with as many queues and workers as there are
//! participants, which is what RabbitMQ takes for one command to all of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::task::{JoinHandle, JoinSet};

/// About as long as the message for one execution.
const BODY: [u8; 600] = [b'x'; 600];
/// Messages that a consumer has at a time; more bring nothing.
const PREFETCH: u16 = 1_000;
const OUT: &str = "raw.out";
const BACK: &str = "raw.back";

/// A publisher and a worker, connected.
pub(crate) struct Raw {
    connection: Connection,
    publish: Channel,
    back: lapin::Consumer,
    worker: JoinHandle<Result<()>>,
}

impl Raw {
    pub(crate) async fn start(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let publish = connection.create_channel().await?;
        publish
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        for queue in [OUT, BACK] {
            declare(&publish, queue).await?;
        }
        let back = consume(&connection.create_channel().await?, BACK).await?;
        let worker = tokio::spawn(work(url.to_owned(), OUT.to_owned()));
        Ok(Self {
            connection,
            publish,
            back,
            worker,
        })
    }

    /// Round trips a second, with at most `window` of them under way.
    pub(crate) async fn throughput(&mut self, count: usize, window: usize) -> Result<f64> {
        let began = Instant::now();
        let (mut sent, mut received) = (0, 0);
        while received < count {
            while sent < count && sent - received < window {
                let confirm = send(&self.publish, OUT, &BODY).await?;
                tokio::spawn(confirm);
                sent += 1;
            }
            self.receive().await?;
            received += 1;
        }
        Ok(per_second(count, began.elapsed()))
    }

    /// How long one takes while nothing else is under way.
    pub(crate) async fn one(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let confirm = send(&self.publish, OUT, &BODY).await?;
        self.receive().await?;
        let took = began.elapsed();
        confirm.await?;
        Ok(took)
    }

    /// How long one message to each of so many queues and their answers take, so many times, while nothing else is under way.
    pub(crate) async fn fan_out(
        &mut self,
        url: &str,
        queues: usize,
        times: u32,
    ) -> Result<Vec<Duration>> {
        let queues: Vec<_> = (0..queues)
            .map(|number| format!("{OUT}.{number}"))
            .collect();
        let mut workers = JoinSet::new();
        for queue in &queues {
            declare(&self.publish, queue).await?;
            workers.spawn(work(url.to_owned(), queue.clone()));
        }
        // The first time waits until all of them listen.
        let mut took = Vec::new();
        for _ in 0..=times {
            let began = Instant::now();
            let mut confirms = Vec::new();
            for queue in &queues {
                confirms.push(send(&self.publish, queue, &BODY).await?);
            }
            for _ in &queues {
                self.receive().await?;
            }
            took.push(began.elapsed());
            for confirm in confirms {
                confirm.await?;
            }
        }
        workers.shutdown().await;
        for queue in queues {
            let options = QueueDeleteOptions::default();
            self.publish.queue_delete(queue.into(), options).await?;
        }
        Ok(took.split_off(1))
    }

    async fn receive(&mut self) -> Result<()> {
        let delivery = self.back.next().await.context("the consumer ended")??;
        acknowledge(delivery);
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.worker.abort();
        self.connection.close(200, "OK".into()).await?;
        Ok(())
    }
}

async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), durable, arguments)
        .await?;
    Ok(())
}

/// The worker of a queue on a connection of its own, as an adapter has.
async fn work(url: String, queue: String) -> Result<()> {
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let publish = connection.create_channel().await?;
    publish
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut orders = consume(&connection.create_channel().await?, &queue).await?;
    while let Some(delivery) = orders.next().await {
        let delivery = delivery?;
        let confirm = send(&publish, BACK, &delivery.data).await?;
        tokio::spawn(async move {
            if confirm.await.is_ok() {
                acknowledge(delivery);
            }
        });
    }
    Ok(())
}

async fn consume(channel: &Channel, queue: &str) -> Result<lapin::Consumer> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    Ok(channel
        .basic_consume(queue.into(), queue.into(), options, none)
        .await?)
}

async fn send(channel: &Channel, queue: &str, body: &[u8]) -> Result<lapin::PublisherConfirm> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    Ok(channel
        .basic_publish("".into(), queue.into(), options, body, persistent)
        .await?)
}

fn acknowledge(delivery: Delivery) {
    tokio::spawn(async move { delivery.acker.ack(BasicAckOptions::default()).await });
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
