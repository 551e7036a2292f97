//! What an answer to a published message is worth.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::amqp::{PublishError, QueueLimits};
use anyhow::{Context, Result, bail};
use futures::{StreamExt, future::try_join_all, stream};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tests::wait;

use super::{LIMIT, Stage, ids, message, take};

/// Thousands of messages over many channels, every second one to nobody: each answer is about its own message.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_belongs_to_its_message() -> Result<()> {
    const MESSAGES: u32 = 4_000;
    let stage = Arc::new(Stage::new(QueueLimits::default()).await?);
    let publisher = stage.publisher(32);
    let exchange = stage.topology.commands_exchange();
    let wrong = stream::iter(0..MESSAGES)
        .map(async |number| {
            let (publisher, exchange, to_nobody) =
                (publisher.clone(), exchange.clone(), number % 2 == 1);
            let key = if to_nobody { "nobody" } else { "b" };
            let answer = publisher.publish(&exchange, key, &message(number)).await;
            let right = match &answer {
                Ok(()) => !to_nobody,
                Err(PublishError::Unroutable { routing_key, .. }) => {
                    to_nobody && routing_key == "nobody"
                }
                Err(_) => false,
            };
            (!right).then_some((number, answer))
        })
        .buffer_unordered(256)
        .filter_map(async |wrong| wrong)
        .collect::<Vec<_>>()
        .await;
    assert!(
        wrong.is_empty(),
        "{} wrong answers, such as {:?}",
        wrong.len(),
        wrong[0]
    );
    let mut consumer = stage.consumer("consumer", &stage.commands(), 300)?;
    let mut arrived = take(&mut consumer, (MESSAGES / 2) as usize).await?;
    arrived.sort_by_key(|id| id.parse::<u32>().unwrap_or_default());
    assert_eq!(arrived, ids((0..MESSAGES).step_by(2)));
    Ok(())
}

/// Why there is one message in flight per channel: with more, the client library hands a returned message to the
/// confirm of another one, whenever RabbitMQ confirms several at once. When this fails, the library has been
/// repaired, and the rule may be thought over.
#[tokio::test]
async fn the_client_library_mixes_up_the_answers_of_one_channel() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let connection = Connection::connect(&stage.url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    // Both answers must be on their way at the same time, which is a matter of luck in each round.
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if returned_but_said_to_be_stored(&stage, &channel).await? > 0 {
            return Ok(());
        }
    }
    bail!("all answers were right");
}

/// Publishes without waiting, every second message to nobody, and counts the wrong answers.
async fn returned_but_said_to_be_stored(stage: &Stage, channel: &Channel) -> Result<usize> {
    let exchange = stage.topology.commands_exchange();
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let mut confirms = Vec::new();
    for number in 0..1_000 {
        let key = if number % 2 == 1 { "nobody" } else { "b" };
        let (exchange, properties) = (exchange.as_str().into(), BasicProperties::default());
        let confirm = channel
            .basic_publish(exchange, key.into(), options, b"{}", properties)
            .await?;
        confirms.push(async move { confirm.await.map(|confirmation| (key, confirmation)) });
    }
    let answers = tokio::time::timeout(LIMIT, try_join_all(confirms)).await??;
    let wrong = |(key, answer): &&(&str, Confirmation)| {
        *key == "nobody" && *answer == Confirmation::Ack(None)
    };
    Ok(answers.iter().filter(wrong).count())
}

/// A caller that stops waiting leaves a message without an answer. Its channel is not used again, or the next
/// message would get that answer.
#[tokio::test]
async fn an_abandoned_message_never_answers_for_the_next() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let publisher = stage.publisher(1);
    let exchange = stage.topology.commands_exchange();
    publisher.connect().await?;
    for round in 0..200 {
        let abandoned = message(1_000 + round);
        let limit = Duration::from_micros(u64::from(round) * 10);
        let _ =
            tokio::time::timeout(limit, publisher.publish(&exchange, "nobody", &abandoned)).await;
        publisher.publish(&exchange, "b", &message(round)).await?;
    }
    let mut consumer = stage.consumer("consumer", &stage.commands(), 10)?;
    assert_eq!(take(&mut consumer, 200).await?, ids(0..200));
    Ok(())
}

/// A full queue says so, message by message, and takes more as soon as there is room.
#[tokio::test]
async fn a_full_queue_refuses_and_takes_more_when_there_is_room() -> Result<()> {
    let limits = QueueLimits {
        commands_length: 10,
        ..QueueLimits::default()
    };
    let stage = Stage::new(limits).await?;
    let publisher = stage.publisher(4);
    let exchange = stage.topology.commands_exchange();
    let mut stored = 0;
    let refused = loop {
        match publisher.publish(&exchange, "b", &message(stored)).await {
            Ok(()) if stored < 100 => stored += 1,
            answer => break answer,
        }
    };
    assert!(
        matches!(refused, Err(PublishError::Refused { .. })),
        "{refused:?} after {stored}"
    );
    assert!(stored >= 10, "full with {stored}");
    let mut consumer = stage.consumer("consumer", &stage.commands(), 10)?;
    assert_eq!(take(&mut consumer, stored as usize).await?, ids(0..stored));
    wait::until(LIMIT, "there is room", async || {
        publisher.publish(&exchange, "b", &message(stored)).await
    })
    .await?;
    assert_eq!(take(&mut consumer, 1).await?, ids(stored..=stored));
    Ok(())
}

/// RabbitMQ closes the channel over an exchange that it does not know. Only that message suffers.
#[tokio::test]
async fn an_unknown_exchange_is_denied_and_the_next_message_is_stored() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let publisher = stage.publisher(1);
    let denied = publisher
        .publish("no-such-exchange", "b", &message(1))
        .await;
    assert!(
        matches!(denied, Err(PublishError::Denied { .. })),
        "{denied:?}"
    );
    stage.dispatch(&publisher, 2..=2).await?;
    Ok(())
}

/// Nothing is sent when nothing can be; the caller learns when to come back, and no error shows the password.
#[tokio::test]
async fn without_rabbitmq_a_message_fails_at_once_and_says_when_to_try_again() -> Result<()> {
    let mut stage = Stage::new(QueueLimits::default()).await?;
    stage.url = format!(
        "amqp://guest:planted@127.0.0.1:{}/%2f",
        tests::ports::free()?
    );
    let publisher = stage.publisher(1);
    for _ in 0..20 {
        let answer = publisher.publish("commands", "b", &message(1)).await;
        let Err(PublishError::Unavailable {
            retry_after,
            source,
        }) = answer
        else {
            bail!("{answer:?}");
        };
        assert!(retry_after <= Duration::from_secs(2), "{retry_after:?}");
        assert!(!format!("{source:?} {source}").contains("planted"));
    }
    Ok(())
}

/// The connection is closed by an operator; the messages after it are stored over a new one.
#[tokio::test]
async fn the_publisher_comes_back_after_its_connection_was_closed() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let publisher = stage.publisher(2);
    stage.dispatch(&publisher, 1..=1).await?;
    let mut connection = publisher.state();
    assert_eq!(*connection.borrow_and_update(), ::amqp::LinkState::Ready);
    stage.cut("publisher").await?;
    tokio::time::timeout(
        LIMIT,
        connection.wait_for(|state| *state == ::amqp::LinkState::Connecting),
    )
    .await
    .context("the state still says that the connection works")??;
    stage.dispatch(&publisher, 2..=3).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 3)?;
    assert_eq!(take(&mut consumer, 3).await?, ids(1..=3));
    Ok(())
}
