//! What an operator reads with "Get messages" in RabbitMQ's console.

use anyhow::{Context, Result};
use domain::Evidence;
use proto::v1::ExecutionState;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{rabbitmq::Management, wait};

use super::{SOON, Stage};

/// The bodies in a queue, as the console shows them; they stay there.
async fn bodies(management: &Management, queue: &str) -> Result<Vec<Value>> {
    let request = json!({"count": 100, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let path = format!("queues/%2f/{queue}/get");
    let answer = management.call(Method::POST, &path, Some(request)).await?;
    let messages = answer.as_array().context("a list of messages")?;
    let body = |message: &Value| {
        let text = message["payload"]
            .as_str()
            .context("a payload in plain text")?;
        Ok(serde_json::from_str(text)?)
    };
    messages.iter().map(body).collect()
}

impl Stage {
    async fn readable(&self, queue: &str, count: usize) -> Result<Vec<Value>> {
        let name = self.queue(queue);
        wait::until(SOON, &format!("{queue} shows {count}"), async || {
            let bodies = bodies(&self.management, &name).await?;
            anyhow::ensure!(bodies.len() == count, "{}", bodies.len());
            Ok(bodies)
        })
        .await
    }
}

/// Dispatches are read from their copies, which nothing that happens to the real ones changes; reports from `replies` while no
/// broker reads it; and what could not be handled from the dead letters. All of it is JSON in plain text.
#[tokio::test]
async fn every_message_can_be_read_in_the_console() -> Result<()> {
    let mut stage = Stage::new("[amqp]\nconsole_copies = 2").await?;
    let refused = bodies(&stage.management, &stage.queue("commands.a")).await;
    assert!(refused.is_err(), "else no copies were needed: {refused:?}");
    let mut commands = Vec::new();
    for path in ["x", "y", "z"] {
        commands.push(stage.dispatch(path).await?.id);
    }
    let execution = |id: &str| json!(format!("{id}_a"));
    for _ in 0..2 {
        let copies = stage.readable("recent.commands.a", 2).await?;
        assert_eq!(
            copies[0]["executions"][0]["execution"],
            execution(&commands[1])
        );
        assert_eq!(
            copies[1]["executions"][0]["execution"],
            execution(&commands[2])
        );
        assert_eq!(copies[1]["participant"], "a");
    }
    stage.reject(1).await?;
    let dead = stage.readable("dead-letters.a", 1).await?;
    assert_eq!(
        dead[0]["executions"][0]["execution"],
        execution(&commands[0])
    );

    let mut adapter = stage.federation.scripted("a")?;
    let (delivery, orders) = adapter.next().await?;
    stage.broker.process.kill9();
    let done = amqp::envelope::ReportedOutcome::Done(Evidence::Reported);
    adapter.report(&orders[0], done).await?;
    let reports = stage.readable("replies", 1).await?;
    assert_eq!(
        reports[0]["executions"][0]["outcome"],
        json!({"done": "reported"})
    );
    delivery.ack().await?;
    Ok(())
}

/// The real queue is missing and the one for copies is there: the dispatch is not taken for delivered, and arrives when the
/// queue is made again. Nobody is shown a copy of what was not sent.
#[tokio::test]
async fn a_copy_never_stands_for_the_real_message() -> Result<()> {
    let mut stage = Stage::new("[amqp]\nconsole_copies = 5").await?;
    let queue = format!("queues/%2f/{}", stage.queue("commands.a"));
    stage.management.call(Method::DELETE, &queue, None).await?;
    let url = "http://www.shop.example/x";
    let command = stage.owner.submit(tests::federation::purge(&[url])).await?;
    stage
        .metric("broker_dispatches_total{participant=\"a\",result=\"unroutable\"}")
        .await?;
    assert!(stage.readable("recent.commands.a", 0).await?.is_empty());
    stage.federation.provision().await?;
    stage.federation.scripted("a")?.carry_out().await?;
    stage.becomes(&command.id, ExecutionState::Done).await?;
    stage.readable("recent.commands.a", 1).await?;
    Ok(())
}

/// How many copies are kept may be changed; with none, their queues go, and dispatches do not notice.
#[tokio::test]
async fn copies_come_and_go_with_provisioning() -> Result<()> {
    let mut stage = Stage::new("").await?;
    let name = stage.queue("recent.commands.a");
    assert!(stage.management.queue(&name).await.is_err());
    for (copies, expected) in [(3, Some(3)), (7, Some(7)), (0, None)] {
        stage.federation.broker_settings = format!("[amqp]\nconsole_copies = {copies}");
        stage.federation.provision().await?;
        let length = stage.management.queue(&name).await.ok();
        let length = length.and_then(|queue| queue["arguments"]["x-max-length"].as_u64());
        assert_eq!(length, expected);
    }
    // A replica that was not told yet goes on leaving copies for nobody.
    stage.federation.broker_settings = "[amqp]\nconsole_copies = 3".to_owned();
    let late = stage.federation.broker("late").await?;
    stage.broker.process.kill9();
    let mut owner = stage.federation.client(&late, "participant/a")?;
    let mut adapter = stage.federation.scripted("a")?;
    for path in ["x", "y", "z"] {
        let url = format!("http://www.shop.example/{path}");
        let command = owner.submit(tests::federation::purge(&[&url])).await?;
        adapter.carry_out().await?;
        owner.settled(&command.id, SOON).await?;
    }
    Ok(())
}
