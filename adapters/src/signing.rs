//! What this adapter signs, and whose dispatches it carries out.
//!
//! Invariant: where the broker's keys are known, a dispatch that they did not sign is not carried out, unless it is not signed
//! at all and `signing.required` is off. None counts for longer than the journal remembers what it did, so an old one that is
//! played back is refused and not repeated.

use std::{path::PathBuf, time::Duration};

use amqp::{
    Message,
    envelope::{Order, SignedStatements},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::{
    ParticipantId, Timestamp,
    receipt::{Digest, Told, Tree, order_digest, root_bytes},
    signing::{Direction, KeyRing, SealError, SigningKey, Window},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use service::{
    configuration::{Check, Checked},
    watched::{Access, Watched, WatchedError},
};
use tracing::warn;

use crate::journal::now;

/// A report that counts for less would not outlive a pause of the broker.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(5);

/// What the configuration says of signatures.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Our private key; without it nothing is signed.
    pub key: Option<PathBuf>,
    /// The broker's public keys; without them nothing is verified.
    pub broker_keys: Option<PathBuf>,
    /// Whether a dispatch must be signed, where the broker's keys are known.
    pub required: bool,
    /// For how long a report counts.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
}

impl Checked for Settings {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "lifetime",
            self.lifetime >= SHORTEST_LIFETIME,
            "must be at least 5m",
        );
        check.works("key", &self.open_key());
        check.works("broker_keys", &self.open_broker_keys());
    }
}

impl Settings {
    fn open_key(&self) -> Result<Option<Watched<SigningKey>>, WatchedError> {
        let open = |file| {
            Watched::open(file, Access::Private, |text| {
                SigningKey::from_pem(text).map_err(|rule| rule.0)
            })
        };
        self.key.as_deref().map(open).transpose()
    }

    fn open_broker_keys(&self) -> Result<Option<Watched<KeyRing>>, WatchedError> {
        let open = |file| {
            Watched::open(file, Access::Public, |text| {
                KeyRing::read(text).map_err(|rule| rule.0)
            })
        };
        self.broker_keys.as_deref().map(open).transpose()
    }
}

/// The keys of one adapter.
#[derive(Debug)]
pub(crate) struct Signing {
    participant: ParticipantId,
    key: Option<Watched<SigningKey>>,
    broker: Option<Watched<KeyRing>>,
    required: bool,
    lifetime: Duration,
    /// How long the journal remembers.
    remembered: Duration,
}

impl Signing {
    /// Reads the keys.
    pub(crate) fn open(
        settings: &Settings,
        participant: &ParticipantId,
        remembered: Duration,
    ) -> Result<Self, WatchedError> {
        if settings.broker_keys.is_none() {
            warn!(
                "dispatches are carried out whoever wrote them: no signing.broker_keys are given"
            );
        }
        Ok(Self {
            participant: participant.clone(),
            key: settings.open_key()?,
            broker: settings.open_broker_keys()?,
            required: settings.required,
            lifetime: settings.lifetime,
            remembered,
        })
    }

    /// Signs a report, where there is a key. Each time that it is sent: it may have waited for RabbitMQ.
    pub(crate) fn sign(&self, message: &mut Message) {
        if let Some(key) = &self.key {
            let (key, direction) = (key.current(), Direction::Report);
            message.sign(&key, direction, &self.participant, now(), self.lifetime);
        }
    }

    /// What a receipt of an order says that we were told; none where we sign nothing.
    pub(crate) fn told(&self, order: &Order, raw: &RawValue) -> Option<Told> {
        self.key.as_ref()?;
        Some(Told {
            digest: order_digest(raw.get()),
            configuration: order.configuration.clone(),
        })
    }

    /// The signature over statements, by their leaves.
    pub(crate) fn statements(&self, leaves: &[Digest]) -> Option<SignedStatements> {
        let (key, tree) = (self.key.as_ref()?.current(), Tree::new(leaves)?);
        let size = u64::try_from(leaves.len()).ok()?;
        let signature = key.sign(&root_bytes(&self.participant, size, &tree.root));
        Some(SignedStatements {
            key: key.id(),
            signature: BASE64.encode(signature),
        })
    }

    /// Whether a dispatch is the broker's and for us; if it is signed, when.
    pub(crate) fn check(&self, message: &Message) -> Result<Option<Timestamp>, SealError> {
        let Some(broker) = &self.broker else {
            return Ok(None);
        };
        if !self.required && !message.is_signed() {
            return Ok(None);
        }
        let window = Window {
            now: now(),
            oldest: self.remembered,
        };
        message
            .verify(
                Direction::Dispatch,
                &self.participant,
                &broker.current(),
                window,
            )
            .map(Some)
    }

    /// Signs nothing and believes all.
    #[cfg(test)]
    pub(crate) fn of_test(participant: &ParticipantId) -> Self {
        Self {
            participant: participant.clone(),
            key: None,
            broker: None,
            required: false,
            lifetime: SHORTEST_LIFETIME,
            remembered: SHORTEST_LIFETIME,
        }
    }
}
