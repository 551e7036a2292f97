//! Dead letters: looking at what could not be handled, and removing what was worked on.
//!
//! Invariant: RabbitMQ is the store, and a look takes nothing away. What is not removed goes back in its order, up to
//! [`Browser::IN_ORDER`] letters. It goes behind what came back before, so a queue keeps its order when all of it was looked
//! at, and turns when only its beginning was. When we die, or the connection breaks, RabbitMQ puts all of it back. While one
//! looks, another one sees what is left.
//! Before RabbitMQ 4.3 each look counts as a delivery; [`DeadLetter::looks`] tells how often that was.
//! Not here: who may look, and where a letter is sent again (`broker::dead_letters`).

use std::collections::BTreeMap;

use domain::Timestamp;
use lapin::{
    Acker, Channel,
    message::Delivery as Raw,
    options::{
        BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    delivery::settled,
    error::{LinkError, LookError, SettleError},
    link::{CHANNEL_LIMIT, Link, LinkSettings},
    message::{HeaderValue, Message, header},
    session::{Session, within},
};

/// Letters that are given back in one word. RabbitMQ 3.10 keeps the order of so many, and shuffles more.
const TOGETHER: usize = 32;

/// Words that RabbitMQ 3.10 takes before it joins those that wait to a longer one.
const WORDS: usize = 32;

const MILLIS_PER_SECOND: u64 = 1000;

/// What RabbitMQ writes on a message that dies, newest death first.
const DEATHS: &str = "x-death";

/// The beginnings of the headers that RabbitMQ sets. A message that is sent again starts without them: 3.10 would take them
/// for its own.
const RABBITMQ_HEADERS: [&str; 5] = [
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
];

/// Why a message died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathReason {
    /// Its consumer could not read it.
    Rejected,
    /// It came back too often: its consumer died of it, again and again.
    DeliveryLimit,
    /// Its queue was full.
    MaxLength,
    /// It waited for too long.
    Expired,
}

impl DeathReason {
    /// RabbitMQ's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::DeliveryLimit => "delivery_limit",
            Self::MaxLength => "maxlen",
            Self::Expired => "expired",
        }
    }

    fn from_word(word: &[u8]) -> Option<Self> {
        [
            Self::Rejected,
            Self::DeliveryLimit,
            Self::MaxLength,
            Self::Expired,
        ]
        .into_iter()
        .find(|reason| reason.as_str().as_bytes() == word)
    }
}

/// The latest death of a message, as far as RabbitMQ tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Death {
    /// Why. `None` for a message that somebody put there, or a reason that is newer than we are.
    pub reason: Option<DeathReason>,
    /// When. RabbitMQ tells whole seconds.
    pub at: Option<Timestamp>,
}

/// A message that could not be handled.
#[derive(Debug)]
pub struct DeadLetter {
    /// The message as it was sent, with the headers that RabbitMQ added.
    pub message: Message,
    /// Its death.
    pub death: Death,
    /// How often it was looked at before, as far as RabbitMQ counts it.
    pub looks: u64,
    /// How many are behind it.
    pub behind: u32,
    tag: u64,
}

impl DeadLetter {
    /// How often it was sent again before.
    pub fn retries(&self) -> u64 {
        let retries = self.message.number(header::RETRIES).unwrap_or_default();
        u64::try_from(retries).unwrap_or_default()
    }

    /// The message to send again: the same id and body, and the retry counted.
    pub fn again(&self) -> Message {
        let mut message = self.message.clone();
        message
            .headers
            .retain(|name, _| !RABBITMQ_HEADERS.iter().any(|own| name.starts_with(own)));
        let retries = i64::try_from(self.retries())
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        message
            .headers
            .insert(header::RETRIES.to_owned(), HeaderValue::Number(retries));
        message
    }
}

/// Looks into queues over a connection of its own. Dropped without [`give_back`](Self::give_back), it is cut off: RabbitMQ
/// then puts back what it held as soon as it notices.
pub struct Browser {
    session: Session,
    channel: Channel,
    held: BTreeMap<u64, Acker>,
}

impl Browser {
    /// How many letters go back in their order.
    pub const IN_ORDER: usize = TOGETHER * WORDS;

    /// Connects.
    pub async fn open(link: LinkSettings) -> Result<Self, LinkError> {
        let session = Link::new(link).connect().await?;
        let channel = session.channel().await?;
        session.mark_ready();
        Ok(Self {
            session,
            channel,
            held: BTreeMap::new(),
        })
    }

