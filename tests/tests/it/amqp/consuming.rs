//! What becomes of deliveries when consumers fail, leave and return.

use ::amqp::{Consumer, LinkState, QueueLimits, SettleError};
use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, Stage, ids, message, next, take};

/// An operator closes the connection in the middle of the work. The consumer is back by itself, and what it had
/// not settled comes again first, in order.
#[tokio::test]
async fn a_consumer_comes_back_by_itself_and_gets_the_unsettled_again_in_order() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    stage.dispatch(&stage.publisher(1), 1..=10).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 3)?;
    assert_eq!(take(&mut consumer, 1).await?, ids(1..=1));
    let second = next(&mut consumer).await?;
    assert_eq!(second.message, message(2));
    stage.cut("consumer").await?;
    let mut connection = consumer.state();
    tokio::time::timeout(
        LIMIT,
        connection.wait_for(|state| *state == LinkState::Connecting),
    )
    .await??;
    let late = second.ack().await;
    assert!(
        matches!(
            late,
            Err(SettleError::ChannelGone | SettleError::Broken { .. })
        ),
        "{late:?}"
    );
    let again = next(&mut consumer).await?;
    assert_eq!(again.message.message_id, "2");
    assert!(again.redelivered);
    assert_eq!(again.delivery_count, 1);
    again.ack().await?;
    assert_eq!(take(&mut consumer, 8).await?, ids(3..=10));
    Ok(())
}

/// A queue that is deleted and made again ends the consumer on the server's side, without an error on the channel.
#[tokio::test]
async fn a_consumer_whose_queue_is_made_anew_reads_the_new_one() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let mut consumer = ready(stage.consumer("consumer", &stage.commands(), 1)?).await?;
    let provisioner = stage.provisioner(stage.limits)?;
    provisioner.remove_participant(&stage.participant).await?;
    provisioner.declare_participant(&stage.participant).await?;
    stage.dispatch(&stage.publisher(1), 1..=1).await?;
    assert_eq!(take(&mut consumer, 1).await?, ids(1..=1));
    Ok(())
}

/// One message fails whenever it is tried. After the limit it stands among the dead letters; the ones before
/// and behind it are done, in order.
#[tokio::test]
async fn a_poison_message_ends_among_the_dead_letters_and_harms_no_neighbour() -> Result<()> {
    let limits = QueueLimits {
        delivery_limit: 3,
        ..QueueLimits::default()
    };
    let stage = Stage::new(limits).await?;
    stage.dispatch(&stage.publisher(1), 1..=3).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 1)?;
    let (mut done, mut attempts) = (Vec::new(), 0);
    while done.len() < 2 {
        let delivery = next(&mut consumer).await?;
        if delivery.message.message_id == "2" {
            assert_eq!(delivery.delivery_count, attempts);
            attempts += 1;
            delivery.reject(true).await?;
        } else {
            done.push(delivery.message.message_id.clone());
            delivery.ack().await?;
        }
    }
    assert_eq!(done, ["1", "3"]);
    assert_eq!(attempts, 4, "one delivery, and three more");
    let dead = next(&mut stage.consumer("operator", &stage.dead_letters(), 1)?).await?;
    assert_eq!(dead.message.body, message(2).body);
    Ok(())
}

/// At shutdown nothing more is handed out, and what is in work can still be acknowledged.
#[tokio::test]
async fn after_shutdown_work_is_finished_and_the_rest_is_delivered_again_in_order() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    stage.dispatch(&stage.publisher(1), 1..=8).await?;
    let shutdown = CancellationToken::new();
    let mut leaving = stage.consumer_until("leaving", &stage.commands(), 4, &shutdown)?;
    let first = next(&mut leaving).await?;
    let _second = next(&mut leaving).await?;
    shutdown.cancel();
    assert!(leaving.next().await.is_none());
    first.ack().await?;
    leaving.close().await;
    let mut following = stage.consumer("following", &stage.commands(), 4)?;
    assert_eq!(take(&mut following, 7).await?, ids(2..=8));
    Ok(())
}

/// Two adapters of one participant: one works, the other waits. However far the first one came before it leaves,
/// the other begins with the first message that was not acknowledged and goes on in order. A consumer that leaves
/// politely breaks this: RabbitMQ then begins with what nobody has seen, and puts back the unsettled later.
#[tokio::test]
async fn the_waiting_consumer_takes_over_where_the_active_one_stopped() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    let publisher = stage.publisher(1);
    let mut active = ready(stage.consumer("0", &stage.commands(), 4)?).await?;
    for acknowledged in 0..=4 {
        let name = (acknowledged + 1).to_string();
        let mut waiting = ready(stage.consumer(&name, &stage.commands(), 4)?).await?;
        stage.dispatch(&publisher, 1..=12).await?;
        assert_eq!(
            take(&mut active, acknowledged as usize).await?,
            ids(1..=acknowledged)
        );
        let unsettled = next(&mut active).await?;
        assert_eq!(unsettled.message, message(acknowledged + 1));
        assert!(
            futures::poll!(std::pin::pin!(waiting.next())).is_pending(),
            "both work"
        );
        active.close().await;
        let taken_over = next(&mut waiting).await?;
        assert_eq!(taken_over.message, unsettled.message);
        assert!(taken_over.redelivered);
        taken_over.ack().await?;
        let rest = ids(acknowledged + 2..=12);
        assert_eq!(take(&mut waiting, rest.len()).await?, rest);
        active = waiting;
    }
    Ok(())
}

async fn ready(consumer: Consumer) -> Result<Consumer> {
    let mut connection = consumer.state();
    tokio::time::timeout(
        LIMIT,
        connection.wait_for(|state| *state == LinkState::Ready),
    )
    .await??;
    Ok(consumer)
}

/// What is given back is delivered before what nobody has seen, whether it failed or was only postponed.
#[tokio::test]
async fn what_is_given_back_comes_before_what_is_new() -> Result<()> {
    let stage = Stage::new(QueueLimits::default()).await?;
    stage.dispatch(&stage.publisher(1), 1..=5).await?;
    let mut consumer = stage.consumer("consumer", &stage.commands(), 2)?;
    let first = next(&mut consumer).await?;
    let second = next(&mut consumer).await?;
    first.nack_requeue().await?;
    let first = next(&mut consumer).await?;
    assert_eq!(
        (first.message.message_id.as_str(), first.redelivered),
        ("1", true)
    );
    second.reject(true).await?;
    let second = next(&mut consumer).await.context("the second one again")?;
    assert_eq!(second.message.message_id, "2");
    first.ack().await?;
    second.ack().await?;
    assert_eq!(take(&mut consumer, 3).await?, ids(3..=5));
    Ok(())
}
