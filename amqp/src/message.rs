//! A message: who it is from, what it is, and its bytes.
//!
//! Invariant: every message is persistent and carries an id by which a repetition is recognised; what RabbitMQ's
//! console shows of it says what it is without opening the body.
//! Not here: what the bytes mean (`envelope`).

use std::collections::BTreeMap;

use domain::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, MAX_SHORT_STRING_LENGTH, ShortString},
};

use crate::error::PublishError;

/// How AMQP says that a message is written to disk.
const PERSISTENT: u8 = 2;
const JSON: &str = "application/json";
const MILLIS_PER_SECOND: u64 = 1000;

/// The header in which RabbitMQ counts how often a delivery came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The names of the headers that we set.
pub mod header {
    /// W3C trace context of the sender.
    pub const TRACEPARENT: &str = "traceparent";
    /// How many executions or results are in the body.
    pub const COUNT: &str = "count";
    /// The sequence number of the first one.
    pub const SEQUENCE_FIRST: &str = "sequence-first";
    /// The sequence number of the last one.
    pub const SEQUENCE_LAST: &str = "sequence-last";
    /// How often an operator has sent a dead letter again.
    pub const RETRIES: &str = "retries";
    /// Ed25519 over the other four, the message id, the way it goes and its body; base64.
    pub const SIGNATURE: &str = "signature";
    /// Which key signed.
    pub const SIGNATURE_KEY: &str = "signature-key";
    /// For which participant a dispatch is, from which one a report is.
    pub const SIGNATURE_PARTICIPANT: &str = "signature-participant";
    /// When it was signed, in milliseconds since 1970.
    pub const SIGNATURE_ISSUED_AT: &str = "signature-issued-at";
    /// From when on it does not count, in milliseconds since 1970.
    pub const SIGNATURE_NOT_AFTER: &str = "signature-not-after";
}

/// One value in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for HeaderValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// What is published and delivered. Text properties hold at most 255 bytes each.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Names the message, the same one when it is sent again. Empty when the sender gave none.
    pub message_id: String,
    /// What the body is: `federation.dispatch.v1`, `federation.report.v1`. Empty when the sender gave none.
    pub kind: String,
    /// Which program sent it.
    pub app_id: String,
    /// When it was made. AMQP carries whole seconds.
    pub timestamp: Timestamp,
    /// The message that this one answers.
    pub correlation_id: Option<String>,
    /// Small facts about the body; see [`header`]. Those of other kinds than text and number are not shown.
    pub headers: BTreeMap<String, HeaderValue>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Shows all but the body, which does not belong into a log.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("kind", &self.kind)
            .field("app_id", &self.app_id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Message {
    /// The text in a header.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.headers.get(name)? {
            HeaderValue::Text(text) => Some(text),
            HeaderValue::Number(_) => None,
        }
    }

    /// The number in a header.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.headers.get(name)? {
            HeaderValue::Number(number) => Some(*number),
            HeaderValue::Text(_) => None,
        }
    }

    pub(crate) fn properties(&self) -> Result<BasicProperties, PublishError> {
        let mut headers = FieldTable::default();
        for (name, value) in &self.headers {
            let value = match value {
                HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
                HeaderValue::Number(number) => AMQPValue::LongLongInt(*number),
            };
            headers.insert(short("header name", name)?, value);
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(JSON.into())
            .with_message_id(short("message id", &self.message_id)?)
            .with_type(short("type", &self.kind)?)
            .with_app_id(short("app id", &self.app_id)?)
            .with_timestamp(self.timestamp.as_millis() / MILLIS_PER_SECOND)
            .with_headers(headers);
        Ok(match &self.correlation_id {
            Some(id) => properties.with_correlation_id(short("correlation id", id)?),
            None => properties,
        })
    }

    /// A message as it was delivered, and how often it came back before.
    pub(crate) fn delivered(properties: &BasicProperties, body: Vec<u8>) -> (Self, u64) {
        let mut headers = properties
            .headers()
            .as_ref()
            .map(read_headers)
            .unwrap_or_default();
        // RabbitMQ's own: it is told beside the message, which stays as it was sent.
        let count = match headers.remove(DELIVERY_COUNT) {
            Some(HeaderValue::Number(count)) => u64::try_from(count).unwrap_or_default(),
            _ => 0,
        };
        let seconds = properties.timestamp().unwrap_or_default();
        let message = Self {
            message_id: text_of(properties.message_id().as_ref()).unwrap_or_default(),
            kind: text_of(properties.kind().as_ref()).unwrap_or_default(),
            app_id: text_of(properties.app_id().as_ref()).unwrap_or_default(),
            timestamp: Timestamp::from_millis(seconds.saturating_mul(MILLIS_PER_SECOND)),
            correlation_id: text_of(properties.correlation_id().as_ref()),
            headers,
            body,
        };
        (message, count)
    }
}

/// AMQP's short string, or an error where the library would panic.
pub(crate) fn short(field: &'static str, text: &str) -> Result<ShortString, PublishError> {
    ShortString::try_new(text).map_err(|_| PublishError::TooLong {
        field,
        limit: MAX_SHORT_STRING_LENGTH,
    })
}

fn text_of(property: Option<&ShortString>) -> Option<String> {
    property.map(|text| text.as_str().to_owned())
}

fn read_headers(table: &FieldTable) -> BTreeMap<String, HeaderValue> {
    table
        .into_iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), read_value(value)?)))
        .collect()
}

fn read_value(value: &AMQPValue) -> Option<HeaderValue> {
    Some(match value {
        AMQPValue::LongString(text) => {
            HeaderValue::Text(String::from_utf8(text.as_bytes().to_vec()).ok()?)
        }
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str().to_owned()),
        AMQPValue::ShortShortInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::ShortInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::ShortUInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::LongInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::LongUInt(number) => HeaderValue::Number((*number).into()),
        AMQPValue::LongLongInt(number) => HeaderValue::Number(*number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            message_id: "m-1".to_owned(),
            kind: "federation.dispatch.v1".to_owned(),
            app_id: "broker".to_owned(),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            correlation_id: Some("c-1".to_owned()),
            headers: BTreeMap::from([
                (header::TRACEPARENT.to_owned(), "00-a-b-01".into()),
                (header::COUNT.to_owned(), 3.into()),
            ]),
            body: b"{}".to_vec(),
        }
    }

    /// What one side says, the other side reads.
    #[test]
    fn a_message_survives_its_properties() {
        let sent = message();
        let properties = sent.properties().unwrap();
        assert_eq!(*properties.delivery_mode(), Some(PERSISTENT));
        assert_eq!(
            Message::delivered(&properties, sent.body.clone()),
            (sent, 0)
        );
    }

    /// The library panics on a property of more than 255 bytes; the caller gets an error that names it.
    #[test]
    fn a_property_that_is_too_long_is_an_error() {
        let long = Message {
            message_id: "x".repeat(256),
            ..message()
        };
        assert!(matches!(
            long.properties(),
            Err(PublishError::TooLong {
                field: "message id",
                ..
            })
        ));
    }

    /// Bodies hold customers' URLs, and a log line is read by many.
    #[test]
    fn a_message_in_a_log_has_no_body() {
        let secret = Message {
            body: b"planted".to_vec(),
            ..message()
        };
        assert!(!format!("{secret:?}").contains("planted"));
    }
}
