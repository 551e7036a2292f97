//! Declaring the topology: once at deployment, and for each participant when it is created or removed.
//!
//! Invariant: everything may be done twice. Only this module declares; adapters find what they need or fail.
//! Not here: which names there are (`topology`).

use std::time::Duration;

use domain::ParticipantId;
use lapin::{
    Channel, ErrorKind,
    options::{
        ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use tracing::info;

use crate::{
    error::{LinkError, TopologyError},
    link::{Link, LinkSettings},
    session::within,
    topology::{Part, Topology},
};

/// How long RabbitMQ may take for one declaration. A quorum queue must find its members first.
pub const DECLARE_LIMIT: Duration = Duration::from_secs(15);

/// Declares over a connection of its own that lives for one call.
pub struct Provisioner {
    link: Link,
    topology: Topology,
}

impl Provisioner {
    /// The user in `link` needs configure rights on all names with the topology's prefix.
    pub fn new(link: LinkSettings, topology: Topology) -> Self {
        Self {
            link: Link::new(link),
            topology,
        }
    }

    /// Declares what stands before the first participant. Where no copies are kept any more, their exchange goes.
    pub async fn declare_base(&self) -> Result<(), TopologyError> {
        let mut changes: Vec<_> = declared(self.topology.base());
        if !self.topology.keeps_copies() {
            changes.push(Change::DeleteExchange(self.topology.copies_exchange()));
        }
        self.change(changes).await?;
        info!("declared the base of the topology");
        Ok(())
    }

    /// Declares one participant's part. The base must stand. Where no copies are kept any more, their queue goes.
    pub async fn declare_participant(
        &self,
        participant: &ParticipantId,
    ) -> Result<(), TopologyError> {
        Topology::check_participant(participant)?;
        let mut changes = declared(self.topology.of_participant(participant));
        if !self.topology.keeps_copies() {
            changes.push(Change::DeleteQueue(self.topology.copies_queue(participant)));
        }
        self.change(changes).await?;
        info!(%participant, "declared the topology of a participant");
        Ok(())
    }

    /// Deletes one participant's part with all messages that are still in it.
    pub async fn remove_participant(
        &self,
        participant: &ParticipantId,
    ) -> Result<(), TopologyError> {
        Topology::check_participant(participant)?;
        let changes = [
            // First nobody can send any more, then what was sent goes.
            Change::DeleteExchange(self.topology.entry_exchange(participant)),
            Change::DeleteQueue(self.topology.commands_queue(participant)),
            Change::DeleteQueue(self.topology.dead_letters_queue(participant)),
            Change::DeleteQueue(self.topology.copies_queue(participant)),
        ];
        self.change(changes).await?;
        info!(%participant, "removed the topology of a participant");
        Ok(())
    }

    async fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), TopologyError> {
        let session = self.link.connect().await?;
        let mut channel = session.channel().await?;
        for change in changes {
            match (carry_out(&change, &channel).await, change) {
                (Ok(()), _) => {}
                (
                    Err(TopologyError::Differs { .. }),
                    Change::Declare(part @ Part::Copies { .. }),
                ) => {
                    // RabbitMQ has closed the channel over it.
                    channel = session.channel().await?;
                    make_anew(part, &channel).await?;
                }
                (Err(error), _) => return Err(error),
            }
        }
        session.close().await;
        Ok(())
    }
}

fn declared(parts: Vec<Part>) -> Vec<Change> {
    parts.into_iter().map(Change::Declare).collect()
}

async fn carry_out(change: &Change, channel: &Channel) -> Result<(), TopologyError> {
    let applying = change.clone().apply(channel);
    within(DECLARE_LIMIT, "change the topology", applying)
        .await
        .map_err(|error| explain(change.to_string(), error))
}

/// Copies that somebody wants to have more or fewer of are no loss.
async fn make_anew(part: Part, channel: &Channel) -> Result<(), TopologyError> {
    if let Part::Copies { name, .. } = &part {
        carry_out(&Change::DeleteQueue(name.clone()), channel).await?;
    }
    carry_out(&Change::Declare(part), channel).await
}

/// One step, which may be repeated.
#[derive(Clone)]
enum Change {
    Declare(Part),
    DeleteQueue(String),
    DeleteExchange(String),
}

impl Change {
    async fn apply(self, channel: &Channel) -> lapin::Result<()> {
        match self {
            Self::Declare(part) => declare(channel, part).await,
            // RabbitMQ takes no conditions on quorum queues, and deleting what is not there is no error.
            Self::DeleteQueue(name) => channel
                .queue_delete(name.into(), QueueDeleteOptions::default())
                .await
                .map(drop),
            Self::DeleteExchange(name) => {
                channel
                    .exchange_delete(name.into(), ExchangeDeleteOptions::default())
                    .await
            }
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Declare(Part::Exchange { name, .. }) | Self::DeleteExchange(name) => {
                write!(f, "exchange `{name}`")
            }
            Self::Declare(Part::Queue { name, .. } | Part::Copies { name, .. })
            | Self::DeleteQueue(name) => {
                write!(f, "queue `{name}`")
            }
            Self::Declare(Part::QueueBinding {
                queue, exchange, ..
            }) => {
                write!(f, "the binding of queue `{queue}` to exchange `{exchange}`")
            }
            Self::Declare(Part::ExchangeBinding {
                destination,
                source,
            }) => {
                write!(
                    f,
                    "the binding of exchange `{destination}` to exchange `{source}`"
                )
            }
        }
    }
}

async fn declare(channel: &Channel, part: Part) -> lapin::Result<()> {
    let none = FieldTable::default();
    match part {
        Part::Exchange { name, kind } => {
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(name.into(), kind, options, none)
                .await
        }
        Part::Queue { name, arguments } | Part::Copies { name, arguments } => {
            let options = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            channel
                .queue_declare(name.into(), options, arguments)
                .await
                .map(drop)
        }
        Part::QueueBinding {
            queue,
            exchange,
            routing_key,
        } => {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.into(),
                    exchange.into(),
                    routing_key.into(),
                    options,
                    none,
                )
                .await
        }
        Part::ExchangeBinding {
            destination,
            source,
        } => {
            let options = ExchangeBindOptions::default();
            channel
                .exchange_bind(destination.into(), source.into(), "".into(), options, none)
                .await
        }
    }
}

fn explain(part: String, error: LinkError) -> TopologyError {
    let LinkError::Broken { step, source } = error else {
        return TopologyError::Failed {
            part,
            source: error,
        };
    };
    match soft_error(&source) {
        Some(AMQPSoftError::PRECONDITIONFAILED) => TopologyError::Differs { part, source },
        Some(AMQPSoftError::ACCESSREFUSED) => TopologyError::Forbidden { part, source },
        _ => TopologyError::Failed {
            part,
            source: LinkError::Broken { step, source },
        },
    }
}

fn soft_error(error: &lapin::Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}
