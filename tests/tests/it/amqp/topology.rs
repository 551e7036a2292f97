//! What is declared, and by whom it may be declared again.

use ::amqp::{PublishError, QueueLimits, TopologyError};
use anyhow::{Result, bail};

use super::{Stage, message, next};

/// Provisioning runs at every deployment, and creating a participant may be tried again after a crash.
#[tokio::test]
async fn declaring_twice_changes_nothing() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let publisher = stage.publisher(1);
    stage.dispatch(&publisher, 1..=1).await?;
    let provisioner = stage.provisioner(stage.limits)?;
    provisioner.declare_base().await?;
    provisioner.declare_participant(&stage.participant).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 1)?;
    let delivery = next(&mut consumer).await?;
    assert_eq!(delivery.message, message(1));
    assert_eq!(delivery.exchange, stage.topology.commands_exchange());
    assert!(!delivery.redelivered);
    Ok(())
}

/// RabbitMQ cannot change a queue's settings. The operator reads which queue it is and what can be done.
#[tokio::test]
async fn a_queue_that_exists_with_other_settings_is_named() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let other = QueueLimits {
        commands_length: 7,
        ..stage.limits
    };
    let answer = stage
        .provisioner(other)?
        .declare_participant(&stage.participant)
        .await;
    let Err(error @ TopologyError::Differs { .. }) = answer else {
        bail!("{answer:?}");
    };
    assert!(error.to_string().contains(&stage.commands()), "{error}");
    Ok(())
}

/// Removing may be tried again too, and afterwards nothing reaches the participant or comes from it.
#[tokio::test]
async fn a_removed_participant_is_gone_and_may_be_removed_again() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let provisioner = stage.provisioner(stage.limits)?;
    provisioner.remove_participant(&stage.participant).await?;
    provisioner.remove_participant(&stage.participant).await?;
    let publisher = stage.publisher(1);
    let commands = stage.topology.commands_exchange();
    let to_it = publisher.publish(&commands, "b", &message(1)).await;
    assert!(
        matches!(to_it, Err(PublishError::Unroutable { .. })),
        "{to_it:?}"
    );
    let entry = stage.topology.entry_exchange(&stage.participant);
    let from_it = publisher.publish(&entry, "", &message(2)).await;
    assert!(
        matches!(from_it, Err(PublishError::Denied { .. })),
        "{from_it:?}"
    );
    Ok(())
}

/// The broker believes the exchange and not the message, so the exchange must survive the way through `replies`.
#[tokio::test]
async fn a_report_arrives_with_the_exchange_of_its_participant() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let entry = stage.topology.entry_exchange(&stage.participant);
    stage.publisher(1).publish(&entry, "c", &message(1)).await?;
    let mut consumer = stage.consumer("broker", &stage.topology.replies_queue(), 1)?;
    let delivery = next(&mut consumer).await?;
    assert_eq!(delivery.exchange, entry);
    assert_eq!(
        stage.topology.participant_of(&delivery.exchange),
        Some(stage.participant.clone())
    );
    delivery.ack().await?;
    Ok(())
}

/// A report that nobody can read is kept where people can look at it, and the next one comes.
#[tokio::test]
async fn a_rejected_report_stands_among_the_dead_letters_of_replies() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let entry = stage.topology.entry_exchange(&stage.participant);
    let publisher = stage.publisher(1);
    for number in 1..=2 {
        publisher.publish(&entry, "", &message(number)).await?;
    }
    let mut consumer = stage.consumer("broker", &stage.topology.replies_queue(), 2)?;
    next(&mut consumer).await?.reject(false).await?;
    let second = next(&mut consumer).await?;
    assert_eq!(second.message, message(2));
    second.ack().await?;
    let dead_letters = stage.topology.replies_dead_letters_queue();
    let dead = next(&mut stage.consumer("operator", &dead_letters, 1)?).await?;
    assert_eq!(dead.message.body, message(1).body);
    assert_eq!(dead.message.message_id, "1");
    Ok(())
}
