//! A RabbitMQ of its own, that runs short of memory and is restarted.

use std::time::Duration;

use ::amqp::{LinkError, LinkState, PublishError, Publisher, PublisherSettings, QueueLimits};
use anyhow::Result;
use tests::{rabbitmq::RabbitMq, wait};

use super::{LIMIT, Stage, ids, message, take};

/// Under a memory alarm nothing is stored, and the caller hears why at once. Acknowledging goes on, because it has
/// a connection of its own. After the alarm, and after a restart, publisher and consumer work without anybody's help.
#[tokio::test]
async fn an_alarm_and_a_restart_pass_and_nothing_stored_is_lost() -> Result<()> {
    let mut server = RabbitMq::start().await?;
    let stage = Stage::on(
        server.amqp_url(),
        server.management()?,
        QueueLimits::default(),
    )
    .await?;
    let settings = PublisherSettings {
        confirm_timeout: Duration::from_secs(5),
        ..PublisherSettings::default()
    };
    let publisher = Publisher::new(stage.link("publisher"), settings);
    stage.dispatch(&publisher, 1..=3).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 1)?;

    server
        .control(&["set_vm_memory_high_watermark", "absolute", "1"])
        .await?;
    let exchange = stage.topology.commands_exchange();
    wait::until(
        LIMIT,
        "publishing is refused because of the alarm",
        async || match publisher.publish(&exchange, "b", &message(1_000)).await {
            Err(PublishError::Unavailable {
                source: LinkError::Blocked { .. },
                ..
            }) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await?;
    assert!(matches!(*publisher.state().borrow(), LinkState::Blocked(_)));
    assert_eq!(take(&mut consumer, 3).await?, ids(1..=3));
    server
        .control(&["set_vm_memory_high_watermark", "absolute", "1GB"])
        .await?;
    tokio::time::timeout(
        LIMIT,
        publisher
            .state()
            .wait_for(|state| *state == LinkState::Ready),
    )
    .await??;
    until_stored(&publisher, &exchange, 4).await?;

    server.restart().await?;
    until_stored(&publisher, &exchange, 5).await?;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|id| id != "5") {
        seen.extend(take(&mut consumer, 1).await?);
    }
    assert!(seen.iter().any(|id| id == "4"), "{seen:?}");
    Ok(())
}

async fn until_stored(publisher: &Publisher, exchange: &str, number: u32) -> Result<()> {
    wait::until(LIMIT, "the message is stored", async || {
        publisher.publish(exchange, "b", &message(number)).await
    })
    .await
}
