//! A seal in the headers of a message, where RabbitMQ's console shows it and the body stays as it is.
//!
//! Invariant: a message without all headers of a seal, or with one that cannot be read, has none that could be believed.
//! Not here: what is signed and when it counts (`domain::signing`).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::{
    ParticipantId, Timestamp,
    signing::{Direction, KeyRing, Seal, SealError, Seen, SigningKey, Window},
};

use crate::message::{HeaderValue, Message, header};

/// All headers of a seal.
const HEADERS: [&str; 5] = [
    header::SIGNATURE,
    header::SIGNATURE_KEY,
    header::SIGNATURE_PARTICIPANT,
    header::SIGNATURE_ISSUED_AT,
    header::SIGNATURE_NOT_AFTER,
];

impl Message {
    /// Signs the message as it is; a seal that it had is replaced.
    pub fn sign(
        &mut self,
        key: &SigningKey,
        direction: Direction,
        participant: &ParticipantId,
        now: Timestamp,
        lifetime: Duration,
    ) {
        let seal = Seal::new(key, self.seen(direction, participant), now, lifetime);
        let moment = |moment: Timestamp| {
            let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
            HeaderValue::Number(millis)
        };
        let values = [
            BASE64.encode(&seal.signature).into(),
            seal.key.to_string().into(),
            seal.participant.to_string().into(),
            moment(seal.issued_at),
            moment(seal.not_after),
        ];
        let headers = HEADERS.map(str::to_owned).into_iter().zip(values);
        self.headers.extend(headers);
    }

    /// Takes the seal off.
    pub fn unsign(&mut self) {
        self.headers
            .retain(|name, _| !HEADERS.contains(&name.as_str()));
    }

    /// Whether it has any header of a seal.
    pub fn is_signed(&self) -> bool {
        HEADERS.iter().any(|name| self.headers.contains_key(*name))
    }

    /// Whether it is what the owner of one of `keys` signed and counts now; if so, when it was signed.
    pub fn verify(
        &self,
        direction: Direction,
        participant: &ParticipantId,
        keys: &KeyRing,
        window: Window,
    ) -> Result<Timestamp, SealError> {
        let seal = self.seal()?;
        seal.verify(self.seen(direction, participant), keys, window)?;
        Ok(seal.issued_at)
    }

    /// The same without asking how old it is.
    pub fn verify_ever(
        &self,
        direction: Direction,
        participant: &ParticipantId,
        keys: &KeyRing,
    ) -> Result<(), SealError> {
        self.seal()?
            .verify_ever(self.seen(direction, participant), keys)
    }

    fn seen<'a>(&'a self, direction: Direction, participant: &'a ParticipantId) -> Seen<'a> {
        Seen {
            direction,
            participant,
            message_id: &self.message_id,
            body: &self.body,
        }
    }

    fn seal(&self) -> Result<Seal, SealError> {
        if !self.is_signed() {
            return Err(SealError::Unsigned);
        }
        let read = || {
            let moment = |name| {
                let millis = self.number(name)?;
                Some(Timestamp::from_millis(u64::try_from(millis).ok()?))
            };
            Some(Seal {
                key: self.text(header::SIGNATURE_KEY)?.parse().ok()?,
                participant: self.text(header::SIGNATURE_PARTICIPANT)?.parse().ok()?,
                issued_at: moment(header::SIGNATURE_ISSUED_AT)?,
                not_after: moment(header::SIGNATURE_NOT_AFTER)?,
                signature: BASE64.decode(self.text(header::SIGNATURE)?).ok()?,
            })
        };
        read().ok_or(SealError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::signing::TimedKey;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const DAY: Duration = Duration::from_hours(24);
    const WINDOW: Window = Window {
        now: NOW,
        oldest: DAY,
    };

    /// A seal survives its headers; a message that lacks one of them, or has nonsense in it, is not believed, and one without
    /// any is unsigned.
    #[test]
    fn a_seal_survives_its_headers() {
        let key = SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap();
        let (b, keys) = (
            "b".parse().unwrap(),
            KeyRing::new([TimedKey::always(key.public())]),
        );
        let mut message = Message {
            message_id: "m-1".to_owned(),
            kind: "federation.report.v1".to_owned(),
            app_id: "adapter".to_owned(),
            timestamp: NOW,
            correlation_id: None,
            headers: BTreeMap::from([(header::COUNT.to_owned(), 3.into())]),
            body: b"{}".to_vec(),
        };
        let verify = |message: &Message| message.verify(Direction::Report, &b, &keys, WINDOW);
        assert_eq!(verify(&message), Err(SealError::Unsigned));
        message.sign(&key, Direction::Report, &b, NOW, DAY);
        assert_eq!(verify(&message), Ok(NOW));
        assert!(message.verify_ever(Direction::Report, &b, &keys).is_ok());
        for name in HEADERS {
            let mut without = message.clone();
            without.headers.remove(name);
            assert_eq!(verify(&without), Err(SealError::Malformed), "{name}");
            let mut nonsense = message.clone();
            nonsense.headers.insert(name.to_owned(), "ö".into());
            assert_eq!(verify(&nonsense), Err(SealError::Malformed), "{name}");
        }
        message.unsign();
        assert!(!message.is_signed());
        assert_eq!(message.headers.len(), 1);
    }
}
