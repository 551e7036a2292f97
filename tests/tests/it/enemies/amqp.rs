//! What can be tried over AMQP.

use ::amqp::Topology;
use anyhow::{Context, Result, bail, ensure};
use domain::ParticipantId;
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ErrorKind, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
        ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
        ExchangeUnbindOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
        QueuePurgeOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use tokio::time::timeout;

use super::LIMIT;

/// One thing that an enemy may try.
#[derive(Debug)]
pub(super) enum Attempt {
    Consume(String),
    Get(String),
    Purge(String),
    DeclareQueue(String),
    PassiveDeclare(String),
    DeclareExchange(String),
    DeleteQueue(String),
    DeleteExchange(String),
    BindQueue(String, String, String),
    UnbindQueue(String, String, String),
    /// To the first, from the second.
    BindExchange(String, String),
    UnbindExchange(String, String),
    /// Exchange, key, and the user that it pretends to be.
    Publish(String, String, Option<String>),
}

/// Everything that `enemy` may try against `victim`, and against what belongs to all.
pub(super) fn against(
    topology: &Topology,
    enemy: &ParticipantId,
    victim: &ParticipantId,
) -> Vec<Attempt> {
    let (own_queue, own_entry) = (
        topology.commands_queue(enemy),
        topology.entry_exchange(enemy),
    );
    let (queue, entry) = (
        topology.commands_queue(victim),
        topology.entry_exchange(victim),
    );
    let (commands, replies) = (topology.commands_exchange(), topology.replies_exchange());
    let key = victim.to_string();
    let queues = [
        queue.clone(),
        topology.dead_letters_queue(victim),
        topology.copies_queue(victim),
        topology.dead_letters_queue(enemy),
        topology.copies_queue(enemy),
        topology.replies_queue(),
        topology.replies_dead_letters_queue(),
    ];
    let exchanges = [
        entry.clone(),
        commands.clone(),
        replies.clone(),
        topology.dead_letters_exchange(),
        topology.copies_exchange(),
    ];
    let mut attempts = Vec::new();
    for queue in queues {
        attempts.extend([
            Attempt::Consume(queue.clone()),
            Attempt::Get(queue.clone()),
            Attempt::Purge(queue.clone()),
            Attempt::DeclareQueue(queue.clone()),
            Attempt::DeleteQueue(queue.clone()),
            Attempt::BindQueue(queue.clone(), own_entry.clone(), String::new()),
            Attempt::Publish(String::new(), queue, None),
        ]);
    }
    for exchange in exchanges {
        attempts.extend([
            Attempt::Publish(exchange.clone(), key.clone(), None),
            Attempt::DeclareExchange(exchange.clone()),
            Attempt::DeleteExchange(exchange.clone()),
            Attempt::BindQueue(own_queue.clone(), exchange.clone(), key.clone()),
            Attempt::BindExchange(exchange.clone(), own_entry.clone()),
            Attempt::BindExchange(own_entry.clone(), exchange),
        ]);
    }
    attempts.extend([
        // Its own, which it may use and not change.
        Attempt::DeleteQueue(own_queue.clone()),
        Attempt::DeclareQueue(own_queue.clone()),
        Attempt::DeleteExchange(own_entry.clone()),
        Attempt::UnbindExchange(replies.clone(), own_entry.clone()),
        Attempt::Publish(String::new(), own_queue, None),
        // The victim's road, cut.
        Attempt::UnbindQueue(queue.clone(), commands, key.clone()),
        Attempt::UnbindExchange(replies.clone(), entry),
        // Something new, perhaps without a name, or with one that only looks like nothing.
        Attempt::DeclareQueue(String::new()),
        Attempt::DeclareQueue("\n".to_owned()),
        Attempt::DeclareQueue(format!("{queue}\n")),
        Attempt::DeclareQueue(format!("{}evil", topology.prefix())),
        Attempt::DeclareExchange(format!("{}evil", topology.prefix())),
        // What RabbitMQ brings along.
        Attempt::Publish("amq.direct".to_owned(), key.clone(), None),
        Attempt::Publish("amq.topic".to_owned(), key.clone(), None),
        Attempt::Publish("amq.fanout".to_owned(), key, None),
        // Through its own door in another's name.
        Attempt::Publish(
            own_entry.clone(),
            String::new(),
            Some(topology.user(victim)),
        ),
        Attempt::Publish(own_entry, String::new(), Some("guest".to_owned())),
    ]);
    attempts
}

