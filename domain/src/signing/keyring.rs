//! The public keys of one sender, each with the time in which it counts: two overlap while one takes over from the other.
//!
//! Invariant: a key counts for what was signed while it was valid, by the time that the signature itself says; how far that
//! may lie back is the window's to bound.

use serde::{Deserialize, Serialize};

use super::{KeyId, PublicKey};
use crate::{limits::SIGNING_KEYS, rule::BrokenRule, time::Timestamp};

/// A public key, and when it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedKey {
    /// The key.
    pub key: PublicKey,
    /// What was signed before does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// What was signed from then on does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// All keys of one sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing(Vec<TimedKey>);

impl TimedKey {
    /// A key without bounds.
    pub const fn always(key: PublicKey) -> Self {
        Self {
            key,
            valid_from: None,
            valid_until: None,
        }
    }

    /// Whether it counts for what was signed then.
    pub fn counts_at(&self, moment: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= moment)
            && self.valid_until.is_none_or(|until| moment < until)
    }

    /// Reads `KEY [from=MOMENT] [until=MOMENT]`, a moment as RFC 3339.
    fn read(line: &str) -> Result<Self, BrokenRule> {
        let mut words = line.split_ascii_whitespace();
        let mut timed = Self::always(words.next().unwrap_or_default().parse()?);
        for word in words {
            let (slot, moment) = match word.split_once('=') {
                Some(("from", moment)) => (&mut timed.valid_from, moment),
                Some(("until", moment)) => (&mut timed.valid_until, moment),
                _ => {
                    return Err(BrokenRule::new(
                        "has a word that is neither `from=` nor `until=`",
                    ));
                }
            };
            let moment = humantime::parse_rfc3339(moment)
                .map_err(|_| BrokenRule::new("has a time that is not RFC 3339 in UTC"))?;
            *slot = Some(moment.into());
        }
        Ok(timed)
    }
}

impl KeyRing {
    /// Of these keys.
    pub fn new(keys: impl IntoIterator<Item = TimedKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Reads a file of public keys: one on a line as base64, perhaps with `from=` and `until=`; `#` begins a comment.
    pub fn read(text: &str) -> Result<Self, BrokenRule> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if line.is_empty() {
                continue;
            }
            let key = TimedKey::read(line)
                .map_err(|rule| BrokenRule::new(format!("line {number} {rule}")))?;
            keys.push(key);
        }
        if keys.is_empty() || keys.len() > SIGNING_KEYS {
            return Err(BrokenRule::new(format!(
                "must hold 1 to {SIGNING_KEYS} public keys, one on a line (SIGNING_KEYS)"
            )));
        }
        Ok(Self(keys))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    #[must_use]
    pub fn with(mut self, key: TimedKey) -> Self {
        self.0.push(key);
        self
    }

    /// The key of this name.
    pub fn find(&self, id: KeyId) -> Option<&TimedKey> {
        self.0.iter().find(|timed| timed.key.id() == id)
    }
}
