//! A seal: what a message says of itself, and the signature over that and over its body.
//!
//! Invariant: the signature is looked at before the times are, so a reason that names a time is the sender's own word; every
//! field that is signed stands in the message, so whoever holds the public key can verify it.

use std::time::Duration;

use ring::digest::{SHA256, digest};
use thiserror::Error;

use super::{Fields, KeyId, KeyRing, SigningKey};
use crate::{id::ParticipantId, time::Timestamp};

/// How far another machine's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_mins(2);

/// Which way a message goes. A dispatch cannot be played back as a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the broker to a participant's adapter.
    Dispatch,
    /// From a participant's adapter to the broker.
    Report,
}

impl Direction {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Dispatch => "federation.signed.dispatch.v1",
            Self::Report => "federation.signed.report.v1",
        }
    }
}

/// What is signed beside the body, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Which key signed.
    pub key: KeyId,
    /// Whose message it is: for whom a dispatch is, from whom a report is.
    pub participant: ParticipantId,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// From when on it is not to be taken.
    pub not_after: Timestamp,
    /// 64 bytes.
    pub signature: Vec<u8>,
}

/// The message that a seal is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Which way it came.
    pub direction: Direction,
    /// Whose it must be.
    pub participant: &'a ParticipantId,
    /// Its id.
    pub message_id: &'a str,
    /// Its exact bytes.
    pub body: &'a [u8],
}

/// When a message counts.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// By the receiver's clock.
    pub now: Timestamp,
    /// However long the sender would have it taken, an older one is not: the receiver remembers no longer what it did.
    pub oldest: Duration,
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// It has none, and needs one.
    #[error("it is not signed")]
    Unsigned,
    /// Its headers are not those of a seal.
    #[error("what it says of its signature cannot be read")]
    Malformed,
    /// No key of this name is known.
    #[error("it is signed with a key that is not the sender's")]
    UnknownKey,
    /// Another key, another body, or another header than was signed.
    #[error("its signature is not that of its content")]
    Forged,
    /// It was signed for another participant.
    #[error("it is signed for another participant")]
    OtherParticipant,
    /// The key was not yet, or no longer valid when it signed.
    #[error("its key was not valid when it was signed")]
    KeyOutOfTime,
    /// It is too old.
    #[error("it is too old")]
    TooOld,
    /// Its time has not come, by more than clocks may differ.
    #[error("it comes from the future")]
    FromTheFuture,
}

impl SealError {
    /// A word for a metric.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed_signature",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::OtherParticipant => "other_participant",
            Self::KeyOutOfTime => "key_out_of_time",
            Self::TooOld => "too_old",
            Self::FromTheFuture => "from_the_future",
        }
    }
}

impl Seal {
    /// Signs a message for so long.
    pub fn new(key: &SigningKey, seen: Seen<'_>, now: Timestamp, lifetime: Duration) -> Self {
        let mut seal = Self {
            key: key.id(),
            participant: seen.participant.clone(),
            issued_at: now,
            not_after: now.plus(lifetime),
            signature: Vec::new(),
        };
        seal.signature = key.sign(&seal.signed(seen));
        seal
    }

    /// Whether the message is what the owner of one of `keys` signed, for this participant, and counts now.
    pub fn verify(&self, seen: Seen<'_>, keys: &KeyRing, window: Window) -> Result<(), SealError> {
        self.verify_ever(seen, keys)?;
        if self.issued_at > window.now.plus(AHEAD) {
            return Err(SealError::FromTheFuture);
        }
        let ends = self.not_after.min(self.issued_at.plus(window.oldest));
        if ends <= window.now {
            return Err(SealError::TooOld);
        }
        Ok(())
    }

    /// The same without asking how old it is.
    pub fn verify_ever(&self, seen: Seen<'_>, keys: &KeyRing) -> Result<(), SealError> {
        let timed = keys.find(self.key).ok_or(SealError::UnknownKey)?;
        if !timed.key.verifies(&self.signed(seen), &self.signature) {
            return Err(SealError::Forged);
        }
        if self.participant != *seen.participant {
            return Err(SealError::OtherParticipant);
        }
        if !timed.counts_at(self.issued_at) {
            return Err(SealError::KeyOutOfTime);
        }
        Ok(())
    }

    /// The bytes that are signed. Of the body its SHA-256, so that a large one is read once and copied never.
    fn signed(&self, seen: Seen<'_>) -> Vec<u8> {
        Fields::new(seen.direction.purpose())
            .text(&self.key.to_string())
            .text(self.participant.as_str())
            .text(seen.message_id)
            .number(self.issued_at.as_millis())
            .number(self.not_after.as_millis())
            .bytes(digest(&SHA256, seen.body).as_ref())
            .finish()
    }
}