impl Attempt {
    /// Whether RabbitMQ said no. Anything else that goes wrong is an error of the test.
    pub(super) async fn is_refused(&self, connection: &Connection) -> Result<bool> {
        let channel = connection.create_channel().await?;
        match timeout(LIMIT, self.make(&channel)).await? {
            Ok(()) => Ok(false),
            Err(error) if is_no(&error) => Ok(true),
            Err(error) => bail!("{self:?}: {error}"),
        }
    }

    async fn make(&self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default();
        match self {
            Self::Consume(queue) => {
                let options = BasicConsumeOptions::default();
                let consumed =
                    channel.basic_consume(queue.as_str().into(), "e".into(), options, none);
                consumed.await.map(drop)
            }
            Self::Get(queue) => {
                let got = channel.basic_get(queue.as_str().into(), BasicGetOptions::default());
                got.await.map(drop)
            }
            Self::Purge(queue) => {
                let purged =
                    channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default());
                purged.await.map(drop)
            }
            Self::DeclareQueue(name) => declare(channel, name, false).await,
            Self::PassiveDeclare(name) => declare(channel, name, true).await,
            Self::DeclareExchange(name) => {
                let options = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                let kind = ExchangeKind::Fanout;
                channel
                    .exchange_declare(name.as_str().into(), kind, options, none)
                    .await
            }
            Self::DeleteQueue(name) => {
                let deleted =
                    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default());
                deleted.await.map(drop)
            }
            Self::DeleteExchange(name) => {
                channel
                    .exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default())
                    .await
            }
            Self::BindQueue(queue, exchange, key) => {
                let [queue, exchange, key] =
                    [queue, exchange, key].map(|name| name.as_str().into());
                channel
                    .queue_bind(queue, exchange, key, QueueBindOptions::default(), none)
                    .await
            }
            Self::UnbindQueue(queue, exchange, key) => {
                let [queue, exchange, key] =
                    [queue, exchange, key].map(|name| name.as_str().into());
                channel.queue_unbind(queue, exchange, key, none).await
            }
            Self::BindExchange(to, from) => {
                let [to, from] = [to, from].map(|name| name.as_str().into());
                channel
                    .exchange_bind(to, from, "".into(), ExchangeBindOptions::default(), none)
                    .await
            }
            Self::UnbindExchange(to, from) => {
                let [to, from] = [to, from].map(|name| name.as_str().into());
                channel
                    .exchange_unbind(to, from, "".into(), ExchangeUnbindOptions::default(), none)
                    .await
            }
            Self::Publish(exchange, key, user) => {
                publish(channel, exchange, key, user.as_deref()).await
            }
        }
    }
}

async fn declare(channel: &Channel, name: &str, passive: bool) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        passive,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(name.into(), options, FieldTable::default());
    declared.await.map(drop)
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    user: Option<&str>,
) -> lapin::Result<()> {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut properties = BasicProperties::default();
    if let Some(user) = user {
        properties = properties.with_user_id(user.into());
    }
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(exchange.into(), key.into(), options, b"forged", properties)
        .await?
        .await
        .map(drop)
}

/// `ACCESS_REFUSED`; and for a user that is not the connection's, `PRECONDITION_FAILED`.
fn is_no(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
    )
}

/// What a participant may do: read its own queue, and speak for itself.
pub(super) async fn report_and_consume(
    connection: &Connection,
    topology: &Topology,
    own: &ParticipantId,
    user: &str,
) -> Result<()> {
    let channel = connection.create_channel().await?;
    publish(&channel, &topology.entry_exchange(own), "", Some(user)).await?;
    let channel = connection.create_channel().await?;
    let queue = topology.commands_queue(own);
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume(queue.into(), "own".into(), options, FieldTable::default());
    let mut consumer = consumer.await?;
    let got = timeout(LIMIT, consumer.next()).await?;
    let got = got.context("its own command is there")??;
    ensure!(got.data == b"untouched");
    let options = BasicNackOptions {
        requeue: true,
        multiple: false,
    };
    got.acker.nack(options).await?;
    channel.close(200, "OK".into()).await?;
    Ok(())
}
