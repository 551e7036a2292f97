//! A bundle of receipts that is checked offline: JSON, a line each. First what it is, then the records as the broker keeps them,
//! last the end of the chain with the broker's signature, so that a record that is missing at the end shows too.
//!
//! Invariant: whoever changes, takes out, adds or moves a record breaks a hash, a number or a signature, and the first one that
//! is broken is named by its line.

use std::collections::{BTreeSet, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Digest, Record, Trusted};
use crate::{
    id::{ConfigurationId, ParticipantId},
    signing::{Fields, PublicKey},
    time::Timestamp,
};

/// What the end of a chain is signed as.
const HEAD: &str = "federation.receipts-head.v1";
/// The form of a bundle.
const FORM: &str = "federation.receipts.v1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// `federation.receipts.v1`.
    pub bundle: String,
    /// Whose chain it is.
    pub configuration: ConfigurationId,
}

/// The last line: the end of the chain when it was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sequence of the last record.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
    /// When the broker signed this.
    pub at: Timestamp,
    /// The broker's public key; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Ed25519, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
}

impl Opening {
    /// Of the chain of this configuration.
    pub fn new(configuration: ConfigurationId) -> Self {
        Self {
            bundle: FORM.to_owned(),
            configuration,
        }
    }
}

impl Head {
    /// What the broker signs.
    pub fn bytes(&self, configuration: &ConfigurationId) -> Vec<u8> {
        Fields::new(HEAD)
            .text(configuration.as_str())
            .number(self.sequence)
            .bytes(self.hash.as_bytes())
            .number(self.at.as_millis())
            .finish()
    }
}

/// What is wrong, and in which line, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct Flaw {
    /// Which line.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What a bundle without a flaw holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whose.
    pub configuration: ConfigurationId,
    /// The first and the last record, if there are any.
    pub range: Option<(u64, u64)>,
    /// The hash before the first record: zeros, or what an earlier bundle must end with.
    pub anchor: Digest,
    /// Records.
    pub records: u64,
    /// Those whose participant says that it was told something else than the broker says.
    pub told_otherwise: u64,
    /// Who signed, with which key.
    pub keys: BTreeSet<(ParticipantId, PublicKey)>,
    /// The broker's key at the end.
    pub broker: Option<PublicKey>,
}

/// Checks a bundle line by line.
#[derive(Debug, Default)]
pub struct Bundle {
    trusted: Trusted,
    /// Roots whose signature has been seen to be good; a report has many records and one signature.
    good: HashSet<(PublicKey, Digest)>,
    previous: Option<(u64, Digest)>,
}

impl Bundle {
    /// Believes these keys alone; without any, those that the bundle names, which the reader must compare.
    pub fn new(trusted: Trusted) -> Self {
        Self {
            trusted,
            ..Self::default()
        }
    }

    /// Checks all lines.
    pub fn check(mut self, text: &str) -> Result<Summary, Flaw> {
        let lines: Vec<_> = text.lines().collect();
        let flaw = |line: usize, what: &str| Flaw {
            line,
            what: what.to_owned(),
        };
        let [opening, records @ .., head] = lines.as_slice() else {
            return Err(flaw(
                1,
                "the end is missing: a bundle has a first and a last line",
            ));
        };
        let opening: Opening = read(1, opening)?;
        if opening.bundle != FORM {
            return Err(flaw(1, "this form of a bundle is not known"));
        }
        let mut summary = Summary {
            configuration: opening.configuration,
            range: None,
            anchor: Digest::default(),
            records: 0,
            told_otherwise: 0,
            keys: BTreeSet::new(),
            broker: None,
        };
        for (line, text) in (2..).zip(records) {
            self.record(line, text, &mut summary)?;
        }
        let line = lines.len();
        let head: Head = read(line, head).map_err(|Flaw { line, what }| Flaw {
            line,
            what: format!("the end is missing, for this line is none: {what}"),
        })?;
        self.end(&head, &mut summary)
            .map_err(|what| flaw(line, what))?;
        Ok(summary)
    }

    fn record(&mut self, line: usize, text: &str, summary: &mut Summary) -> Result<(), Flaw> {
        let record: Record = read(line, text)?;
        self.linked(&record, summary)
            .and_then(|()| self.signed(&record))
            .map_err(|what| Flaw {
                line,
                what: what.to_owned(),
            })?;
        self.previous = Some((record.sequence, record.previous.chained(text)));
        let first = summary.range.map_or(record.sequence, |(first, _)| first);
        summary.range = Some((first, record.sequence));
        summary.records += 1;
        summary.told_otherwise += u64::from(!record.as_told);
        let participant = record.receipt.statement.execution.participant;
        summary.keys.insert((participant, record.receipt.key));
        Ok(())
    }

    /// Whether it follows the one before.
    fn linked(&self, record: &Record, summary: &mut Summary) -> Result<(), &'static str> {
        // What somebody was told otherwise may be of anything.
        if record.as_told && record.receipt.statement.configuration != summary.configuration {
            return Err("it is of another configuration");
        }
        match self.previous {
            None => {
                if record.sequence == 1 && record.previous != Digest::default() {
                    return Err("the first record of a chain has none before it");
                }
                summary.anchor = record.previous;
                Ok(())
            }
            Some((sequence, _)) if sequence.checked_add(1) != Some(record.sequence) => {
                Err("it is not the next one: a record is missing, or moved")
            }
            Some((_, hash)) if record.previous != hash => {
                Err("it does not follow the record before: one of the two was changed")
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether its participant signed it.
    fn signed(&mut self, record: &Record) -> Result<(), &'static str> {
        let receipt = &record.receipt;
        let participant = &receipt.statement.execution.participant;
        if !self.trusted.participant(participant, receipt.key) {
            return Err("it is signed with a key that is not a trusted one of its participant");
        }
        let bytes = receipt.signed().ok_or("its path leads to no root")?;
        let root = Digest::of(&[&bytes, receipt.batch.signature.as_bytes()]);
        if self.good.contains(&(receipt.key, root)) {
            return Ok(());
        }
        if !verifies(&receipt.key, &bytes, &receipt.batch.signature) {
            return Err("its participant did not sign this");
        }
        self.good.insert((receipt.key, root));
        Ok(())
    }

    fn end(&self, head: &Head, summary: &mut Summary) -> Result<(), &'static str> {
        let expected = self.previous.unwrap_or((head.sequence, head.hash));
        if expected != (head.sequence, head.hash) {
            return Err("the chain ends elsewhere: records are missing at the end, or changed");
        }
        if !self.trusted.end(head.key.as_ref()) {
            return Err("the end is not signed with a trusted key of the broker");
        }
        let Some(key) = head.key else { return Ok(()) };
        if !verifies(&key, &head.bytes(&summary.configuration), &head.signature) {
            return Err("the broker did not sign this end");
        }
        summary.broker = Some(key);
        Ok(())
    }
}

fn verifies(key: &PublicKey, bytes: &[u8], signature: &str) -> bool {
    BASE64
        .decode(signature)
        .is_ok_and(|signature| key.verifies(bytes, &signature))
}

fn read<T: serde::de::DeserializeOwned>(line: usize, text: &str) -> Result<T, Flaw> {
    serde_json::from_str(text).map_err(|error| Flaw {
        line,
        what: format!("it cannot be read: {error}"),
    })
}
