//! The keys that a reader of a bundle believes.
//!
//! Invariant: a participant's key counts for that participant alone, and the broker's for the end of a chain alone, so nobody whose
//! key is on the list can sign for another.

use std::collections::BTreeSet;

use crate::{id::ParticipantId, rule::BrokenRule, signing::PublicKey};

/// Who may sign with what; without any key, whoever a bundle names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    participants: BTreeSet<(ParticipantId, PublicKey)>,
    broker: BTreeSet<PublicKey>,
}

impl Trusted {
    /// Reads a file: `PARTICIPANT KEY` on a line, the broker's key alone on its line; `#` begins a comment.
    pub fn read(text: &str) -> Result<Self, BrokenRule> {
        let mut trusted = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let words: Vec<_> = line.split_whitespace().collect();
            let rule = format!("line {number} must be PARTICIPANT KEY, or the broker's KEY alone");
            let malformed = |_| BrokenRule::new(rule.clone());
            match words.as_slice() {
                [] => {}
                [key] => {
                    trusted.broker.insert(key.parse().map_err(malformed)?);
                }
                [participant, key] => {
                    let participant = participant.parse().map_err(malformed)?;
                    let key = key.parse().map_err(malformed)?;
                    trusted.participants.insert((participant, key));
                }
                _ => return Err(BrokenRule::new(rule)),
            }
        }
        if trusted.is_anyone() {
            return Err(BrokenRule::new("must hold a public key"));
        }
        Ok(trusted)
    }

    /// Whether nothing is known, and what a bundle says is for its reader to compare.
    pub(super) fn is_anyone(&self) -> bool {
        self.participants.is_empty() && self.broker.is_empty()
    }

    pub(super) fn participant(&self, participant: &ParticipantId, key: PublicKey) -> bool {
        self.is_anyone() || self.participants.contains(&(participant.clone(), key))
    }

    /// Whether an end with this key, or without one, is good enough.
    pub(super) fn end(&self, key: Option<&PublicKey>) -> bool {
        self.is_anyone() || key.is_some_and(|key| self.broker.contains(key))
    }
}
