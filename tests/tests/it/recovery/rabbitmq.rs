//! RabbitMQ is away, short of memory, or its queue is full: submits are accepted, to a limit, and nothing is lost.

use anyhow::Result;
use tests::{Shared, rabbitmq::RabbitMq, shared, wait};
use tonic::Code;

use super::{LIMIT, Scene, retry_after};

/// The originator does not notice: everything is accepted, and leaves when RabbitMQ is back.
#[tokio::test]
async fn submits_are_accepted_while_rabbitmq_is_away_and_leave_when_it_is_back() -> Result<()> {
    let mut scene = Scene::shared("").await?;
    scene.rabbitmq.cut();
    let mut commands = Vec::new();
    for number in 0..20 {
        commands.push(scene.submit(number).await?);
    }
    scene.rabbitmq.heal();
    scene.carry_out(&commands).await
}

/// The limit has a name. What is over it is refused with the time after which another try makes sense, and one that is then
/// made is accepted.
#[tokio::test]
async fn a_full_outbox_refuses_with_the_time_to_try_again() -> Result<()> {
    let mut scene = Scene::shared("[outbox]\nlimit = 5").await?;
    scene.rabbitmq.cut();
    let (mut commands, mut refused) = (Vec::new(), None);
    for number in 0..10 {
        match scene.submit(number).await {
            Ok(command) => commands.push(command),
            Err(status) => refused = Some(status),
        }
    }
    let refused = refused.expect("ten do not fit where five do");
    assert_eq!(commands.len(), 5);
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(retry_after(&refused).is_some(), "{refused:?}");
    scene.rabbitmq.heal();
    let last = wait::until(LIMIT, "there is room again", async || {
        scene.owner.clone().submit(super::purge_of(99)).await
    })
    .await?;
    commands.push(last);
    scene.carry_out(&commands).await
}

/// RabbitMQ stops whoever publishes while it is short of memory. That is no reason to refuse an originator.
#[tokio::test]
async fn a_memory_alarm_only_delays() -> Result<()> {
    let rabbitmq = RabbitMq::start().await?;
    let servers = Shared {
        amqp: rabbitmq.amqp_url(),
        management: rabbitmq.management_url(),
        redis: shared()?.redis,
    };
    let mut scene = Scene::on(servers, "").await?;
    let mark = ["set_vm_memory_high_watermark", "absolute"];
    rabbitmq.control(&[mark[0], mark[1], "1MB"]).await?;
    let management = rabbitmq.management()?;
    wait::until(LIMIT, "the alarm shows", async || {
        let nodes = management.get("nodes").await;
        nodes.is_ok_and(|nodes| nodes[0]["mem_alarm"] == true)
    })
    .await?;
    let mut commands = Vec::new();
    for number in 0..10 {
        commands.push(scene.submit(number).await?);
    }
    rabbitmq.control(&[mark[0], mark[1], "1GB"]).await?;
    scene.carry_out(&commands).await
}

/// A queue that is full refuses, and the rest waits in the outbox; nothing is dead-lettered or dropped to make room.
#[tokio::test]
async fn what_a_full_queue_refuses_waits_in_the_outbox() -> Result<()> {
    let settings = "[amqp]\ncommands_length = 3\n[outbox]\nbatch = 1";
    let mut scene = Scene::shared(settings).await?;
    let mut commands = Vec::new();
    for number in 0..12 {
        commands.push(scene.submit(number).await?);
    }
    let shared = shared()?;
    let management = tests::rabbitmq::Management::new(&shared.management)?;
    let queue = format!("{}commands.a", scene.federation.prefix());
    wait::until(LIMIT, "the queue is full", async || {
        management.depth(&queue).await.is_ok_and(|depth| depth >= 3)
    })
    .await?;
    scene.carry_out(&commands).await?;
    let dead = format!("{}dead-letters.a", scene.federation.prefix());
    assert_eq!(management.depth(&dead).await.unwrap_or_default(), 0);
    Ok(())
}