    /// The next letter of `queue` that nobody else looks at; `None` when there is none.
    pub async fn next(&mut self, queue: &str) -> Result<Option<DeadLetter>, LookError> {
        let name = ShortString::try_new(queue).map_err(|_| LinkError::Name)?;
        let getting = self.channel.basic_get(name, BasicGetOptions::default());
        let found = within(CHANNEL_LIMIT, "show a dead letter", getting).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.explain(queue, error).await),
        };
        Ok(found.map(|found| self.hold(found.delivery, found.message_count)))
    }

    /// How many messages wait in `queue`. It costs no look.
    pub async fn depth(&mut self, queue: &str) -> Result<u32, LookError> {
        let name = ShortString::try_new(queue).map_err(|_| LinkError::Name)?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asking = self
            .channel
            .queue_declare(name, options, FieldTable::default());
        match within(CHANNEL_LIMIT, "count a queue's messages", asking).await {
            Ok(queue) => Ok(queue.message_count()),
            Err(error) => Err(self.explain(queue, error).await),
        }
    }

    /// Takes a letter out for good.
    pub async fn remove(&mut self, letter: &DeadLetter) -> Result<(), SettleError> {
        let acker = self
            .held
            .remove(&letter.tag)
            .ok_or(SettleError::ChannelGone)?;
        settled(acker.ack(BasicAckOptions::default())).await
    }

    /// Puts the rest back and ends. When it returns, RabbitMQ has heard of what was removed, and the next look sees the
    /// rest.
    pub async fn give_back(mut self) -> Result<(), SettleError> {
        // Oldest first: a word is about all that were given out up to its letter.
        let options = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        while !self.held.is_empty() {
            let last = self.held.keys().take(TOGETHER).last().copied();
            let later = last.map_or_else(BTreeMap::new, |last| self.held.split_off(&(last + 1)));
            if let Some((_, acker)) = std::mem::replace(&mut self.held, later).pop_last() {
                settled(acker.nack(options)).await?;
            }
        }
        // The answer comes behind all that was sent before.
        let flush = self.channel.basic_qos(1, BasicQosOptions { global: false });
        within(CHANNEL_LIMIT, "take the answers", flush)
            .await
            .map_err(|_| SettleError::ChannelGone)?;
        self.session.close().await;
        Ok(())
    }

    fn hold(&mut self, raw: Raw, behind: u32) -> DeadLetter {
        let death = raw.properties.headers().as_ref().map(read_death);
        let tag = raw.delivery_tag;
        self.held.insert(tag, raw.acker);
        let (message, looks) = Message::delivered(&raw.properties, raw.data);
        DeadLetter {
            message,
            death: death.unwrap_or_default(),
            looks,
            behind,
            tag,
        }
    }

    /// RabbitMQ closes a channel over a queue that is not there, and puts back what was held on it.
    async fn explain(&mut self, queue: &str, error: LinkError) -> LookError {
        let LinkError::Broken { step, source } = error else {
            return error.into();
        };
        let missing = match source.kind() {
            lapin::ErrorKind::ProtocolError(error) => {
                matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
            }
            _ => false,
        };
        if !missing {
            return LinkError::Broken { step, source }.into();
        }
        self.held.clear();
        match self.session.channel().await {
            Ok(channel) => {
                self.channel = channel;
                LookError::NoQueue {
                    queue: queue.to_owned(),
                }
            }
            Err(error) => error.into(),
        }
    }
}

fn read_death(headers: &FieldTable) -> Death {
    let deaths = headers.inner().get(DEATHS);
    let Some(AMQPValue::FieldArray(deaths)) = deaths else {
        return Death::default();
    };
    let Some(AMQPValue::FieldTable(latest)) = deaths.as_slice().first() else {
        return Death::default();
    };
    let reason = match latest.inner().get("reason") {
        Some(AMQPValue::LongString(word)) => DeathReason::from_word(word.as_bytes()),
        _ => None,
    };
    let at = match latest.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => Some(Timestamp::from_millis(
            seconds.saturating_mul(MILLIS_PER_SECOND),
        )),
        _ => None,
    };
    Death { reason, at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, HeaderValue)]) -> DeadLetter {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        DeadLetter {
            message: Message {
                message_id: "b-0-1-1".to_owned(),
                kind: "federation.dispatch.v1".to_owned(),
                app_id: "broker".to_owned(),
                timestamp: Timestamp::from_millis(1_700_000_000_000),
                correlation_id: None,
                headers: headers.collect(),
                body: b"{}".to_vec(),
            },
            death: Death::default(),
            looks: 0,
            behind: 0,
            tag: 1,
        }
    }

    /// The adapter recognises the executions, and the next death is told with its own reason.
    #[test]
    fn what_is_sent_again_is_the_same_but_for_the_count_and_rabbitmqs_headers() {
        let first = letter(&[
            ("count", 1.into()),
            ("x-first-death-reason", "rejected".into()),
            ("x-last-death-queue", "commands.b".into()),
            ("x-delivery-count", 4.into()),
            ("x-cost-center", "7".into()),
        ]);
        let again = first.again();
        let names: Vec<_> = again.headers.keys().map(String::as_str).collect();
        assert_eq!(names, ["count", "retries", "x-cost-center"]);
        assert_eq!(again.number(header::RETRIES), Some(1));
        assert_eq!(
            (&again.message_id, &again.body, again.timestamp),
            (
                &first.message.message_id,
                &first.message.body,
                first.message.timestamp
            )
        );
        let second = DeadLetter {
            message: again,
            ..letter(&[])
        };
        assert_eq!(second.again().number(header::RETRIES), Some(2));
    }

    /// A header of that name may hold anything when somebody publishes by hand.
    #[test]
    fn a_death_that_cannot_be_read_is_no_death() {
        let mut headers = FieldTable::default();
        assert_eq!(read_death(&headers), Death::default());
        headers.insert(DEATHS.into(), AMQPValue::LongString("once".into()));
        assert_eq!(read_death(&headers), Death::default());
        let mut latest = FieldTable::default();
        latest.insert("reason".into(), AMQPValue::LongString("rejected".into()));
        latest.insert("time".into(), AMQPValue::Timestamp(7));
        let deaths = vec![AMQPValue::FieldTable(latest)];
        headers.insert(DEATHS.into(), AMQPValue::FieldArray(deaths.into()));
        let expected = Death {
            reason: Some(DeathReason::Rejected),
            at: Some(Timestamp::from_millis(7_000)),
        };
        assert_eq!(read_death(&headers), expected);
    }
}
