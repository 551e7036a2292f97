//! The RabbitMQ map: every exchange, queue and binding, once.
//!
//! ```text
//! commands ──<participant>──▶ commands.<participant> ──poison──▶ dead-letters ──▶ dead-letters.<participant>
//! replies.<participant> ──▶ replies ──▶ replies(queue) ──unreadable──▶ dead-letters ──▶ dead-letters.replies
//! recent.commands ──<participant>──▶ recent.commands.<participant>      copies for people, where they are asked for
//! ```
//!
//! Invariant: one queue per participant, with one active consumer, and a delivery limit: without it RabbitMQ
//! puts a returned message at the back of the queue, and order would break. The exchange that a report came
//! through says whose report it is. Copies have an exchange of their own: were they bound to `commands`, a dispatch
//! whose real queue is missing would count as routed, and `mandatory` would promise nothing.
//! Not here: what a message contains (`message`), who declares all this and when (`provision`).

use domain::ParticipantId;
use lapin::{
    ExchangeKind,
    types::{AMQPValue, FieldTable},
};

use crate::error::TopologyError;

/// The most characters of a prefix. With it and a participant's id a name stays far below AMQP's 255.
pub const PREFIX_LENGTH: usize = 100;

/// How many reports nobody could read are kept, and how many dead letters of one participant.
const DEAD_LETTER_QUEUE_LENGTH: u32 = 100_000;

/// Dead letters are looked at by people, again and again. RabbitMQ 4 would drop them after 20 looks. Before 4.3 a look
/// counts: somebody who looks every minute has two years. How many there are is told without a look
/// ([`crate::Browser::depth`]).
const DEAD_LETTER_DELIVERY_LIMIT: u32 = 1_000_000;

/// The most bytes of copies that are kept for one participant.
const COPIES_BYTES: u32 = 16 << 20;

/// How long a copy is kept, in milliseconds: an hour.
const COPY_MILLIS: u32 = 3_600_000;

/// The last word of the queue for reports that nobody could read; no participant may be called so.
pub const REPLIES: &str = "replies";

/// The limits of the queues. RabbitMQ fixes them when a queue is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// The most messages that wait for one participant. A full queue refuses the next one.
    pub commands_length: u32,
    /// The most reports that wait for the brokers.
    pub replies_length: u32,
    /// How often a message is delivered again before it counts as poison.
    pub delivery_limit: u32,
    /// How many copies of the latest dispatches are kept for each participant, for people to read. With 0 there is
    /// no queue for them.
    pub console_copies: u32,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            commands_length: 100_000,
            replies_length: 1_000_000,
            delivery_limit: 20,
            console_copies: 0,
        }
    }
}

/// The names of everything in RabbitMQ, all behind one prefix.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
    limits: QueueLimits,
}

/// One thing to declare.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// A durable exchange.
    Exchange { name: String, kind: ExchangeKind },
    /// A durable queue.
    Queue { name: String, arguments: FieldTable },
    /// A durable queue of copies: where it stands with other arguments it is made anew.
    Copies { name: String, arguments: FieldTable },
    /// Messages of `exchange` with this key go to `queue`.
    QueueBinding {
        queue: String,
        exchange: String,
        routing_key: String,
    },
    /// Messages of `source` go to `destination` too.
    ExchangeBinding { destination: String, source: String },
}

