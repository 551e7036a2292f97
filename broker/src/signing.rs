//! What this replica signs, and whose signatures it asks for.
//!
//! Invariant: a report of a participant that has keys in the registry is believed only with a signature of one of them, as
//! long as `signing.required` holds; one that is signed and not by them is believed never. A dispatch is signed when there
//! is a key, and a dead letter is signed anew only where the signature that it died with is ours.

use std::{path::PathBuf, sync::Arc, time::Duration};

use amqp::Message;
use domain::{
    ParticipantId, Timestamp,
    signing::{Direction, KeyRing, SealError, SigningKey, TimedKey, Window},
};
use serde::Deserialize;
use service::{
    configuration::{Check, Checked},
    watched::{Access, Watched, WatchedError},
};
use tracing::warn;

/// A dispatch that counts for less would end as a dead letter at every longer pause of an adapter.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(5);

/// What the configuration says of signatures.
#[derive(Debug, Clone, Deserialize)]
pub struct SigningSettings {
    /// Our private key; without it nothing is signed.
    pub key: Option<PathBuf>,
    /// Public keys that were ours: what they signed may be sent again.
    pub former_keys: Option<PathBuf>,
    /// Whether a participant that has keys must sign.
    pub required: bool,
    /// For how long a dispatch counts, and a report at most.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
}

impl Checked for SigningSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "lifetime",
            self.lifetime >= SHORTEST_LIFETIME,
            "must be at least 5m",
        );
        check.require(
            "former_keys",
            self.former_keys.is_none() || self.key.is_some(),
            "belongs to `signing.key`: give that too",
        );
    }
}

impl SigningSettings {
    /// Tries to open every file that is named.
    pub(crate) fn check_files(&self, check: &mut Check<'_>) {
        check.works("signing.key", &self.open_key());
        check.works("signing.former_keys", &self.open_former());
    }

    fn open_key(&self) -> Result<Option<Watched<SigningKey>>, WatchedError> {
        let open = |file| {
            Watched::open(file, Access::Private, |text| {
                SigningKey::from_pem(text).map_err(|rule| rule.0)
            })
        };
        self.key.as_deref().map(open).transpose()
    }

    fn open_former(&self) -> Result<Option<Watched<KeyRing>>, WatchedError> {
        let open = |file| {
            Watched::open(file, Access::Public, |text| {
                KeyRing::read(text).map_err(|rule| rule.0)
            })
        };
        self.former_keys.as_deref().map(open).transpose()
    }
}

/// The keys of one replica.
#[derive(Debug)]
pub struct Signing {
    key: Option<Watched<SigningKey>>,
    former: Option<Watched<KeyRing>>,
    required: bool,
    lifetime: Duration,
}

impl Signing {
    /// Reads the keys.
    pub fn open(settings: &SigningSettings) -> Result<Self, WatchedError> {
        if settings.key.is_none() {
            warn!("dispatches are not signed: no signing.key is given");
        }
        Ok(Self {
            key: settings.open_key()?,
            former: settings.open_former()?,
            required: settings.required,
            lifetime: settings.lifetime,
        })
    }

    /// Our key, if there is one.
    pub fn key(&self) -> Option<Arc<SigningKey>> {
        self.key.as_ref().map(Watched::current)
    }

    /// Signs a dispatch, where there is a key.
    pub fn sign(&self, message: &mut Message, participant: &ParticipantId, now: Timestamp) {
        if let Some(key) = &self.key {
            let (key, direction) = (key.current(), Direction::Dispatch);
            message.sign(&key, direction, participant, now, self.lifetime);
        }
    }

    /// Signs what died once more, for it may lie there for longer than its first signature counts.
    ///
    /// # Errors
    /// Where somebody else wrote it, or changed it: signing it would make a forgery true.
    pub fn sign_again(
        &self,
        message: &mut Message,
        participant: &ParticipantId,
        now: Timestamp,
    ) -> Result<(), SealError> {
        let Some(key) = &self.key else { return Ok(()) };
        let own = TimedKey::always(key.current().public());
        let former = self.former.as_ref().map(Watched::current);
        let ours = former.map_or_else(KeyRing::default, |ring| (*ring).clone());
        message.verify_ever(Direction::Dispatch, participant, &ours.with(own))?;
        self.sign(message, participant, now);
        Ok(())
    }

    /// Whether a report is its participant's; if it is signed, when.
    ///
    /// # Errors
    /// Where it is not, or is not signed and must be.
    pub fn check(
        &self,
        message: &Message,
        participant: &ParticipantId,
        keys: &[TimedKey],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SealError> {
        let may_be_unsigned = !self.required && !message.is_signed();
        if keys.is_empty() || may_be_unsigned {
            return Ok(None);
        }
        let window = Window {
            now,
            oldest: self.lifetime,
        };
        let ring = KeyRing::new(keys.iter().copied());
        message
            .verify(Direction::Report, participant, &ring, window)
            .map(Some)
    }
}
