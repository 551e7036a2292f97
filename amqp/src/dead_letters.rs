//! Dead letters: looking at what could not be handled, and removing what was worked on.
//!
//! Invariant: RabbitMQ is the store, and a look takes nothing away. What is not removed goes back in its order, and goes behind
//! what came back before: a queue keeps its order when all of it was looked at, and turns when only its beginning was. When
//! we die, or the connection breaks, RabbitMQ puts all of it back, in some order. While one looks, another one sees what is left.
//! Before RabbitMQ 4.3 each look counts as a delivery; [`DeadLetter::looks`] tells how often that was.
//! Not here: who may look, and where a letter is sent again (`broker::dead_letters`).

use std::{collections::BTreeMap, time::Duration};

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
use tokio::time::{Instant, sleep};

use crate::{
    delivery::settled,
    error::{LinkError, LookError, SettleError},
    link::{CHANNEL_LIMIT, Link, LinkSettings},
    message::{HeaderValue, Message, header},
    session::{Session, within},
};

/// Letters that are given back in one word: RabbitMQ 3.10 keeps the order of so many, and shuffles more. It also joins words
/// that come quickly, so each waits until the one before is done; a cut connection shuffles all of them.
const TOGETHER: usize = 32;

/// How long giving back may wait for that. What is left then goes back as it comes.
const ORDER_LIMIT: Duration = Duration::from_secs(5);
/// How often we look whether a word is done.
const ORDER_EVERY: Duration = Duration::from_millis(1);

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
    place: Place,
}

/// How many channels there were before, and the delivery's tag on its own.
type Place = (u32, u64);

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
    /// How many channels there were before: each counts its deliveries anew.
    channels: u32,
    held: BTreeMap<Place, Held>,
}

/// A letter that was given out.
struct Held {
    queue: String,
    acker: Acker,
}

impl Browser {
    /// Connects.
    pub async fn open(link: LinkSettings) -> Result<Self, LinkError> {
        let session = Link::new(link).connect().await?;
        let channel = session.channel().await?;
        session.mark_ready();
        Ok(Self {
            session,
            channel,
            channels: 0,
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
        Ok(found.map(|found| self.hold(queue, found.delivery, found.message_count)))
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
        let held = self
            .held
            .remove(&letter.place)
            .ok_or(SettleError::ChannelGone)?;
        settled(held.acker.ack(BasicAckOptions::default())).await
    }

    /// Puts the rest back and ends. When it returns, RabbitMQ has heard of what was removed, and the next look sees the
    /// rest.
    pub async fn give_back(mut self) -> Result<(), SettleError> {
        let until = Instant::now() + ORDER_LIMIT;
        let held: Vec<_> = std::mem::take(&mut self.held).into_values().collect();
        for of_queue in held.chunk_by(|one, other| one.queue == other.queue) {
            for together in of_queue.chunks(TOGETHER) {
                self.give_back_together(together, until).await?;
            }
        }
        self.flush().await?;
        self.session.close().await;
        Ok(())
    }

    /// Gives letters of one queue back, and waits until they are there; others who look meanwhile may hide that.
    async fn give_back_together(
        &mut self,
        together: &[Held],
        until: Instant,
    ) -> Result<(), SettleError> {
        let Some(newest) = together.last() else {
            return Ok(());
        };
        let before = self.depth(&newest.queue).await.unwrap_or_default() as usize;
        let options = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        settled(newest.acker.nack(options)).await?;
        while Instant::now() < until
            && let Ok(depth) = self.depth(&newest.queue).await
            && (depth as usize) < before + together.len()
        {
            sleep(ORDER_EVERY).await;
        }
        Ok(())
    }

    /// The answer comes behind all that was sent before.
    async fn flush(&self) -> Result<(), SettleError> {
        let answer = self.channel.basic_qos(1, BasicQosOptions { global: false });
        within(CHANNEL_LIMIT, "take the answers", answer)
            .await
            .map_err(|_| SettleError::ChannelGone)
    }

    fn hold(&mut self, queue: &str, raw: Raw, behind: u32) -> DeadLetter {
        let death = raw.properties.headers().as_ref().map(read_death);
        let place = (self.channels, raw.delivery_tag);
        let held = Held {
            queue: queue.to_owned(),
            acker: raw.acker,
        };
        self.held.insert(place, held);
        let (message, looks) = Message::delivered(&raw.properties, raw.data);
        DeadLetter {
            message,
            death: death.unwrap_or_default(),
            looks,
            behind,
            place,
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
                self.channels += 1;
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
            place: (0, 1),
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