impl Topology {
    /// All names begin with `prefix`, which may be empty.
    pub fn new(prefix: impl Into<String>, limits: QueueLimits) -> Result<Self, TopologyError> {
        let prefix = prefix.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        if prefix.len() > PREFIX_LENGTH || !prefix.bytes().all(plain) {
            return Err(TopologyError::Prefix {
                prefix,
                limit: PREFIX_LENGTH,
            });
        }
        Ok(Self { prefix, limits })
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The exchange that dispatches are published to, with the participant's id as routing key.
    pub fn commands_exchange(&self) -> String {
        self.named("commands")
    }

    /// The queue that the adapters of this participant read.
    pub fn commands_queue(&self, participant: &ParticipantId) -> String {
        self.named(&format!("commands.{participant}"))
    }

    /// The exchange that copies of dispatches are published to, with the participant's id as routing key.
    pub fn copies_exchange(&self) -> String {
        self.named("recent.commands")
    }

    /// The copies of this participant's latest dispatches.
    pub fn copies_queue(&self, participant: &ParticipantId) -> String {
        self.named(&format!("recent.commands.{participant}"))
    }

    /// Whether copies are kept.
    pub fn keeps_copies(&self) -> bool {
        self.limits.console_copies > 0
    }

    /// The exchange of all that could not be handled.
    pub fn dead_letters_exchange(&self) -> String {
        self.named("dead-letters")
    }

    /// The dispatches that this participant's adapters could not handle.
    pub fn dead_letters_queue(&self, participant: &ParticipantId) -> String {
        self.named(&format!("dead-letters.{participant}"))
    }

    /// The reports that no broker could read.
    pub fn replies_dead_letters_queue(&self) -> String {
        self.named(&format!("dead-letters.{REPLIES}"))
    }

    /// The exchange behind all entry exchanges.
    pub fn replies_exchange(&self) -> String {
        self.named(REPLIES)
    }

    /// The queue that all brokers read.
    pub fn replies_queue(&self) -> String {
        self.named(REPLIES)
    }

    /// The only exchange that this participant may publish to. The routing key means nothing there.
    pub fn entry_exchange(&self, participant: &ParticipantId) -> String {
        self.named(&format!("{REPLIES}.{participant}"))
    }

    /// Whose entry exchange that is. `None` for every other exchange.
    pub fn participant_of(&self, exchange: &str) -> Option<ParticipantId> {
        exchange
            .strip_prefix(&self.prefix)?
            .strip_prefix(REPLIES)?
            .strip_prefix('.')?
            .parse()
            .ok()
    }

    /// Refuses the one id whose dead letters would land among the unreadable reports.
    pub fn check_participant(participant: &ParticipantId) -> Result<(), TopologyError> {
        if participant.as_str() == REPLIES {
            return Err(TopologyError::Reserved {
                participant: participant.to_string(),
            });
        }
        Ok(())
    }

    /// What stands before the first participant.
    pub(crate) fn base(&self) -> Vec<Part> {
        let dead_letters = self.replies_dead_letters_queue();
        let mut parts = vec![
            Part::Exchange {
                name: self.commands_exchange(),
                kind: ExchangeKind::Direct,
            },
            Part::Exchange {
                name: self.dead_letters_exchange(),
                kind: ExchangeKind::Direct,
            },
            Part::Exchange {
                name: self.replies_exchange(),
                kind: ExchangeKind::Fanout,
            },
            Part::Queue {
                name: dead_letters.clone(),
                arguments: dead_letter_arguments(),
            },
            self.dead_letter_binding(dead_letters, REPLIES),
            Part::Queue {
                name: self.replies_queue(),
                arguments: self.work_arguments(self.limits.replies_length, REPLIES),
            },
            Part::QueueBinding {
                queue: self.replies_queue(),
                exchange: self.replies_exchange(),
                routing_key: String::new(),
            },
        ];
        if self.keeps_copies() {
            parts.push(Part::Exchange {
                name: self.copies_exchange(),
                kind: ExchangeKind::Direct,
            });
        }
        parts
    }

    /// What one participant adds.
    pub(crate) fn of_participant(&self, participant: &ParticipantId) -> Vec<Part> {
        let dead_letters = self.dead_letters_queue(participant);
        let commands = self.commands_queue(participant);
        let mut arguments = self.work_arguments(self.limits.commands_length, participant.as_str());
        arguments.insert("x-single-active-consumer".into(), true.into());
        let mut parts = vec![
            Part::Queue {
                name: dead_letters.clone(),
                arguments: dead_letter_arguments(),
            },
            self.dead_letter_binding(dead_letters, participant.as_str()),
            Part::Queue {
                name: commands.clone(),
                arguments,
            },
            Part::QueueBinding {
                queue: commands,
                exchange: self.commands_exchange(),
                routing_key: participant.to_string(),
            },
            Part::Exchange {
                name: self.entry_exchange(participant),
                kind: ExchangeKind::Fanout,
            },
            Part::ExchangeBinding {
                destination: self.replies_exchange(),
                source: self.entry_exchange(participant),
            },
        ];
        if self.keeps_copies() {
            parts.extend(self.copies_of(participant));
        }
        parts
    }

    fn copies_of(&self, participant: &ParticipantId) -> [Part; 2] {
        let queue = self.copies_queue(participant);
        [
            Part::Copies {
                name: queue.clone(),
                arguments: copies_arguments(self.limits.console_copies),
            },
            Part::QueueBinding {
                queue,
                exchange: self.copies_exchange(),
                routing_key: participant.to_string(),
            },
        ]
    }

    fn dead_letter_binding(&self, queue: String, routing_key: &str) -> Part {
        Part::QueueBinding {
            queue,
            exchange: self.dead_letters_exchange(),
            routing_key: routing_key.to_owned(),
        }
    }

    /// RabbitMQ dead-letters at least once only with this strategy and `reject-publish` together.
    /// <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>
    fn work_arguments(&self, length: u32, dead_letter_key: &str) -> FieldTable {
        let mut arguments = quorum(length, self.limits.delivery_limit, "reject-publish");
        insert_text(
            &mut arguments,
            "x-dead-letter-exchange",
            &self.dead_letters_exchange(),
        );
        insert_text(&mut arguments, "x-dead-letter-routing-key", dead_letter_key);
        insert_text(&mut arguments, "x-dead-letter-strategy", "at-least-once");
        arguments
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn dead_letter_arguments() -> FieldTable {
    // The oldest make room: a full queue that refused would stop the queue that its letters come from.
    quorum(
        DEAD_LETTER_QUEUE_LENGTH,
        DEAD_LETTER_DELIVERY_LIMIT,
        "drop-head",
    )
}

/// A classic queue, because people take copies out and put them back in the console, and nobody counts on them.
fn copies_arguments(length: u32) -> FieldTable {
    let mut arguments = FieldTable::default();
    insert_text(&mut arguments, "x-queue-type", "classic");
    insert_text(&mut arguments, "x-overflow", "drop-head");
    insert_number(&mut arguments, "x-max-length", length);
    insert_number(&mut arguments, "x-max-length-bytes", COPIES_BYTES);
    insert_number(&mut arguments, "x-message-ttl", COPY_MILLIS);
    arguments
}

fn quorum(length: u32, delivery_limit: u32, overflow: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    insert_text(&mut arguments, "x-queue-type", "quorum");
    insert_text(&mut arguments, "x-overflow", overflow);
    insert_number(&mut arguments, "x-max-length", length);
    insert_number(&mut arguments, "x-delivery-limit", delivery_limit);
    arguments
}

fn insert_number(arguments: &mut FieldTable, key: &str, value: u32) {
    arguments.insert(key.into(), AMQPValue::LongLongInt(value.into()));
}

fn insert_text(arguments: &mut FieldTable, key: &str, value: &str) {
    arguments.insert(key.into(), AMQPValue::LongString(value.into()));
}

#[cfg(test)]
mod tests;
